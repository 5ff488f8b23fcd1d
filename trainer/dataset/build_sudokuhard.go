package dataset

import (
	"context"
	"math"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
)

// sudokuHard stands in for Sudoku-Extreme: collections in the shares that give the mean rating of its puzzles, about 22.
var sudokuHard = []ingredient{{"forum_hardest_1905_11plus", 0.64}, {"17_clue", 0.36}}

// ingredient is a collection and its share of the puzzles.
type ingredient struct {
	name  string
	share float64
}

// fetchSudokuHard fetches the collections, NAME.csv or NAME.csv.gz, from a folder.
func (f *fetcher) fetchSudokuHard(ctx context.Context, uri string) error {
	for _, c := range sudokuHard {
		file := strings.TrimSuffix(uri, "/") + "/" + c.name + ".csv"
		found, err := f.fetchEither(ctx, file, c.name)
		if err != nil {
			return err
		}
		if !found {
			return dataerror.New(sourceName(uri), 0, "holds no %s.csv or %[1]s.csv.gz: correct dataset.source.uri, or put the collection there", c.name)
		}
	}
	return nil
}

// buildSudokuHard splits all puzzles of the collections by family, so that no test puzzle is a training puzzle in disguise, and
// mixes each part in the given shares. As the collections hold puzzles in a form of their own, each is then disguised at random.
func buildSudokuHard(ctx context.Context, common *building) error {
	b := sudokuBuild{building: common}
	var all []sudoku.Puzzle
	for i, c := range sudokuHard {
		puzzles, err := b.read(ctx, b.src.file(c.name))
		if err != nil {
			return err
		}
		for j := range puzzles {
			puzzles[j].Collection = i
		}
		b.summary.Collections = append(b.summary.Collections, Collection{Name: c.name, Puzzles: len(puzzles)})
		all = append(all, puzzles...)
	}
	distinct, err := sudoku.Distinct(ctx, all, b.compared(len(all)))
	if err != nil {
		return err
	}
	b.summary.Duplicates += len(all) - len(distinct)
	if err := b.split(ctx, distinct); err != nil {
		return err
	}
	if err := b.mix(); err != nil {
		return err
	}
	sudoku.Disguise(b.train, b.spec.Seed)
	sudoku.Disguise(b.test, ^b.spec.Seed)
	return b.write(ctx)
}

// mix takes as many puzzles of each collection as its share allows, of the training puzzles no more than subsample.
func (b *sudokuBuild) mix() error {
	size, scarce := mixtureSize(b.train)
	if size == 0 {
		return dataerror.New(b.src.file(sudokuHard[scarce].name).name, 0,
			"no puzzle is left to train on: lower testFraction, or widen minRating and maxRating")
	}
	size, err := b.drawn(b.src.file(sudokuHard[scarce].name).name, "puzzles to train on", size)
	if err != nil {
		return err
	}
	b.train = mixture(b.train, size)
	held, _ := mixtureSize(b.test)
	b.test = mixture(b.test, held)
	for _, p := range b.train {
		b.summary.Collections[p.Collection].Train++
	}
	for _, p := range b.test {
		b.summary.Collections[p.Collection].Test++
	}
	return nil
}

// mixtureSize is the most puzzles that can be mixed, and the collection that has no more to give.
func mixtureSize(puzzles []sudoku.Puzzle) (size, scarce int) {
	has := make([]int, len(sudokuHard))
	for _, p := range puzzles {
		has[p.Collection]++
	}
	size = math.MaxInt
	for i, c := range sudokuHard {
		if n := int(float64(has[i]) / c.share); n < size {
			size, scarce = n, i
		}
	}
	for !covers(has, quotas(size)) {
		size-- // rounding asks for one more than there is
	}
	return size, scarce
}

func covers(has, wanted []int) bool {
	for i, n := range wanted {
		if n > has[i] {
			return false
		}
	}
	return true
}

// mixture takes the first puzzles of each collection, in their order, which is random.
func mixture(puzzles []sudoku.Puzzle, size int) []sudoku.Puzzle {
	left := quotas(size)
	mixed := make([]sudoku.Puzzle, 0, size)
	for _, p := range puzzles {
		if left[p.Collection] > 0 {
			left[p.Collection]--
			mixed = append(mixed, p)
		}
	}
	return mixed
}

// quotas divides a number of puzzles by the shares; the last collection gets what rounding leaves.
func quotas(size int) []int {
	left, counts := size, make([]int, len(sudokuHard))
	for i, c := range sudokuHard {
		counts[i] = min(left, int(math.Round(c.share*float64(size))))
		if i == len(sudokuHard)-1 {
			counts[i] = left
		}
		left -= counts[i]
	}
	return counts
}
