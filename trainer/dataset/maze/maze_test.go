package maze

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/seeded"
)

// grid reads rows separated by /.
func grid(t testing.TB, rows string) Grid {
	t.Helper()
	g, err := ParseGrid(strings.ReplaceAll(rows, "/", ""))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func rows(g Grid) string {
	return strings.ReplaceAll(strings.TrimSuffix(g.Draw(), "\n"), "\n", "/")
}

// random is a grid with a start and a goal; whether a way leads from one to the other is left to chance.
func random(rng *rand.Rand, size int) Grid {
	g := NewGrid(size)
	for i := range g.Cells {
		if rng.IntN(100) < 35 {
			g.Cells[i] = Wall
		}
	}
	ends := rng.Perm(len(g.Cells))
	g.Cells[ends[0]], g.Cells[ends[1]] = Start, Goal
	return g
}

// slowLength counts the cells of a shortest path by relaxing all steps until nothing changes; 0 if there is none.
func slowLength(g Grid) int {
	length := make([]int, len(g.Cells))
	start, goal, _ := g.Ends()
	length[start] = 1
	for changed := true; changed; {
		changed = false
		for a := range g.Cells {
			for b := range g.Cells {
				beside := (a/g.Size == b/g.Size && (a-b == 1 || b-a == 1)) || a-b == g.Size || b-a == g.Size
				if beside && length[a] > 0 && g.Cells[b] != Wall && (length[b] == 0 || length[b] > length[a]+1) {
					length[b] = length[a] + 1
					changed = true
				}
			}
		}
	}
	return length[goal]
}

func TestSolve_takesTheFirstOfUpRightDownLeft(t *testing.T) {
	for maze, want := range map[string]string{
		"S G/   /   ":         "SoG/   /   ",
		"SG/  ":               "SG/  ",
		"S  /   /  G":         "Soo/  o/  G",
		"G  /   /  S":         "Goo/  o/  S",
		"S# /   / #G":         "S# /ooo/ #G",
		"   G/ ## / ## /S   ": "oooG/o## /o## /S   ",
	} {
		if got, err := Solve(grid(t, maze)); err != nil || rows(got) != want {
			t.Errorf("%s became %s (%v), want %s", maze, rows(got), err, want)
		}
	}
}

func TestSolve_findsShortestPaths(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 300 {
		maze := random(rng, 2+i%11)
		length := slowLength(maze)
		if got := PathLength(maze); got != length {
			t.Fatalf("%s: a path of %d cells, want %d", rows(maze), got, length)
		}
		answer, err := Solve(maze)
		if (err == nil) != (length > 0) {
			t.Fatalf("%s: %v, but the path has %d cells", rows(maze), err, length)
		}
		if err == nil && !Judge(maze, answer).Shortest {
			t.Fatalf("%s is not solved by %s", rows(maze), rows(answer))
		}
	}
}

func TestSolve_walksThroughTheLargestMaze(t *testing.T) {
	g := NewGrid(MaxSize) // one corridor that winds through all rows
	for r := 1; r < MaxSize; r += 2 {
		for c := range MaxSize {
			g.Cells[r*MaxSize+c] = Wall
		}
		g.Cells[r*MaxSize+r/2%2*(MaxSize-1)] = Free
	}
	g.Cells[MaxSize-1], g.Cells[(MaxSize-2)*MaxSize+MaxSize/2] = Start, Goal
	if answer, err := Solve(g); err != nil || !Judge(g, answer).Shortest || PathLength(g) < 31*MaxSize {
		t.Errorf("a path of %d cells, %v", PathLength(g), err)
	}
}

func TestJudge(t *testing.T) {
	const open = "S   /    /    /   G"
	for _, c := range []struct {
		name, maze, answer string
		valid, shortest    bool
		why                string
	}{
		{"the shortest", open, "Sooo/   o/   o/   G", true, true, "the path of 7 cells is a shortest one"},
		{"another shortest", open, "S   /oo  / ooo/   G", true, true, "shortest one"},
		{"side by side", "SG/  ", "SG/  ", true, true, "the path of 2 cells"},
		{"on beyond the goal", "S   /### /G   /    ", "Sooo/###o/G  o/ooo ", false, false, "gap after row 3 column 4"},
		{"a longer one", "S    / ### /     / ### /G    ", "Soooo/ ###o/    o/ ###o/Goooo", true, false, "8 cells longer than the shortest, which has 5"},
		{"nothing marked", open, open, false, false, "the path has a gap after row 1 column 1"},
		{"a gap", open, "So o/   o/   o/   G", false, false, "gap after row 1 column 2"},
		{"a gap before the goal", open, "Sooo/   o/    /   G", false, false, "gap after row 2 column 4"},
		{"diagonally", "S  /   /  G", "S  / o /  G", false, false, "gap after row 1 column 1"},
		{"a fork", open, "Sooo/o  o/   o/   G", false, false, "forks, or touches itself, at row 1 column 1"},
		{"a path that touches itself", open, "Soo /  oo/ ooo/   G", false, false, "touches itself, at row 2 column 3"},
		{"a cell elsewhere", open, "Sooo/   o/o  o/o  G", false, false, "2 marked cells are not on the path, the first at row 3 column 1"},
		{"through a wall", "S#G/   /   ", "SoG/   /   ", false, false, "through a wall at row 1 column 2; 1 cells"},
		{"a wall built", "S G/   /   ", "SoG/ # /   ", false, false, `row 2 column 2: ' ' became '#'`},
		{"the start moved", "S G/   /   ", " SG/   /   ", false, false, `2 cells of the maze are changed, the first at row 1 column 1: 'S' became ' '`},
		{"the goal covered", "S G/   /   ", "Soo/   /   ", false, false, `'G' became 'o'`},
		{"no way", "S#G/###/   ", "S#G/###/   ", false, false, "no way leads from start to goal"},
		{"no maze", "   /   /  G", "   /   /  G", false, false, "the maze has 0 starts"},
		{"another size", "S G/   /   ", "SG/  ", false, false, "the answer has 4 cells, the maze 9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Judge(grid(t, c.maze), grid(t, c.answer))
			if got.Valid != c.valid || got.Shortest != c.shortest || !strings.Contains(got.Why, c.why) {
				t.Errorf("got %+v, want %q", got, c.why)
			}
		})
	}
}

