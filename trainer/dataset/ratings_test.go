package dataset

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// two is a split of two examples.
func two(ratings []int32) Arrays {
	return Arrays{
		Metadata: Metadata{VocabSize: 5, SeqLen: 2, NumPuzzleIdentifiers: 1, TotalGroups: 2, MeanPuzzleExamples: 1, TotalPuzzles: 2, Sets: []string{"all"}},
		Inputs:   make([]uint8, 4), Labels: make([]uint8, 4), Identifiers: []int32{0, 0}, Puzzles: []int32{0, 1, 2}, Groups: []int32{0, 1, 2},
		Ratings: ratings,
	}
}

func writeTwo(t testing.TB, dir string, ratings []int32) {
	t.Helper()
	if err := WriteSplit(dir, Train, two(ratings)); err != nil {
		t.Fatal(err)
	}
}

func TestRating_isKnownOrNot(t *testing.T) {
	for name, c := range map[string]struct {
		ratings []int32
		want    [2]int32
		known   [2]bool
	}{
		"a dataset with ratings":      {[]int32{7, 0}, [2]int32{7, 0}, [2]bool{true, true}},
		"one of an unrated example":   {[]int32{UnknownRating, 3}, [2]int32{0, 3}, [2]bool{false, true}},
		"a dataset without the array": {nil, [2]int32{}, [2]bool{}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeTwo(t, dir, c.ratings)
			d := loaded(t, dir, Train)
			for i := range 2 {
				if rating, known := d.Rating(i); rating != c.want[i] || known != c.known[i] {
					t.Errorf("example %d: %d, %v", i, rating, known)
				}
			}
		})
	}
}

func TestRating_mayBeMissingInAStoreToo(t *testing.T) {
	dir := t.TempDir()
	writeTwo(t, dir, nil)
	d, err := load(dir, Train, func(name string) (io.ReadCloser, error) {
		f, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			return nil, objectstore.ErrNotFound
		}
		return f, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if rating, known := d.Rating(1); known {
		t.Errorf("rated %d", rating)
	}
}

func TestWriteSplit_leavesNoRatingsOfAFormerDataset(t *testing.T) {
	dir := t.TempDir()
	writeTwo(t, dir, []int32{7, 8})
	writeTwo(t, dir, nil)
	if _, err := os.Stat(filepath.Join(dir, Train, "all__ratings.npy")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestLoad_refusesBrokenRatings(t *testing.T) {
	vector := func(shape []int, v ...int32) string {
		var b bytes.Buffer
		if err := WriteNPY(&b, shape, v); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for name, c := range map[string]struct{ content, want string }{
		"too few":          {vector([]int{1}, 1), "1 ratings, but 2 inputs"},
		"none":             {vector([]int{0}), "0 ratings, but 2 inputs"},
		"two axes":         {vector([]int{1, 2}, 1, 2), "expected one axis"},
		"below unknown":    {vector([]int{2}, 1, -2), "example 1 has the rating -2"},
		"no array":         {"hello, world", "not a .npy"},
		"an array cut off": {vector([]int{2}, 1, 2)[:130], "ends too early"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeTwo(t, dir, nil)
			if err := os.WriteFile(filepath.Join(dir, Train, "all__ratings.npy"), []byte(c.content), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Load(dir, Train)
			var bad *DataError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "all__ratings.npy") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// Ratings that load are there for every example, and none is below 0.
func FuzzLoadRatings(f *testing.F) {
	dir := f.TempDir()
	writeTwo(f, dir, []int32{7, UnknownRating})
	f.Add(read(f, dir, "train/all__ratings.npy"))
	f.Add(read(f, dir, "train/all__inputs.npy"))
	f.Add([]byte{})
	files := map[string][]byte{}
	for _, name := range append(requiredFiles(), "train/all__ratings.npy") {
		if strings.HasPrefix(name, Train) {
			files[name] = read(f, dir, name)
		}
	}
	f.Fuzz(func(t *testing.T, ratings []byte) {
		d, err := load("f", Train, func(name string) (io.ReadCloser, error) {
			if name == "train/all__ratings.npy" {
				return io.NopCloser(bytes.NewReader(ratings)), nil
			}
			return io.NopCloser(bytes.NewReader(files[name])), nil
		})
		if err != nil {
			if bad := (*DataError)(nil); !errors.As(err, &bad) {
				t.Fatalf("%v is not a data error", err)
			}
			return
		}
		for i := range d.Examples() {
			if rating, known := d.Rating(i); known && rating < 0 {
				t.Fatalf("example %d is rated %d", i, rating)
			}
		}
	})
}

func ratingsOf(d *Dataset) []int32 {
	ratings := make([]int32, d.Examples())
	for i := range ratings {
		rating, known := d.Rating(i)
		if !known {
			rating = UnknownRating
		}
		ratings[i] = rating
	}
	return ratings
}

func TestMeanRating_leavesOutWhatIsUnknown(t *testing.T) {
	if mean := meanRating([]int32{3, UnknownRating, 6}); mean == nil || *mean != 4.5 {
		t.Errorf("got %v", mean)
	}
	if mean := meanRating(slices.Repeat([]int32{UnknownRating}, 3)); mean != nil {
		t.Errorf("got %v of nothing", *mean)
	}
}
