package maze

import (
	"bytes"
	"errors"
)

// unreached is the distance of cells that no way leads to.
const unreached = ^uint16(0)

// field is a grid with a border of walls, so that no step has to look where the edges are. Its cells are places: the
// indices into arrays of stride*stride.
type field struct {
	size, stride int
	open         []bool
	queue        []uint16
}

func newField(size int) *field {
	stride := size + 2
	return &field{size, stride, make([]bool, stride*stride), make([]uint16, size*size)}
}

// fieldOf is the field of a grid: whatever is no wall is open.
func fieldOf(g Grid) *field {
	f := newField(g.Size)
	for cell, c := range g.Cells {
		f.open[f.place(cell)] = c != Wall
	}
	return f
}

func (f *field) place(cell int) int { return (cell/f.size+1)*f.stride + cell%f.size + 1 }
func (f *field) cell(place int) int { return (place/f.stride-1)*f.size + place%f.stride - 1 }

// steps lead up, right, down and left.
func (f *field) steps() [4]int { return [4]int{-f.stride, 1, f.stride, -1} }

// distances writes to dist how many steps each place is from one, and returns the largest number.
func (f *field) distances(from int, dist []uint16) uint16 {
	for i := range dist {
		dist[i] = unreached
	}
	dist[from] = 0
	f.queue[0] = uint16(from)
	steps := f.steps()
	end := 1
	for next := 0; next < end; next++ {
		at := int(f.queue[next])
		further := dist[at] + 1
		for _, step := range steps {
			if to := at + step; f.open[to] && dist[to] == unreached {
				dist[to] = further
				f.queue[end] = uint16(to)
				end++
			}
		}
	}
	return dist[f.queue[end-1]]
}

// walk returns the places from one to that to which dist counts the steps, both included: from each the first of up, right,
// down and left that is nearer. Of several shortest paths it is always the same one, so that a model can learn which.
func (f *field) walk(from int, dist []uint16) []int {
	path := []int{from}
	for at := from; dist[at] > 0; {
		for _, step := range f.steps() {
			if dist[at+step] == dist[at]-1 {
				at += step
				break
			}
		}
		path = append(path, at)
	}
	return path
}

// Solve returns the maze with a shortest path from start to goal.
func Solve(g Grid) (Grid, error) {
	start, goal, err := g.Ends()
	if err != nil {
		return Grid{}, err
	}
	f := fieldOf(g)
	dist := make([]uint16, len(f.open))
	f.distances(f.place(goal), dist)
	if dist[f.place(start)] == unreached {
		return Grid{}, errors.New("no way leads from start to goal")
	}
	path := f.walk(f.place(start), dist)
	solved := Grid{g.Size, bytes.Clone(g.Cells)}
	for _, place := range path[1 : len(path)-1] {
		solved.Cells[f.cell(place)] = Path
	}
	return solved, nil
}

// PathLength is the number of cells of a shortest path from start to goal, both included; 0 if there is none.
func PathLength(g Grid) int {
	start, goal, err := g.Ends()
	if err != nil {
		return 0
	}
	f := fieldOf(g)
	dist := make([]uint16, len(f.open))
	f.distances(f.place(start), dist)
	if d := dist[f.place(goal)]; d != unreached {
		return int(d) + 1
	}
	return 0
}