func TestJudge_takesPaddingForAChange(t *testing.T) {
	maze := grid(t, "S G/   /   ")
	tokens := maze.Tokens()
	tokens[1], tokens[5] = int32(Path), 0
	if got := Judge(maze, FromTokens(tokens)); got.Valid || !strings.Contains(got.Why, "' ' became '?'") {
		t.Errorf("got %+v", got)
	}
}

// The images of the cells abcd, as numpy's rot90, fliplr, flipud and transpose make them.
func TestApply(t *testing.T) {
	g := Grid{2, []byte("abcd")}
	for symmetry, want := range []string{"abcd", "bdac", "dcba", "cadb", "badc", "cdab", "acbd", "dbca"} {
		out := make([]byte, 4)
		g.Apply(symmetry, out)
		if string(out) != want {
			t.Errorf("%d makes %s of %s, want %s", symmetry, out, g.Cells, want)
		}
	}
	inverse := []int{0, 3, 2, 1, 4, 5, 6, 7}
	rng := rand.New(rand.NewPCG(7, 7))
	for symmetry := range Symmetries {
		g, there, back := random(rng, 9), make([]byte, 81), make([]byte, 81)
		g.Apply(symmetry, there)
		Grid{9, there}.Apply(inverse[symmetry], back)
		if !bytes.Equal(back, g.Cells) {
			t.Errorf("%d is not undone by %d", symmetry, inverse[symmetry])
		}
	}
}

func TestKin_isSharedByImagesOnly(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	seen := map[Kin]bool{}
	for range 200 {
		g := random(rng, 8)
		kin := g.Kin()
		if seen[kin] {
			t.Fatalf("%s shares its kin with another maze", rows(g))
		}
		seen[kin] = true
		for symmetry := range Symmetries {
			image := Grid{8, make([]byte, 64)}
			g.Apply(symmetry, image.Cells)
			if image.Kin() != kin || image.reversed().Kin() != kin {
				t.Fatalf("symmetry %d of %s is not kin", symmetry, rows(g))
			}
		}
	}
}

