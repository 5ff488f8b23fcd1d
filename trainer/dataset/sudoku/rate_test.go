package sudoku

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// collections are the published puzzles with the guesses of tdoku, where they are at hand: beside the repository.
const collections = "../../../../shared/data/sudoku/"

// collection reads every nth puzzle of one, with their answers. ok is false where it is not at hand.
func collection(t testing.TB, name string, n int) (puzzles []Puzzle, ok bool) {
	t.Helper()
	f, err := os.Open(collections + name + ".csv.gz")
	if err != nil {
		return nil, false
	}
	defer f.Close()
	all, err := Parse(t.Context(), name, f)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(all); i += n {
		puzzles = append(puzzles, all[i])
	}
	if err := Check(t.Context(), name, puzzles, ignore); err != nil {
		t.Fatal(err)
	}
	return puzzles, true
}

// rankCorrelation is Spearman's: Pearson's of the ranks, with the mean rank for equal values.
func rankCorrelation(a, b []int) float64 {
	x, y := ranks(a), ranks(b)
	mean := float64(len(a)-1) / 2
	var xx, yy, xy float64
	for i := range x {
		xx += (x[i] - mean) * (x[i] - mean)
		yy += (y[i] - mean) * (y[i] - mean)
		xy += (x[i] - mean) * (y[i] - mean)
	}
	return xy / math.Sqrt(xx*yy)
}

func ranks(values []int) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(values[i], values[j]) })
	rank := make([]float64, len(values))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && values[order[j]] == values[order[i]] {
			j++
		}
		for _, k := range order[i:j] {
			rank[k] = float64(i+j-1) / 2
		}
		i = j
	}
	return rank
}

func mean(values []int) float64 {
	sum := 0
	for _, v := range values {
		sum += v
	}
	return float64(sum) / float64(len(values))
}

// compared returns the published ratings and ours.
func compared(t *testing.T, puzzles []Puzzle) (published, ours []int) {
	t.Helper()
	for i := range puzzles {
		published = append(published, puzzles[i].Rating)
		puzzles[i].Rating = NoRating
	}
	if err := RateMissing(t.Context(), puzzles, ignore); err != nil {
		t.Fatal(err)
	}
	for _, p := range puzzles {
		ours = append(ours, p.Rating)
	}
	return published, ours
}

func TestRate_ordersPuzzlesAsThePublishedRatingsDo(t *testing.T) {
	published, ours := compared(t, solved(t, 2000))
	r, of, at := rankCorrelation(published, ours), mean(published), mean(ours)
	t.Logf("rank correlation %.3f, mean %.2f for %.2f", r, at, of)
	if r < 0.95 || math.Abs(at-of) > 0.2 {
		t.Errorf("rank correlation %.3f, mean %.2f: want at least 0.95, and about %.2f", r, at, of)
	}
}

// The figures of docs/data-sudoku.md, of every tenth puzzle.
func TestRate_ofTheCollections(t *testing.T) {
	var published, ours []int
	for _, c := range []struct {
		name        string
		correlation float64
	}{
		{"17_clue", 0.95}, {"sudoku_exchange_se7plus", 0.75}, {"magictour_top1465", 0.6}, {"forum_hardest_1905_11plus", 0.4},
	} {
		puzzles, ok := collection(t, c.name, 10)
		if !ok {
			t.Skipf("%s is not at hand; TestRate_ordersPuzzlesAsThePublishedRatingsDo has puzzles of its own", c.name)
		}
		theirs, us := compared(t, puzzles)
		r := rankCorrelation(theirs, us)
		t.Logf("%-26s %6d puzzles: mean %6.2f for %6.2f, rank correlation %.3f", c.name, len(puzzles), mean(us), mean(theirs), r)
		if r < c.correlation {
			t.Errorf("%s: rank correlation %.3f, want at least %.2f", c.name, r, c.correlation)
		}
		published, ours = append(published, theirs...), append(ours, us...)
	}
	t.Logf("%-26s %6d puzzles: mean %6.2f for %6.2f, rank correlation %.3f", "all", len(ours), mean(ours), mean(published), rankCorrelation(published, ours))
}

func TestRate_isTheSameForEveryDisguise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	puzzles := load(t, "norvig_hardest.csv.gz")
	if err := Check(context.Background(), "", puzzles, ignore); err != nil {
		t.Fatal(err)
	}
	for _, p := range puzzles {
		want := Rate(&p)
		for range 5 {
			other := disguised(&p, rng)
			if got := Rate(&other); got != want {
				t.Errorf("line %d: rated %d, and %d in disguise", p.Line, want, got)
			}
		}
	}
}

func TestRate_isZeroWithoutGuesses(t *testing.T) {
	for _, text := range []string{easy, easySolution} {
		p := Puzzle{Question: board(t, text), Answer: board(t, easySolution)}
		if got := Rate(&p); got != 0 {
			t.Errorf("%s is rated %d", text, got)
		}
	}
}

func TestRateMissing_keepsTheSourcesRatings(t *testing.T) {
	puzzles := solved(t, 2)
	puzzles[0].Rating, puzzles[1].Rating = 77, NoRating
	if err := RateMissing(t.Context(), puzzles, ignore); err != nil {
		t.Fatal(err)
	}
	if puzzles[0].Rating != 77 || puzzles[1].Rating != Rate(&puzzles[1]) {
		t.Errorf("ratings %d and %d", puzzles[0].Rating, puzzles[1].Rating)
	}
}

func TestRatings_Keep(t *testing.T) {
	bound := func(v int32) *int32 { return &v }
	for name, c := range map[string]struct {
		ratings Ratings
		want    []int
	}{
		"no bounds": {Ratings{}, []int{0, 5, 9, NoRating}},
		"from 5":    {Ratings{Min: bound(5)}, []int{5, 9, NoRating}},
		"up to 5":   {Ratings{Max: bound(5)}, []int{0, 5, NoRating}},
		"only 5":    {Ratings{Min: bound(5), Max: bound(5)}, []int{5, NoRating}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			for _, p := range c.ratings.Keep([]Puzzle{{Rating: 0}, {Rating: 5}, {Rating: 9}, {Rating: NoRating}}) {
				got = append(got, p.Rating)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// hardest are the puzzles that take the solver longest: of the forum's collection where it is at hand.
func hardest(b *testing.B) []Puzzle {
	puzzles, ok := collection(b, "forum_hardest_1905_11plus", 10)
	if !ok {
		puzzles = load(b, "norvig_hardest.csv.gz")
	}
	return puzzles
}

// How fast puzzles are checked on all cores: go test -run ^$ -bench CheckHardest ./trainer/dataset/sudoku
//
// On a machine that does other things, too, the processor time tells more than the time.
func BenchmarkCheckHardest(b *testing.B) {
	puzzles := hardest(b)
	before := processorTime(b)
	for b.Loop() {
		if err := Check(context.Background(), "", puzzles, ignore); err != nil {
			b.Fatal(err)
		}
	}
	each := 100_000 / float64(b.N*len(puzzles))
	b.ReportMetric(b.Elapsed().Seconds()*each, "s/100000")
	b.ReportMetric((processorTime(b)-before).Seconds()*each, "cpu-s/100000")
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "cores")
}

func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
