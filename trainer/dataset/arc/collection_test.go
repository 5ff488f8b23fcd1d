package arc

import (
	"slices"
	"testing"
)

func TestFiles(t *testing.T) {
	for name, c := range map[string]struct {
		base  string
		names []string
		want  []File
	}{
		"the official repository": {
			"ARC-AGI",
			[]string{"README.md", "data/evaluation/b.json", "data/training/a.json"},
			[]File{{"data/evaluation/b.json", "evaluation", ""}, {"data/training/a.json", "training", ""}},
		},
		"one set of it":          {"evaluation", []string{"b.json"}, []File{{"b.json", "evaluation", ""}}},
		"the folder one is in":   {".", []string{"b.json"}, []File{{"b.json", "tasks", ""}}},
		"ConceptARC":             {"corpus", []string{"Center/Center1.json", "Copy/Copy1.json.gz"}, []File{{"Center/Center1.json", "Center", ""}, {"Copy/Copy1.json.gz", "Copy", ""}}},
		"plain goes before gzip": {"x", []string{"a.json", "a.json.gz", "b.json.gz"}, []File{{"a.json", "x", ""}, {"b.json.gz", "x", ""}}},
		"Kaggle's": {
			"arc",
			[]string{
				"arc-agi_evaluation2_challenges.json.gz", "arc-agi_evaluation2_solutions.json.gz", "arc-agi_test_challenges.json",
				"arc-agi_training_challenges.json", "arc-agi_training_solutions.json", "arc-agi_training_solutions.json.gz", "sample_submission.json",
			},
			[]File{
				{"arc-agi_evaluation2_challenges.json.gz", "evaluation2", "arc-agi_evaluation2_solutions.json.gz"},
				{"arc-agi_test_challenges.json", "test", ""},
				{"arc-agi_training_challenges.json", "training", "arc-agi_training_solutions.json"},
			},
		},
		"nothing": {"x", []string{"a.txt"}, nil},
	} {
		if got := Files(c.base, c.names); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestHeldOut(t *testing.T) {
	for set, want := range map[string]struct{ heldOut, unsolved bool }{
		"training": {false, false}, "training2": {false, false}, "concept": {false, false}, "testdata": {false, false},
		"evaluation": {true, false}, "evaluation2": {true, false}, "test": {true, true}, "test2": {true, true},
	} {
		if HeldOut(set) != want.heldOut || Unsolved(set) != want.unsolved {
			t.Errorf("%s: held out %v, unsolved %v", set, HeldOut(set), Unsolved(set))
		}
	}
}
