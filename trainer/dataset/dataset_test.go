package dataset

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

const norvig = "sudoku/testdata/norvig_sudoku10k.csv.gz"

func int32p(v int32) *int32 { return &v }

// small is a recipe that builds in moments.
func small() v1alpha1.DatasetSpec {
	return v1alpha1.DatasetSpec{
		Task: v1alpha1.TaskSudoku, Source: v1alpha1.DatasetSource{URI: norvig}, TestFraction: "0.005",
		Subsample: int32p(60), Augmentations: 3, MaxBlanks: int32p(30), Seed: 5,
	}
}

func built(t testing.TB, spec v1alpha1.DatasetSpec) (string, Summary) {
	t.Helper()
	dir := t.TempDir()
	summary, err := Build(context.Background(), spec, Sources{}, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dir, summary
}

func loaded(t testing.TB, dir, split string) *Dataset {
	t.Helper()
	d, err := Load(dir, split)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func boards(d *Dataset, i int) (question, answer sudoku.Board) {
	in, out := d.Example(i)
	return sudoku.FromTokens(in), sudoku.FromTokens(out)
}

func TestBuild(t *testing.T) {
	dir, summary := built(t, small())
	train, test := loaded(t, dir, Train), loaded(t, dir, Test)
	if train.Groups() != 60 || train.Puzzles() != 240 || train.Examples() != 240 || test.Examples() != 50 {
		t.Fatalf("%d groups, %d puzzles, %d examples, %d for the test", train.Groups(), train.Puzzles(), train.Examples(), test.Examples())
	}
	if summary.Read != 10000 || summary.TrainExamples != 240 || summary.TestExamples != 50 {
		t.Errorf("summary %+v", summary)
	}
	held := map[sudoku.Board]bool{}
	for i := range test.Examples() {
		question, answer := boards(test, i)
		if !answer.IsSolutionOf(question) || question.Blanks() > 30 {
			t.Fatalf("test example %d: %s", i, question)
		}
		held[answer.Canonical()] = true
	}
	for i := range train.Examples() {
		question, answer := boards(train, i)
		if !answer.IsSolutionOf(question) || question.Blanks() > 30 {
			t.Fatalf("training example %d: %s", i, question)
		}
		if held[answer.Canonical()] {
			t.Fatalf("training example %d is a test puzzle in disguise", i)
		}
	}
}

func TestBuild_sameRecipeSameBytes(t *testing.T) {
	a, _ := built(t, small())
	b, _ := built(t, small())
	other := small()
	other.Seed++
	c, _ := built(t, other)
	for _, name := range append(requiredFiles(), manifestName) {
		x, y := read(t, a, name), read(t, b, name)
		if !bytes.Equal(x, y) {
			t.Errorf("%s differs between two builds", name)
		}
		if strings.HasSuffix(name, "inputs.npy") && bytes.Equal(x, read(t, c, name)) {
			t.Errorf("%s does not depend on the seed", name)
		}
	}
}

func read(t testing.TB, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuild_badDataIsRecognisable(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	one := "..3.2.6..9..3.5..1..18.64....81.29..7.......8..67.82....26.95..8..2.3..9..5.1.3..\n"
	for _, c := range []struct {
		name, uri, want string
		change          func(*v1alpha1.DatasetSpec)
	}{
		{"no such file", dir + "/none", "correct dataset.source.uri", nil},
		{"an unknown scheme", "ftp://host/x", "unknown scheme", nil},
		{"an empty file", file("empty", ""), "holds no puzzle", nil},
		{"an empty board", file("blank", one+strings.Repeat(".", 81)+"\n"), ":2: the puzzle has several solutions", nil},
		{"nothing to train on", file("one", one), "no puzzle is left", nil},
		{"too few puzzles", file("two", one), "lower it", func(s *v1alpha1.DatasetSpec) { s.TestFraction = "0" }},
		{"only easier puzzles", file("three", one), "no puzzle is left", func(s *v1alpha1.DatasetSpec) { s.MinRating = int32p(2) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := small()
			spec.Source.URI = c.uri
			if c.change != nil {
				c.change(&spec)
			}
			_, err := Build(context.Background(), spec, Sources{}, t.TempDir(), nil)
			var bad *DataError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a data error with %q", err, c.want)
			}
		})
	}
}

func TestBuild_readsURLsAndFoldersAlike(t *testing.T) {
	server := httptest.NewServer(http.FileServer(http.Dir("sudoku/testdata")))
	defer server.Close()
	folder := t.TempDir()
	if err := os.WriteFile(folder+"/train.csv.gz", read(t, "", norvig), 0o644); err != nil {
		t.Fatal(err)
	}
	want, _ := built(t, small())
	for _, uri := range []string{server.URL + "/norvig_sudoku10k.csv.gz?token=secret", folder, "file://" + folder + "/"} {
		spec := small()
		spec.Source.URI = uri
		got, _ := built(t, spec)
		if !bytes.Equal(read(t, got, manifestName), read(t, want, manifestName)) {
			t.Errorf("%s makes another dataset", uri)
		}
	}
	spec := small()
	spec.Source.URI = server.URL + "/README.md?token=secret"
	_, err := Build(context.Background(), spec, Sources{}, t.TempDir(), nil)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error without the query", err)
	}
}

func TestCached(t *testing.T) {
	store, err := objectstore.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	cached := func() (dir, uri string, hit bool) {
		t.Helper()
		c, err := Cached(ctx, store, "jobs/a", small(), Sources{}, Local{Scratch: t.TempDir()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		loaded(t, c.Dir, Train)
		return c.Dir, c.URI, c.Hit
	}
	first, uri, hit := cached()
	if hit || !strings.Contains(uri, "jobs/a/datasets/") {
		t.Fatalf("first: hit %v at %s", hit, uri)
	}
	second, again, hit := cached()
	if !hit || again != uri || !bytes.Equal(read(t, first, "train/all__inputs.npy"), read(t, second, "train/all__inputs.npy")) {
		t.Fatalf("second: hit %v at %s", hit, again)
	}
	objects, err := store.List(ctx, "jobs/a/datasets/")
	if err != nil || len(objects) != len(requiredFiles())+3 { // two arrays of ratings, and the manifest
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	for _, o := range objects {
		if err := store.Delete(ctx, o.Key); err != nil {
			t.Fatal(err)
		}
		if _, _, hit := cached(); hit {
			t.Errorf("without %s the dataset still counts as complete", o.Key)
		}
		if _, err := store.Put(ctx, o.Key, strings.NewReader("rubbish"), 7, objectstore.Condition{}); err != nil {
			t.Fatal(err)
		}
		if _, _, hit := cached(); hit {
			t.Errorf("with another %s the dataset still counts as complete", o.Key)
		}
	}
	if _, _, hit := cached(); !hit {
		t.Error("the dataset was not mended")
	}
}

// Processes of different jobs on one machine may share the folder for what need not last.
func TestCached_byManyInOneFolder(t *testing.T) {
	scratch := t.TempDir()
	var group errgroup.Group
	for range 4 {
		group.Go(func() error {
			store, err := objectstore.OpenDir(t.TempDir())
			if err != nil {
				return err
			}
			for range 3 {
				c, err := Cached(t.Context(), store, "", small(), Sources{}, Local{Scratch: scratch}, nil)
				if err != nil {
					return err
				}
				defer c.Close()
				if _, err := Load(c.Dir, Train); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func TestRecipeHash(t *testing.T) {
	base := RecipeHash(small(), "x")
	moved := small()
	moved.Source.URI = "s3://elsewhere/x"
	if RecipeHash(moved, "x") != base {
		t.Error("the place of the source must not matter")
	}
	harder := small()
	harder.MaxBlanks = nil
	if RecipeHash(harder, "x") == base || RecipeHash(small(), "y") == base {
		t.Error("recipe and content must matter")
	}
}

// grouped writes a dataset with groups of several puzzles, each of several examples.
func TestLoad_refusesBrokenDatasets(t *testing.T) {
	good, _ := built(t, small())
	vector := func(v ...int32) string {
		var b bytes.Buffer
		if err := WriteNPY(&b, []int{len(v)}, v); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	inputs := string(read(t, good, "train/all__inputs.npy"))
	meta := string(read(t, good, "train/dataset.json"))
	for _, c := range []struct{ name, file, content, want string }{
		{"a short array", "all__inputs.npy", inputs[:len(inputs)-1], "ends too early"},
		{"a long array", "all__inputs.npy", inputs + "x", "after the end"},
		{"no array", "all__labels.npy", "hello, world", "not a .npy"},
		{"a token outside the vocabulary", "all__inputs.npy", inputs[:len(inputs)-1] + "\x0b", "token 11"},
		{"other numbers of rows", "all__labels.npy", string(read(t, good, "test/all__labels.npy")), "50 examples, but 240"},
		{"an offset that goes back", "all__puzzle_indices.npy", vector(0, 5, 3), "expected a larger one"},
		{"an offset out of range", "all__group_indices.npy", vector(0, 100000), "ends with 100000"},
		{"an unknown identifier", "all__puzzle_identifiers.npy", vector(make([]int32, 239)...), "239 identifiers for 240"},
		{"no JSON", "dataset.json", meta[:40], "not the expected JSON"},
		{"a set outside the folder", "dataset.json", strings.Replace(meta, `"all"`, `"../all"`, 1), "expected one name"},
		{"another object behind", "dataset.json", meta + "{}", "not the expected JSON"},
		{"too long", "dataset.json", meta + strings.Repeat(" ", 1<<20), "holds more than 1048576 bytes"},
		{"identifiers without end", "dataset.json", strings.Replace(meta, `"num_puzzle_identifiers": 1`, `"num_puzzle_identifiers": 9000000000000`, 1), "num_puzzle_identifiers is 9000000000000"},
		{"a mean above all examples", "dataset.json", strings.Replace(meta, `"mean_puzzle_examples": 1`, `"mean_puzzle_examples": 1e300`, 1), "mean_puzzle_examples is 1e+300"},
		{"no length", "dataset.json", strings.Replace(meta, `"seq_len": 81`, `"seq_len": -81`, 1), "seq_len"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "train", c.file), []byte(c.content), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Load(dir, Train)
			var bad *DataError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.file) {
				t.Errorf("got %v, want %q about %s", err, c.want, c.file)
			}
		})
	}
}

func TestFetch_endsWithASourceThatDoesNot(t *testing.T) {
	f := fetcher{files: endless{}, dir: t.TempDir(), maxBytes: 1000}
	err := f.fetchTable(t.Context(), "https://user:secret@host/x.csv?token=secret")
	var bad *DataError
	if !errors.As(err, &bad) || bad.Source != "https://host/x.csv" || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want a data error without what is secret", err)
	}
}

type endless struct{ Sources }

func (endless) Open(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(zeros{}), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A dataset that loads can be read from its first to its last example, without a token that the model does not know.
func FuzzLoad(f *testing.F) {
	fields := []string{"inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices"}
	dir := f.TempDir()
	err := WriteSplit(dir, Train, Arrays{
		Metadata: Metadata{VocabSize: 5, SeqLen: 4, NumPuzzleIdentifiers: 3, TotalGroups: 2, MeanPuzzleExamples: 1, TotalPuzzles: 3, Sets: []string{"all"}},
		Inputs:   make([]uint8, 12), Labels: make([]uint8, 12), Identifiers: []int32{0, 1, 2}, Puzzles: []int32{0, 1, 2, 3}, Groups: []int32{0, 2, 3},
	})
	if err != nil {
		f.Fatal(err)
	}
	meta := read(f, dir, "train/dataset.json")
	var arrays [5][]byte
	for i, field := range fields {
		arrays[i] = read(f, dir, "train/"+arrayFile("all", field))
	}
	f.Add(meta, arrays[0], arrays[1], arrays[2], arrays[3], arrays[4])
	f.Add([]byte(`{"sets":["all"],"seq_len":1048576,"vocab_size":16777216,"num_puzzle_identifiers":9223372036854775807}`), arrays[4], arrays[3], arrays[2], arrays[1], arrays[0])
	f.Fuzz(func(t *testing.T, meta, inputs, labels, identifiers, puzzles, groups []byte) {
		files := map[string][]byte{"train/dataset.json": meta}
		for i, content := range [][]byte{inputs, labels, identifiers, puzzles, groups} {
			files["train/"+arrayFile("all", fields[i])] = content
		}
		d, err := load("f", Train, func(name string) (io.ReadCloser, error) {
			content, ok := files[name]
			if !ok {
				return nil, os.ErrNotExist
			}
			return io.NopCloser(bytes.NewReader(content)), nil
		})
		var bad *DataError
		if err != nil {
			if !errors.As(err, &bad) {
				t.Fatalf("%v is not a data error", err)
			}
			return
		}
		for i := range d.Examples() {
			in, _ := d.Example(i)
			if slices.Min(in) < 0 || int(slices.Max(in)) >= d.VocabSize {
				t.Fatalf("example %d holds %v", i, in)
			}
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
