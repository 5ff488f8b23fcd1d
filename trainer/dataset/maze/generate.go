package maze

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/seeded"
)

// Recipe says which mazes to generate, as Maze-Hard's were: in a grid whose number of walls is uniform from 30 % to 50 % of
// the cells, up to 100 pairs of start and goal are tried until one is far enough apart. A grid gives one maze at most.
type Recipe struct {
	Size int
	// MinPath is what the cells of the shortest path, start and goal included, must exceed.
	MinPath int
	Count   int
	Seed    int64
}

const (
	pairsPerGrid = 100
	// chunk is how many grids are tried between two looks at what the others have found.
	chunk = 64
	// patience is how many grids in a row may give nothing: three hundred times what Maze-Hard's need.
	patience = 300_000
)

// Generated is what Generate found.
type Generated struct {
	// Mazes are different, also when turned or mirrored.
	Mazes []Maze
	// Grids is how many were tried for them.
	Grids int
}

func (r Recipe) walls() (least, most int) { return r.Size * r.Size * 3 / 10, r.Size * r.Size / 2 }

// Generate makes mazes on all cores. They depend on the recipe alone, not on the number of cores. progress is called now
// and then with the number of mazes found.
func (r Recipe) Generate(ctx context.Context, progress func(done int)) (Generated, error) {
	if least, _ := r.walls(); r.MinPath >= r.Size*r.Size-least {
		return Generated{}, dataerror.New("dataset.maze.minPathLength", 0,
			"is %d, but in a maze of %dx%d at most %d cells are free: lower it, or raise dataset.maze.size", r.MinPath, r.Size, r.Size, r.Size*r.Size-least)
	}
	c := collector{recipe: r, progress: progress, waiting: map[int]harvest{}, known: map[Kin]bool{}}
	var next atomic.Int64
	var workers errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() error {
			s := newSearcher(r)
			for ctx.Err() == nil {
				k := int(next.Add(1)) - 1
				if c.add(k, s.chunk(k)) {
					return nil
				}
			}
			return ctx.Err()
		})
	}
	if err := workers.Wait(); err != nil {
		return Generated{}, err
	}
	return c.found, c.err
}

// harvest is what a chunk of grids gave.
type harvest struct {
	mazes []Maze
	grids []int // in which grid of the chunk each was
	// longest is the length of the longest shortest path that was met, wanted or not.
	longest int
}

// collector puts the harvests into the order of the grids, so that it does not matter which came first.
type collector struct {
	recipe   Recipe
	progress func(int)

	mu      sync.Mutex
	waiting map[int]harvest
	next    int
	known   map[Kin]bool
	last    int // the grid that the last maze came from
	longest int
	found   Generated
	done    bool
	err     error
}

// add takes the harvest of chunk k and says whether there is nothing left to do.
func (c *collector) add(k int, h harvest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[k] = h
	for !c.done {
		h, ok := c.waiting[c.next]
		if !ok {
			break
		}
		delete(c.waiting, c.next)
		c.take(h)
		c.next++
	}
	return c.done
}

func (c *collector) take(h harvest) {
	first := c.next * chunk
	c.longest = max(c.longest, h.longest)
	for i, m := range h.mazes {
		kin := m.Question.Kin()
		if c.known[kin] {
			continue
		}
		c.known[kin] = true
		c.last = first + h.grids[i]
		c.found.Mazes = append(c.found.Mazes, m)
		if len(c.found.Mazes) == c.recipe.Count {
			c.found.Grids, c.done = c.last+1, true
			c.progress(len(c.found.Mazes))
			return
		}
	}
	c.progress(len(c.found.Mazes))
	if first+chunk-c.last > patience {
		c.done, c.err = true, c.giveUp()
	}
}

func (c *collector) giveUp() error {
	r := c.recipe
	return dataerror.New("dataset.maze", 0,
		"%d of %d mazes of %dx%d found, and no further one in %d random grids: lower minPathLength (%d) well below %d, the longest path met, or count, or raise size",
		len(c.found.Mazes), r.Count, r.Size, r.Size, patience, r.MinPath, c.longest)
}

// searcher is the memory of one core.
type searcher struct {
	recipe Recipe
	field  *field
	pcg    *rand.PCG
	rng    *rand.Rand // over pcg
	// order is a permutation of the places of all cells: first the walls, then the free ones.
	order []uint16
	// landmarks[:n] are the distances of all places from some.
	landmarks [][]uint16
	n         int
	longest   int
}

func newSearcher(r Recipe) *searcher {
	pcg := rand.NewPCG(0, 0)
	s := &searcher{recipe: r, field: newField(r.Size), pcg: pcg, rng: rand.New(pcg), order: make([]uint16, r.Size*r.Size)}
	s.landmarks = make([][]uint16, pairsPerGrid)
	for i := range s.landmarks {
		s.landmarks[i] = make([]uint16, len(s.field.open))
	}
	return s
}

func (s *searcher) chunk(k int) harvest {
	var h harvest
	for i := range chunk {
		if m, ok := s.try(k*chunk + i); ok {
			h.mazes, h.grids = append(h.mazes, m), append(h.grids, i)
		}
	}
	h.longest, s.longest = s.longest, 0
	return h
}

// try draws a grid and looks for a start and a goal in it.
func (s *searcher) try(grid int) (Maze, bool) {
	s.pcg.Seed(seeded.Origin(s.recipe.Seed, forGrids, grid))
	free := s.draw()
	s.n = 0
	for range pairsPerGrid {
		start := s.rng.IntN(len(free))
		goal := s.rng.IntN(len(free) - 1)
		if goal >= start {
			goal++
		}
		if s.apart(int(free[start]), int(free[goal])) {
			return s.maze(int(free[start]), int(free[goal])), true
		}
	}
	return Maze{}, false
}

// draw draws the walls and returns the places that are free.
func (s *searcher) draw() []uint16 {
	f := s.field
	for cell := range s.order {
		place := f.place(cell)
		s.order[cell] = uint16(place)
		f.open[place] = true
	}
	least, most := s.recipe.walls()
	walls := least + s.rng.IntN(most-least+1)
	for i := range walls {
		j := i + s.rng.IntN(len(s.order)-i)
		s.order[i], s.order[j] = s.order[j], s.order[i]
		f.open[s.order[i]] = false
	}
	return s.order[walls:]
}

// apart says whether the shortest path between two places has more than MinPath cells. The detour over a place whose
// distances are known tells it without a search, in most cases.
func (s *searcher) apart(a, b int) bool {
	for _, dist := range s.landmarks[:s.n] {
		da, db := dist[a], dist[b]
		switch {
		case da == unreached && db == unreached:
			continue
		case da == unreached || db == unreached:
			return false
		case int(da)+int(db) < s.recipe.MinPath:
			return false
		}
	}
	dist := s.landmarks[s.n]
	s.n++
	s.longest = max(s.longest, int(s.field.distances(a, dist))+1)
	return dist[b] != unreached && int(dist[b]) >= s.recipe.MinPath
}

// maze makes a maze of the field.
func (s *searcher) maze(start, goal int) Maze {
	f := s.field
	g := NewGrid(s.recipe.Size)
	for cell := range g.Cells {
		if !f.open[f.place(cell)] {
			g.Cells[cell] = Wall
		}
	}
	g.Cells[f.cell(start)], g.Cells[f.cell(goal)] = Start, Goal
	answer, err := Solve(g)
	if err != nil {
		panic(err) // a way was found
	}
	return Maze{Question: g, Answer: answer}
}
