package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/officialloader"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
)

// puzzles are the easy ones of the sudoku package's tests, with ratings and answers.
func puzzles(t testing.TB, n int) []sudoku.Puzzle {
	t.Helper()
	f, err := os.Open(norvig)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := sudoku.Parse(t.Context(), norvig, f)
	if err != nil {
		t.Fatal(err)
	}
	if err := sudoku.Check(t.Context(), norvig, all[:n], func(int) {}); err != nil {
		t.Fatal(err)
	}
	return all[:n]
}

// writeCSV writes puzzles in the columns of the collections.
func writeCSV(t testing.TB, name string, puzzles []sudoku.Puzzle, rating func(int) int) {
	t.Helper()
	text := bytes.NewBufferString("puzzle,rating\n")
	for i, p := range puzzles {
		fmt.Fprintf(text, "%s,%d\n", p.Question, rating(i))
	}
	if strings.HasSuffix(name, ".gz") {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(text.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		text = &packed
	}
	if err := os.WriteFile(name, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// collections is a folder with the two that sudoku-hard is made of: 300 puzzles rated 30, of which the last 20 are others of
// them in disguise, and 300 rated 0.
func collections(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	all := puzzles(t, 580)
	hard := slices.Clone(all[:280])
	disguised := slices.Clone(hard[:20])
	sudoku.Disguise(disguised, 77)
	writeCSV(t, dir+"/forum_hardest_1905_11plus.csv.gz", append(hard, disguised...), func(int) int { return 30 })
	writeCSV(t, dir+"/17_clue.csv", all[280:], func(int) int { return 0 })
	return dir
}

func hardSpec(folder string) v1alpha1.DatasetSpec {
	return v1alpha1.DatasetSpec{
		Task: v1alpha1.TaskSudoku, Recipe: v1alpha1.DatasetRecipeSudokuHard, Source: v1alpha1.DatasetSource{URI: folder},
		TestFraction: "0.25", Subsample: int32p(100), Augmentations: 2, Seed: 3,
	}
}

func TestBuildSudokuHard_keepsTheSharesInBothParts(t *testing.T) {
	dir, summary := built(t, hardSpec(collections(t)))
	train, test := loaded(t, dir, Train), loaded(t, dir, Test)
	if train.Groups() != 100 || train.Examples() != 300 || summary.TrainGroups != 100 {
		t.Errorf("%d groups of %d examples; summary %+v", train.Groups(), train.Examples(), summary)
	}
	hard, easy := summary.Collections[0], summary.Collections[1]
	if hard.Name != "forum_hardest_1905_11plus" || hard.Train != 64 || easy.Train != 36 || hard.Puzzles != 300 || easy.Puzzles != 300 {
		t.Errorf("collections %+v", summary.Collections)
	}
	if share := float64(hard.Test) / float64(test.Examples()); math.Abs(share-0.64) > 0.01 || hard.Test+easy.Test != test.Examples() {
		t.Errorf("%d + %d of %d test puzzles", hard.Test, easy.Test, test.Examples())
	}
	if summary.Read != 600 || summary.Duplicates < 20 {
		t.Errorf("%d puzzles read, %d twice: want 600, and 20 in disguise", summary.Read, summary.Duplicates)
	}
	if *summary.TrainRating != 0.64*30 || math.Abs(*summary.TestRating-0.64*30) > 0.5 {
		t.Errorf("mean ratings %g and %g", *summary.TrainRating, *summary.TestRating)
	}
}

func TestBuildSudokuHard_holdsNoPuzzleTwiceNotEvenInDisguise(t *testing.T) {
	dir, _ := built(t, hardSpec(collections(t)))
	seen := map[sudoku.Board]string{}
	for _, split := range []string{Train, Test} {
		d := loaded(t, dir, split)
		for g := range d.Groups() {
			question, answer := boards(d, int(d.puzzles[d.groups[g]]))
			p := sudoku.Puzzle{Question: question, Answer: answer}
			form := p.Canonical()
			if where, again := seen[form]; again {
				t.Errorf("%s of %s is also in %s", question, split, where)
			}
			seen[form] = split
		}
	}
}

func TestBuildSudokuHard_disguisesEveryPuzzle(t *testing.T) {
	dir, _ := built(t, hardSpec(collections(t)))
	known := map[sudoku.Board]bool{}
	for _, p := range puzzles(t, 580) {
		known[p.Question] = true
	}
	for _, split := range []string{Train, Test} {
		d := loaded(t, dir, split)
		for i := range d.Examples() {
			if question, _ := boards(d, i); known[question] {
				t.Errorf("example %d of %s is as it was in the collection", i, split)
			}
		}
	}
}

func TestBuildSudokuHard_dependsOnSeedAndContentAlone(t *testing.T) {
	first := hardSpec(collections(t))
	again := hardSpec(collections(t) + "/")
	other := first
	other.Seed++
	a, _ := built(t, first)
	b, _ := built(t, again)
	c, _ := built(t, other)
	const name = "train/all__inputs.npy"
	if !bytes.Equal(read(t, a, manifestName), read(t, b, manifestName)) {
		t.Error("the same recipe makes two datasets")
	}
	if bytes.Equal(read(t, a, name), read(t, c, name)) {
		t.Error("the seed makes no difference")
	}
}

func TestBuildSudokuHard_saysWhatIsMissing(t *testing.T) {
	folder := collections(t)
	lacking := t.TempDir()
	if err := os.CopyFS(lacking, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(lacking, "17_clue.csv")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		folder string
		change func(*v1alpha1.DatasetSpec)
		want   string
	}{
		"a collection":        {lacking, func(*v1alpha1.DatasetSpec) {}, "holds no 17_clue.csv or 17_clue.csv.gz"},
		"puzzles":             {folder, func(s *v1alpha1.DatasetSpec) { s.Subsample = int32p(500) }, "puzzles to train on, but subsample asks for 500"},
		"a share, by ratings": {folder, func(s *v1alpha1.DatasetSpec) { s.MinRating = int32p(1) }, "17_clue.csv: no puzzle is left"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := hardSpec(c.folder)
			c.change(&spec)
			_, err := Build(t.Context(), spec, Sources{}, t.TempDir(), nil)
			var bad *DataError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a data error with %q", err, c.want)
			}
		})
	}
}

func TestMixtureSize_roundsToWhatIsThere(t *testing.T) {
	for _, c := range []struct{ hard, easy, size int }{{64, 36, 100}, {64, 100, 100}, {640, 36, 100}, {0, 9, 0}, {9, 0, 0}, {1, 1, 2}, {16, 10, 25}} {
		var all []sudoku.Puzzle
		for range c.hard {
			all = append(all, sudoku.Puzzle{Collection: 0})
		}
		for range c.easy {
			all = append(all, sudoku.Puzzle{Collection: 1})
		}
		size, _ := mixtureSize(all)
		if got := len(mixture(all, size)); got != size {
			t.Errorf("%d + %d: size %d, but %d puzzles", c.hard, c.easy, size, got)
		}
		if math.Abs(float64(size-c.size)) > 1 {
			t.Errorf("%d + %d: size %d, want %d", c.hard, c.easy, size, c.size)
		}
	}
}

func TestBuild_givesEveryVariantTheRatingOfItsPuzzle(t *testing.T) {
	spec := small()
	spec.MaxBlanks = nil
	dir, summary := built(t, spec)
	d := loaded(t, dir, Train)
	rated := map[sudoku.Board]int32{}
	for _, p := range puzzles(t, 10000) {
		rated[p.Question] = int32(p.Rating)
	}
	sum := 0.0
	for g := range d.Groups() {
		first := int(d.puzzles[d.groups[g]])
		original, _ := boards(d, first)
		for i := first; i < first+4; i++ {
			if rating, known := d.Rating(i); !known || rating != rated[original] {
				t.Errorf("example %d is rated %d, %v: want %d", i, rating, known, rated[original])
			}
		}
		sum += float64(rated[original])
	}
	if got, want := *summary.TrainRating, sum/60; math.Abs(got-want) > 1e-9 {
		t.Errorf("mean rating %g, want %g", got, want)
	}
}

func TestBuild_forgetsTheRatingOfPuzzlesMadeEasier(t *testing.T) {
	dir, summary := built(t, small())
	if got := ratingsOf(loaded(t, dir, Train)); slices.Max(got) != UnknownRating || summary.TrainRating != nil {
		t.Errorf("ratings %v, mean %v", got, summary.TrainRating)
	}
}

func TestBuild_filtersByRating(t *testing.T) {
	all := puzzles(t, 400)
	source := filepath.Join(t.TempDir(), "puzzles.csv")
	writeCSV(t, source, all, func(i int) int { return i % 7 })
	lines := filepath.Join(t.TempDir(), "unrated.txt")
	var text strings.Builder
	for _, p := range all {
		text.WriteString(p.Question.String() + "\n")
	}
	if err := os.WriteFile(lines, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		uri         string
		least, most *int32
	}{
		"by the source's ratings, from":  {source, int32p(5), nil},
		"by the source's ratings, up to": {source, nil, int32p(1)},
		"between both":                   {source, int32p(2), int32p(3)},
		"by our own":                     {lines, int32p(1), int32p(8)},
	} {
		t.Run(name, func(t *testing.T) {
			spec := small()
			spec.Source.URI, spec.MinRating, spec.MaxRating, spec.Subsample, spec.MaxBlanks = c.uri, c.least, c.most, nil, nil
			dir, summary := built(t, spec)
			ratings := append(ratingsOf(loaded(t, dir, Train)), ratingsOf(loaded(t, dir, Test))...)
			if c.least != nil && slices.Min(ratings) < *c.least || c.most != nil && slices.Max(ratings) > *c.most || slices.Min(ratings) < 0 {
				t.Errorf("ratings from %d to %d", slices.Min(ratings), slices.Max(ratings))
			}
			if left := summary.TrainGroups + summary.TestExamples; left == 0 || left >= summary.Read {
				t.Errorf("%d of %d puzzles are left", left, summary.Read)
			}
		})
	}
}

// A published dataset is a folder with a train.csv and a test.csv; its split stays, less what is in both in disguise.
func TestBuild_keepsThePublishedSplit(t *testing.T) {
	folder := t.TempDir()
	all := puzzles(t, 60)
	held := slices.Clone(all[40:])
	copies := slices.Clone(held[:3])
	sudoku.Disguise(copies, 5)
	for name, part := range map[string][]sudoku.Puzzle{"train.csv": append(slices.Clone(all[:40]), copies...), "test.csv": held} {
		text := "source,question,answer,rating\n"
		for i, p := range part {
			text += fmt.Sprintf("puzzles%d,%s,%s,%d\n", i%3, p.Question, strings.ReplaceAll(p.Answer.String(), ".", "0"), i)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	spec := v1alpha1.DatasetSpec{Task: v1alpha1.TaskSudoku, Source: v1alpha1.DatasetSource{URI: folder}}
	dir, summary := built(t, spec)
	train, test := loaded(t, dir, Train), loaded(t, dir, Test)
	if train.Examples() != 40 || test.Examples() != 20 || summary.Related != 3 {
		t.Fatalf("%d to train on, %d held out, %d dropped", train.Examples(), test.Examples(), summary.Related)
	}
	for i := range test.Examples() {
		question, answer := boards(test, i)
		rating, _ := test.Rating(i)
		if question != held[i].Question || answer != held[i].Answer || int(rating) != i {
			t.Errorf("test puzzle %d is %s, rated %d", i, question, rating)
		}
	}
}

func TestBuild_isReadByTheOfficialLoader(t *testing.T) {
	for name, spec := range map[string]v1alpha1.DatasetSpec{"sudoku": small(), "sudoku-hard": hardSpec(collections(t))} {
		t.Run(name, func(t *testing.T) {
			dir, summary := built(t, spec)
			counts := officialloader.Check(t, dir)
			train := officialloader.Counts{Groups: summary.TrainGroups, Puzzles: summary.TrainExamples, Examples: summary.TrainExamples}
			test := officialloader.Counts{Groups: summary.TestExamples, Puzzles: summary.TestExamples, Examples: summary.TestExamples}
			if counts[Train] != train || counts[Test] != test {
				t.Errorf("numpy finds %+v, want %+v and %+v", counts, train, test)
			}
		})
	}
}

func TestBuild_stopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, hardSpec(collections(t)), Sources{}, t.TempDir(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
