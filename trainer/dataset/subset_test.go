package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// unequalGroups is a split whose groups have 2, 3, 1 and 4 examples; each example is a puzzle, except those of the last group,
// which are one.
func unequalGroups(t *testing.T) *Dataset {
	t.Helper()
	dir := t.TempDir()
	err := WriteSplit(dir, Test, Arrays{
		Metadata: Metadata{VocabSize: 4, SeqLen: 2, NumPuzzleIdentifiers: 1, TotalGroups: 4, MeanPuzzleExamples: 1, TotalPuzzles: 7, Sets: []string{"all"}},
		Inputs:   []uint8{1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 3, 0, 1, 2, 1, 2, 1, 2, 1, 2}, Labels: slices.Repeat([]uint8{3}, 20),
		Identifiers: make([]int32, 7), Puzzles: []int32{0, 1, 2, 3, 4, 5, 6, 10}, Groups: []int32{0, 2, 5, 6, 7},
	})
	if err != nil {
		t.Fatal(err)
	}
	return loaded(t, dir, Test)
}

func TestWholeGroups(t *testing.T) {
	d := unequalGroups(t)
	for limit, want := range map[int]int{0: 10, 1: 1, 2: 2, 3: 2, 4: 2, 5: 5, 6: 6, 7: 6, 9: 6, 10: 10, 11: 10} {
		if got := d.WholeGroups(limit); got != want || len(d.First(limit)) != want {
			t.Errorf("of the first %d examples %d are whole groups (%v), want %d", limit, got, d.First(limit), want)
		}
	}
}

func TestSubset_drawsWholeGroups(t *testing.T) {
	d := unequalGroups(t)
	groups := [][]int32{{0, 1}, {2, 3, 4}, {5}, {6, 7, 8, 9}}
	seen := map[string]bool{}
	for seed := range int64(40) {
		got := d.Subset(6, seed)
		if !slices.IsSorted(got) || len(got) > 6 || len(got) < 2 || !slices.Equal(got, d.Subset(6, seed)) {
			t.Errorf("seed %d: %v", seed, got)
		}
		for _, group := range groups {
			if in := slices.Contains(got, group[0]); slices.ContainsFunc(group, func(i int32) bool { return slices.Contains(got, i) != in }) {
				t.Errorf("seed %d: %v has a part of %v", seed, got, group)
			}
		}
		seen[fmt.Sprint(got)] = true
	}
	if len(seen) < 4 {
		t.Errorf("forty seeds draw %v only", seen)
	}
	if got := d.Subset(0, 3); len(got) != 10 {
		t.Errorf("without a limit %v", got)
	}
	for seed := range int64(20) {
		if got := d.Subset(1, seed); len(got) != 1 {
			t.Errorf("a first group that is too large is cut, not left out: %v", got)
		}
	}
}

func TestDescribe(t *testing.T) {
	got, err := unequalGroups(t).Describe(t.Context())
	want := Statistics{
		Groups: 4, Puzzles: 7, Examples: 10, Length: Spread{1, 2, 1.7}, PuzzlesPerGroup: Spread{1, 3, 1.75}, ExamplesPerPuzzle: Spread{1, 4, 10.0 / 7},
		Inputs: []int64{3, 7, 7, 3}, Labels: []int64{0, 0, 0, 20},
	}
	near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })
	if diff := cmp.Diff(want, got, near); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestTaskOf(t *testing.T) {
	for name, row := range map[string]struct {
		manifest string
		m        Metadata
		want     v1alpha1.Task
		bad      bool
	}{
		"as its manifest says":  {`{"spec": {"task": "ARC"}}`, Metadata{SeqLen: 81, VocabSize: 11}, v1alpha1.TaskARC, false},
		"a manifest without it": {`{}`, Metadata{SeqLen: 81, VocabSize: 11}, v1alpha1.TaskSudoku, false},
		"a broken manifest":     {`[`, Metadata{}, "", true},
		"a Sudoku":              {"", Metadata{SeqLen: 81, VocabSize: 11}, v1alpha1.TaskSudoku, false},
		"a maze":                {"", Metadata{SeqLen: 900, VocabSize: 6}, v1alpha1.TaskMaze, false},
		"a grid of ARC":         {"", Metadata{SeqLen: 900, VocabSize: 12}, v1alpha1.TaskARC, false},
		"something else":        {"", Metadata{SeqLen: 900, VocabSize: 7}, v1alpha1.TaskCustom, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if row.manifest != "" {
				if err := os.WriteFile(filepath.Join(dir, manifestName), []byte(row.manifest), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := TaskOf(dir, &row.m)
			var bad *DataError
			if got != row.want || errors.As(err, &bad) != row.bad {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestReadIdentifiers(t *testing.T) {
	dir := t.TempDir()
	if names, err := ReadIdentifiers(dir); names != nil || err != nil {
		t.Errorf("without a file: %v, %v", names, err)
	}
	want := []string{"<blank>", "007bbfb7_t3_0123456789"}
	raw, _ := json.Marshal(want)
	if err := os.WriteFile(filepath.Join(dir, "identifiers.json"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if names, err := ReadIdentifiers(dir); err != nil || !slices.Equal(names, want) {
		t.Errorf("got %v, %v", names, err)
	}
}

func TestSolution(t *testing.T) {
	rules := RulesOf(v1alpha1.TaskSudoku, &Metadata{SeqLen: 81, VocabSize: 11}).(Solver)
	puzzle, err := sudokuRules{}.Parse("53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79")
	if err != nil {
		t.Fatal(err)
	}
	labels, ok := rules.Solution(puzzle)
	if verdict := (sudokuRules{}).Check(puzzle, labels); !ok || !verdict.Valid {
		t.Errorf("the solution %v is judged %+v", labels, verdict)
	}
	if _, ok := rules.Solution(slices.Repeat([]int32{1}, 81)); ok {
		t.Error("an empty board has one solution")
	}
}

// What lies beside a dataset's arrays is read or refused, whatever it is.
func FuzzTaskOf(f *testing.F) {
	f.Add([]byte(`{"spec": {"task": "ARC"}}`))
	f.Add([]byte(`["<blank>", "a"]`))
	f.Add([]byte(`{"spec": 7}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, name := range []string{manifestName, "identifiers.json"} {
			if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if task, err := TaskOf(dir, &Metadata{}); err == nil && task == "" {
			t.Error("neither a task nor an error")
		}
		_, _ = ReadIdentifiers(dir)
	})
}