func generated(t testing.TB, r Recipe) Generated {
	t.Helper()
	g, err := r.Generate(t.Context(), func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGenerate_keepsToTheRecipe(t *testing.T) {
	for _, r := range []Recipe{
		{Size: 5, MinPath: 6, Count: 100, Seed: 1}, {Size: 10, MinPath: 18, Count: 300, Seed: 2},
		{Size: 30, MinPath: 60, Count: 20, Seed: 3}, {Size: 64, MinPath: 100, Count: 5, Seed: 4},
	} {
		seen := map[Kin]bool{}
		g := generated(t, r)
		if len(g.Mazes) != r.Count || g.Grids < r.Count {
			t.Fatalf("%d mazes of %d grids, want %d mazes", len(g.Mazes), g.Grids, r.Count)
		}
		for _, m := range g.Mazes {
			walls := bytes.Count(m.Question.Cells, []byte{Wall})
			if least, most := r.walls(); walls < least || walls > most || PathLength(m.Question) <= r.MinPath || !Judge(m.Question, m.Answer).Shortest {
				t.Fatalf("%+v: %d walls, a path of %d: %s", r, walls, PathLength(m.Question), rows(m.Answer))
			}
			if seen[m.Question.Kin()] {
				t.Fatalf("%s is there twice", rows(m.Question))
			}
			seen[m.Question.Kin()] = true
		}
	}
}

func TestGenerate_drawsTheNumberOfWallsUniformly(t *testing.T) {
	s := newSearcher(Recipe{Size: 30, MinPath: 110})
	walls := map[int]int{}
	const grids = 181 * 200
	for i := range grids {
		s.pcg.Seed(seeded.Origin(1, forGrids, i))
		walls[900-len(s.draw())]++
	}
	for n := 270; n <= 450; n++ {
		if walls[n] < 130 || walls[n] > 270 { // 5 standard deviations
			t.Errorf("%d grids of %d have %d walls, want about 200", walls[n], grids, n)
		}
		delete(walls, n)
	}
	if len(walls) > 0 {
		t.Errorf("grids with %v walls", walls)
	}
}

// The distances that are used again change nothing: a search for each pair finds the same mazes.
func TestGenerate_findsWhatASearchForEachPairFinds(t *testing.T) {
	r := Recipe{Size: 12, MinPath: 24, Seed: 5}
	s := newSearcher(r)
	dist := make([]uint16, len(s.field.open))
	found := 0
	for i := range 3000 {
		got, ok := s.try(i)
		s.pcg.Seed(seeded.Origin(r.Seed, forGrids, i))
		free := s.draw()
		var want Maze
		for range pairsPerGrid {
			start, goal := s.rng.IntN(len(free)), s.rng.IntN(len(free)-1)
			if goal >= start {
				goal++
			}
			s.field.distances(int(free[start]), dist)
			if d := dist[free[goal]]; d != unreached && int(d)+1 > r.MinPath {
				want = s.maze(int(free[start]), int(free[goal]))
				break
			}
		}
		if ok != (want.Question.Cells != nil) || !bytes.Equal(got.Question.Cells, want.Question.Cells) {
			t.Fatalf("grid %d: %v, want %v", i, got, want)
		}
		if ok {
			found++
		}
	}
	if found < 100 {
		t.Errorf("only %d mazes to compare", found)
	}
}

func TestGenerate_dependsOnTheSeedAloneNotOnTheCores(t *testing.T) {
	r := Recipe{Size: 15, MinPath: 30, Count: 200, Seed: 6}
	text := func(g Generated) string {
		var s strings.Builder
		for _, m := range g.Mazes {
			s.WriteString(m.Answer.String())
		}
		return fmt.Sprint(g.Grids, s.String())
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	want := text(generated(t, r))
	for _, cores := range []int{2, 7} {
		runtime.GOMAXPROCS(cores)
		if text(generated(t, r)) != want {
			t.Errorf("%d cores make other mazes than one", cores)
		}
	}
	r.Seed++
	if text(generated(t, r)) == want {
		t.Error("another seed makes the same mazes")
	}
}

func TestGenerate_saysWhatToDoWhenThereIsNoSuchMaze(t *testing.T) {
	for _, c := range []struct {
		recipe Recipe
		want   string
	}{
		{Recipe{Size: 10, MinPath: 70, Count: 1}, `dataset.maze.minPathLength: is 70, but in a maze of 10x10 at most 70 cells are free: lower it, or raise dataset.maze.size`},
		{Recipe{Size: 6, MinPath: 22, Count: 10}, `dataset.maze: \d of 10 mazes of 6x6 found, and no further one in 300000 random grids: lower minPathLength \(22\) well below \d+, the longest path met, or count, or raise size`},
	} {
		_, err := c.recipe.Generate(t.Context(), func(int) {})
		var bad *dataerror.Error
		if !errors.As(err, &bad) || !regexp.MustCompile("^"+c.want+"$").MatchString(err.Error()) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestGenerate_stopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Recipe{Size: 30, MinPath: 20, Count: 1_000_000}.Generate(ctx, func(int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSplit_separatesFamilies(t *testing.T) {
	mazes := generated(t, Recipe{Size: 8, MinPath: 10, Count: 300}).Mazes
	for i, m := range mazes[:100] { // images of a third of them
		image := Maze{Grid{8, make([]byte, 64)}, Grid{8, make([]byte, 64)}, i}
		m.Question.Apply(1+i%7, image.Question.Cells)
		m.Answer.Apply(1+i%7, image.Answer.Cells)
		mazes = append(mazes, image)
	}
	train, test := Split(mazes, 90, 1)
	if len(test) != 90 || len(train) != 310 {
		t.Errorf("%d + %d mazes, want 310 + 90", len(train), len(test))
	}
	if left := DropKin(slices.Clone(train), test); len(left) != len(train) {
		t.Errorf("%d training mazes are images of a test maze", len(train)-len(left))
	}
	same := func(a, b []Maze) bool {
		return slices.EqualFunc(a, b, func(x, y Maze) bool { return bytes.Equal(x.Answer.Cells, y.Answer.Cells) })
	}
	again, _ := Split(mazes, 90, 1)
	other, _ := Split(mazes, 90, 2)
	if !same(train, again) || same(train, other) {
		t.Error("the split must depend on the seed, and on nothing else")
	}
}

func TestDraw_isReadAgain(t *testing.T) {
	maze := grid(t, "S#  /  # /#   /   G")
	for _, text := range []string{
		maze.Draw(), maze.String(), "S#..\n..#.\n#...\n...G", "S#\n  #\r\n#\n   G\n",
	} {
		if got, err := ParseText(text, 4); err != nil || !bytes.Equal(got.Cells, maze.Cells) {
			t.Errorf("%q became %q: %v", text, rows(got), err)
		}
	}
	for text, want := range map[string]string{
		"S#  \n  # \n":          "2 rows: expected 4",
		"S# G":                  "4 cells: expected 16, or 4 rows of 4",
		"S#   \n \n \n   G":     "row 1 has 5 cells: expected 4",
		"S#\n  x\n#\n   G\n":    "row 2 column 3 is 'x'",
		"#\n\n#\n   G\n":        "0 starts (S): expected one",
		"S\n\n#\n  GG\n":        "2 goals (G): expected one",
		"So\n\n#\n   G\n":       "a path (o) is in it already",
		strings.Repeat("x", 16): "row 1 column 1 is 'x'",
	} {
		if _, err := ParseText(text, 4); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestDrawColour_drawsTwoRowsALine(t *testing.T) {
	got := grid(t, "S# /oo#/#oG").DrawColour()
	plain := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(got, "")
	if plain != "▀▀▀\n▀▀▀\n" {
		t.Errorf("got %q", plain)
	}
	if want := "\x1b[38;5;33m\x1b[48;5;220m▀"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want it to begin with a start over a path", got)
	}
}

func BenchmarkGenerate30(b *testing.B) {
	s := newSearcher(Recipe{Size: 30, MinPath: 110})
	found := 0
	for i := 0; b.Loop(); i++ {
		if _, ok := s.try(i); ok {
			found++
		}
	}
	b.ReportMetric(60*float64(found)/b.Elapsed().Seconds(), "mazes/min")
}

func BenchmarkJudge30(b *testing.B) {
	m := generated(b, Recipe{Size: 30, MinPath: 60, Count: 1}).Mazes[0]
	for b.Loop() {
		Judge(m.Question, m.Answer)
	}
}
