package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/maze"
)

// smallMazes is a recipe that builds in moments.
func smallMazes() v1alpha1.DatasetSpec {
	return v1alpha1.DatasetSpec{
		Task: v1alpha1.TaskMaze, Maze: &v1alpha1.MazeSpec{Size: 8, MinPathLength: 10, Count: 200},
		TestFraction: "0.25", Augmentations: 7, Seed: 3,
	}
}

func mazes(d *Dataset, i int) (question, answer maze.Grid) {
	in, out := d.Example(i)
	return maze.FromTokens(in), maze.FromTokens(out)
}

// mazeFile writes mazes as the published files do.
func mazeFile(t *testing.T, name string, all []maze.Maze) {
	t.Helper()
	var text strings.Builder
	text.WriteString("source,question,answer,rating\n")
	for _, m := range all {
		fmt.Fprintf(&text, "made,%s,%s,%d\n", m.Question, m.Answer, maze.PathLength(m.Question))
	}
	if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestBuildMaze_generatesAndAugments(t *testing.T) {
	dir, summary := built(t, smallMazes())
	train, test := loaded(t, dir, Train), loaded(t, dir, Test)
	if train.Groups() != 150 || train.Examples() != 1200 || test.Groups() != 50 || test.Examples() != 50 || summary.Read != 200 || summary.Grids < 200 {
		t.Fatalf("%d groups, %d examples, %d for the test: %+v", train.Groups(), train.Examples(), test.Examples(), summary)
	}
	if train.SeqLen != 64 || train.VocabSize != 6 || train.NumPuzzleIdentifiers != 1 || *train.IgnoreLabelID != 0 {
		t.Errorf("metadata %+v", train.Metadata)
	}
	held := map[maze.Kin]bool{}
	for i := range test.Examples() {
		question, answer := mazes(test, i)
		if !maze.Judge(question, answer).Shortest || maze.PathLength(question) <= 10 {
			t.Fatalf("test example %d:\n%s", i, answer.Draw())
		}
		held[question.Kin()] = true
	}
	for i := range train.Examples() {
		question, answer := mazes(train, i)
		original, _ := mazes(train, i/8*8)
		if !maze.Judge(question, answer).Shortest || question.Kin() != original.Kin() {
			t.Fatalf("training example %d:\n%s", i, answer.Draw())
		}
		if held[question.Kin()] {
			t.Fatalf("training example %d is an image of a test maze", i)
		}
	}
}

func TestBuildMaze_sameRecipeSameBytes(t *testing.T) {
	a, _ := built(t, smallMazes())
	b, _ := built(t, smallMazes())
	for _, name := range append(requiredFiles(), manifestName) {
		if !bytes.Equal(read(t, a, name), read(t, b, name)) {
			t.Errorf("%s differs between two builds", name)
		}
	}
}

func TestBuildMaze_keepsTheSplitOfAFolder(t *testing.T) {
	g, err := maze.Recipe{Size: 7, MinPath: 8, Count: 30}.Generate(t.Context(), func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	image := maze.Maze{Question: maze.NewGrid(7), Answer: maze.NewGrid(7)}
	g.Mazes[25].Question.Apply(3, image.Question.Cells)
	g.Mazes[25].Answer.Apply(3, image.Answer.Cells)
	dir := t.TempDir()
	mazeFile(t, filepath.Join(dir, "train.csv"), slices.Concat(g.Mazes[:20], g.Mazes[:2], []maze.Maze{image}))
	mazeFile(t, filepath.Join(dir, "test.csv"), g.Mazes[20:])
	out, summary := built(t, v1alpha1.DatasetSpec{Task: v1alpha1.TaskMaze, Source: v1alpha1.DatasetSource{URI: dir}})
	if summary.Read != 33 || summary.Duplicates != 2 || summary.Related != 1 || summary.TrainExamples != 20 || summary.TestExamples != 10 {
		t.Errorf("summary %+v", summary)
	}
	for split, want := range map[string][]maze.Maze{Train: g.Mazes[:20], Test: g.Mazes[20:]} {
		d := loaded(t, out, split)
		for i, m := range want {
			if question, answer := mazes(d, i); !bytes.Equal(question.Cells, m.Question.Cells) || !bytes.Equal(answer.Cells, m.Answer.Cells) {
				t.Errorf("%s example %d is\n%swant\n%s", split, i, answer.Draw(), m.Answer.Draw())
			}
		}
	}
}

func TestBuildMaze_badDataIsRecognisable(t *testing.T) {
	g, err := maze.Recipe{Size: 5, MinPath: 5, Count: 4}.Generate(t.Context(), func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	larger, err := maze.Recipe{Size: 6, MinPath: 5, Count: 4}.Generate(t.Context(), func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	one := filepath.Join(dir, "one.csv")
	mazeFile(t, one, g.Mazes)
	if err := os.Mkdir(filepath.Join(dir, "sizes"), 0o755); err != nil {
		t.Fatal(err)
	}
	mazeFile(t, filepath.Join(dir, "sizes", "train.csv"), g.Mazes)
	mazeFile(t, filepath.Join(dir, "sizes", "test.csv"), larger.Mazes)
	for _, c := range []struct {
		name string
		spec v1alpha1.DatasetSpec
		want string
	}{
		{"nothing there", v1alpha1.DatasetSpec{Source: v1alpha1.DatasetSource{URI: filepath.Join(dir, "none")}}, "no such file, nor a folder with a train.csv"},
		{"neither source nor recipe", v1alpha1.DatasetSpec{}, "say how to generate mazes, or where to read them"},
		{"a subsample of more", v1alpha1.DatasetSpec{Source: v1alpha1.DatasetSource{URI: one}, Subsample: int32p(9)}, "one.csv: 3 mazes to train on, but subsample asks for 9"},
		{"two sizes", v1alpha1.DatasetSpec{Source: v1alpha1.DatasetSource{URI: filepath.Join(dir, "sizes")}}, "test.csv:2: the mazes are 6x6, those of"},
		{"a path that cannot be", v1alpha1.DatasetSpec{Maze: &v1alpha1.MazeSpec{Size: 6, MinPathLength: 30, Count: 2}}, "dataset.maze.minPathLength: is 30"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spec.Task = v1alpha1.TaskMaze
			_, err := Build(t.Context(), c.spec, Sources{}, t.TempDir(), nil)
			var bad *dataerror.Error
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestMazeRules(t *testing.T) {
	dir, _ := built(t, smallMazes())
	d := loaded(t, dir, Test)
	rules := RulesOf(v1alpha1.TaskMaze, &d.Metadata)
	puzzle, answer := d.Example(0)
	if got := rules.Check(puzzle, answer); !got.Known || !got.Valid || !strings.Contains(got.Why, "shortest") {
		t.Errorf("the stored answer gets %+v", got)
	}
	if got := rules.Check(puzzle, puzzle); !got.Known || got.Valid || !strings.Contains(got.Why, "gap") {
		t.Errorf("no answer gets %+v", got)
	}
	for _, colour := range []bool{false, true} {
		if text := rules.Draw(answer, colour); !strings.HasSuffix(text, "\n") || strings.Contains(text, "\x1b") != colour {
			t.Errorf("drawn, with colours: %v, as\n%s", colour, text)
		}
	}
	if again, err := rules.Parse(rules.Draw(puzzle, false)); err != nil || !slices.Equal(again, puzzle) {
		t.Errorf("a drawn maze is read as %v, %v", again, err)
	}
	if _, err := rules.Parse("S G"); err == nil || !strings.Contains(err.Error(), "expected 64, or 8 rows of 8") {
		t.Errorf("got %v", err)
	}
}

func TestMazeScorer_tellsPathsFromShortestPaths(t *testing.T) {
	dir, _ := built(t, smallMazes())
	d := loaded(t, dir, Test)
	s, err := NewScorer(v1alpha1.TaskMaze, d, dir)
	if err != nil {
		t.Fatal(err)
	}
	if scores := s.Scores(); scores[0].Value != 0 || scores[0].Of != 0 {
		t.Errorf("nothing answered gives %+v", scores)
	}
	open, err := maze.ParseGrid("S" + strings.Repeat(" ", 62) + "G")
	if err != nil {
		t.Fatal(err)
	}
	d.inputs.narrow = slices.Clone(d.inputs.narrow)
	copy(d.inputs.narrow[3*64:], open.Cells)
	longer, err := maze.ParseGrid("Sooooooo" + "       o" + "oooooooo" + "o       " + "oooooooo" + "       o" + "       o" + "       G")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		_, stored := d.Example(i)
		s.Add(i, stored, 0)
	}
	unsolved, _ := d.Example(2)
	s.Add(2, unsolved, 0)
	s.Add(3, longer.Tokens(), 0)
	want := []Score{{"shortest_path", v1alpha1.EvaluationMetricValidAccuracy, 0.5, 4}, {"valid_path", "", 0.75, 4}}
	if got := s.Scores(); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := NewScorer(v1alpha1.TaskMaze, &Dataset{Metadata: Metadata{SeqLen: 81, VocabSize: 11}}, "d"); err == nil {
		t.Error("a dataset of Sudokus was taken for one of mazes")
	}
}
