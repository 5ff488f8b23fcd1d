package officialloader

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// written is a dataset of two groups of several puzzles, one of them with several examples.
func written(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ignore := int32(0)
	for _, split := range []string{dataset.Train, dataset.Test} {
		err := dataset.WriteSplit(dir, split, dataset.Arrays{
			Metadata: dataset.Metadata{
				IgnoreLabelID: &ignore, VocabSize: 5, SeqLen: 2, NumPuzzleIdentifiers: 4,
				TotalGroups: 2, MeanPuzzleExamples: 4.0 / 3, TotalPuzzles: 3, Sets: []string{"all"},
			},
			Inputs: []uint8{1, 2, 3, 4, 1, 2, 3, 4}, Labels: []uint8{1, 0, 2, 0, 3, 0, 4, 0},
			Identifiers: []int32{1, 2, 3}, Puzzles: []int32{0, 1, 3, 4}, Groups: []int32{0, 2, 3}, Ratings: []int32{5, 6, 7, -1},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "identifiers.json", `["<blank>", "a", "b", "c"]`)
	return dir
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCheck_counts(t *testing.T) {
	counts := Check(t, written(t))
	want := Counts{Groups: 2, Puzzles: 3, Examples: 4}
	if len(counts) != 2 || counts["train"] != want || counts["test"] != want {
		t.Errorf("counts %+v", counts)
	}
}

func TestCheck_findsWhatTheOfficialLoaderCannotRead(t *testing.T) {
	good := written(t)
	Check(t, good)
	python, err := interpreter()
	if err != nil {
		t.Fatal(err)
	}
	array := func(shape []int, data ...int32) string {
		var b strings.Builder
		if err := dataset.WriteNPY(&b, shape, data); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	vector := func(data ...int32) string { return array([]int{len(data)}, data...) }
	var bytes strings.Builder
	if err := dataset.WriteNPY(&bytes, []int{3}, []uint8{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(good, "test", "dataset.json"))
	if err != nil {
		t.Fatal(err)
	}
	metadata := func(from, to string) string {
		changed := strings.Replace(string(text), from, to, 1)
		if changed == string(text) {
			t.Fatalf("%q is not in dataset.json", from)
		}
		return changed
	}
	for name, c := range map[string]struct{ file, content, want string }{
		"offsets from 1":                    {"test/all__puzzle_indices.npy", vector(1, 2, 3, 4), "puzzle_indices does not begin with 0"},
		"an empty puzzle":                   {"test/all__puzzle_indices.npy", vector(0, 1, 1, 4), "puzzle_indices does not increase"},
		"offsets beyond the examples":       {"test/all__puzzle_indices.npy", vector(0, 1, 3, 5), "puzzle_indices ends with 5"},
		"groups of puzzles that are not":    {"test/all__group_indices.npy", vector(0, 2, 4), "group_indices ends with 4"},
		"identifiers of bytes":              {"test/all__puzzle_identifiers.npy", bytes.String(), "puzzle_identifiers is uint8"},
		"an identifier out of range":        {"test/all__puzzle_identifiers.npy", vector(1, 2, 4), "puzzle_identifiers leave their range"},
		"boards of another length":          {"test/all__inputs.npy", array([]int{4, 1}, 1, 2, 3, 4), "inputs has shape (4, 1)"},
		"a token outside the vocabulary":    {"test/all__inputs.npy", array([]int{4, 2}, 1, 2, 3, 4, 1, 2, 3, 5), "inputs leave the vocabulary"},
		"nothing to learn":                  {"test/all__labels.npy", array([]int{4, 2}, make([]int32, 8)...), "no labels"},
		"no array":                          {"test/all__labels.npy", "hello", "test:"},
		"a missing key":                     {"test/dataset.json", metadata(`"pad_id"`, `"pad"`), "pad_id is None"},
		"a wrong number of groups":          {"test/dataset.json", metadata(`"total_groups": 2`, `"total_groups": 3`), "total_groups is 3 of 2"},
		"a wrong number of puzzles":         {"test/dataset.json", metadata(`"total_puzzles": 3`, `"total_puzzles": 4`), "total_puzzles is 4 of 3"},
		"another set":                       {"test/dataset.json", metadata(`"all"`, `"most"`), "sets is ['most']"},
		"a wrong mean":                      {"test/dataset.json", metadata("1.33", "1.34"), "mean_puzzle_examples is 1.34"},
		"more names than identifiers":       {"identifiers.json", `["<blank>", "a", "b", "c", "d"]`, "5 identifiers, but num_puzzle_identifiers is 4"},
		"training data broken all the same": {"train/all__group_indices.npy", vector(0, 3, 3), "train: group_indices does not increase"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			write(t, dir, c.file, c.content)
			if _, err := read(python, dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
