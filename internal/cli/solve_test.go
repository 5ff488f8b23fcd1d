package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

const (
	puzzleA = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
	puzzleB = "..............3.85..1.2.......5.7.....4...1...9.......5......73..2.1........4...9"
)

// written puts text into a file.
func written(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "puzzles.txt")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestSolve_takesPuzzlesFromEverywhere(t *testing.T) {
	file := written(t, "\n"+puzzleA+"\r\n"+puzzleB+"\n\n"+puzzleA+"\n")
	for name, row := range map[string]struct {
		in    string
		args  []string
		names []string
	}{
		"the command line":    {"", []string{puzzleA}, []string{"puzzle"}},
		"a file":              {"", []string{"--file", file}, []string{file + ":2", file + ":3", file + ":5"}},
		"standard input":      {puzzleB + "\n", []string{"-"}, []string{"standard input"}},
		"the same by --file":  {puzzleB, []string{"--file", "-"}, []string{"standard input"}},
		"a held-out example":  {"", []string{"--index", "3"}, []string{"test 3"}},
		"a training example":  {"", []string{"--split", "train"}, []string{"train 0"}},
		"another dataset's":   {"", []string{"--data", trainedData(t), "--index", "1"}, []string{"test 1"}},
		"with other segments": {"", []string{puzzleA, "--segments", "1"}, []string{"puzzle"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := told[solutions](t, row.in, append([]string{"solve"}, row.args...)...)
			if len(got.Puzzles) != len(row.names) {
				t.Fatalf("%d puzzles, want %v", len(got.Puzzles), row.names)
			}
			for i, p := range got.Puzzles {
				answer, _ := p.Answer.(string)
				if p.Name != row.names[i] || len(answer) != 81 || !p.Known || p.Solved || !strings.Contains(p.Why, "cells are wrong") || p.Confidence <= 0 {
					t.Errorf("got %+v, want %s", p, row.names[i])
				}
			}
		})
	}
}

func TestSolve_drawsTheAnswerBesideThePuzzle(t *testing.T) {
	out, problems, status := ask(t, "", "solve", "--file", written(t, puzzleA+"\n"+puzzleB+"\n"))
	if status != 0 {
		t.Fatalf("ends with %d\n%s", status, problems)
	}
	for _, want := range []string{
		"puzzles.txt:1\n", "puzzles.txt:2\n", "| 5 3 . | . 7 . | . . . |     | ", " --> ", "\nNot solved: ", " of 81 cells are wrong.\n",
		"The model's own confidence: ", "\n0 of 2 puzzles solved in ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colours in what is no terminal")
	}
}

// The trace ends with the answer that comes without it, and counts what is to be seen in it.
func TestSolve_trace(t *testing.T) {
	plain := told[solutions](t, "", "solve", "--index", "2").Puzzles[0]
	traced := told[solutions](t, "", "solve", "--index", "2", "--trace").Puzzles[0]
	if traced.Answer != plain.Answer || traced.Confidence != plain.Confidence || traced.Why != plain.Why {
		t.Errorf("traced %+v\nplain %+v", traced, plain)
	}
	if len(traced.Trace) != 6 { // three segments of one cycle of two steps
		t.Fatalf("%d moments", len(traced.Trace))
	}
	before := traced.Puzzle.(string)
	for i, m := range traced.Trace {
		answer := m.Answer.(string)
		changed := 0
		for k := range answer {
			if answer[k] != before[k] {
				changed++
			}
		}
		ends := i%2 == 1
		if m.Segment != i/2+1 || m.Cycle != 1 || m.Step != i%2+1 || m.Changed != changed || m.Wrong == nil || (m.Confidence != nil) != ends || (m.Halts != nil) != ends {
			t.Errorf("moment %d is %+v, want %d changed cells", i, m, changed)
		}
		before = answer
	}
	if last := traced.Trace[5]; *last.Confidence != traced.Confidence || last.Answer != traced.Answer {
		t.Errorf("the last moment is %+v", last)
	}
	out, _, status := ask(t, "", "solve", "--index", "2", "--trace")
	if status != 0 || !strings.Contains(out, "segment 1, cycle 1, step 1: ") || !strings.Contains(out, "! ") && !strings.Contains(out, "!") {
		t.Errorf("ends with %d\n%s", status, out)
	}
}

func TestSolve_drawsTheWayToItsAnswer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "way.svg")
	plain, _, _ := ask(t, "", "solve", "--index", "2")
	out, problems, status := ask(t, "", "solve", "--index", "2", "--picture", file)
	if status != 0 || out != plain {
		t.Errorf("ends with %d and prints\n%s\nnot\n%s%s", status, out, plain, problems)
	}
	picture, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(picture), "test 2; puzzle; segment 1, cycle 1, step 1, ") {
		t.Errorf("%v\n%s", err, picture)
	}
	_, problems, status = ask(t, "", "solve", "--picture", filepath.Join(file, "beyond.svg"))
	if status != exitUsage || !strings.Contains(problems, "--picture") {
		t.Errorf("ends with %d\n%s", status, problems)
	}
}

func TestSolve_refusesWhatIsNoPuzzle(t *testing.T) {
	for name, row := range map[string]struct {
		in     string
		args   []string
		status int
		says   string
	}{
		"too short":               {"", []string{"123"}, exitUsage, "81 cells"},
		"letters":                 {"", []string{strings.Repeat("x", 81)}, exitUsage, "expected a digit"},
		"nothing":                 {"", []string{"-"}, exitData, "holds no puzzle"},
		"blank lines":             {"\n\r\n\n", []string{"-"}, exitData, "holds no puzzle"},
		"a bad line":              {puzzleA + "\n" + puzzleA + "x\n", []string{"-"}, exitData, "standard input:2"},
		"bytes":                   {"\x00\xff\xfe", []string{"-"}, exitData, "standard input:1"},
		"text without end":        {strings.Repeat(puzzleA+"\n", 1+maxPuzzleText/82), []string{"-"}, exitData, "holds more than"},
		"two places":              {"", []string{puzzleA, "--file", "x"}, exitUsage, "exclude each other"},
		"no such file":            {"", []string{"--file", filepath.Join(t.TempDir(), "none")}, exitUsage, "no such file"},
		"too many segments":       {"", []string{puzzleA, "--segments", "1000000"}, exitUsage, "--segments"},
		"an example of no number": {"", []string{"--index", "20"}, exitUsage, "there are 20 puzzles"},
		"one before the first":    {"", []string{"--index", "-1"}, exitUsage, "counted from 0"},
		"a third half":            {"", []string{"--split", "all"}, exitUsage, "want train or test"},
		"another task's":          {"", []string{"--data", otherData(t)}, exitUsage, "not the one that it was trained on"},
	} {
		t.Run(name, func(t *testing.T) {
			out, problems, status := ask(t, row.in, append([]string{"solve"}, row.args...)...)
			if status != row.status || !strings.Contains(problems, row.says) {
				t.Errorf("ends with %d, want %d and words about %q\n%.300s\n%.300s", status, row.status, row.says, out, problems)
			}
		})
	}
}

// gridRules read puzzles of two lines of two characters.
type gridRules struct{ verdict dataset.Verdict }

func (gridRules) Parse(text string) ([]int32, error) {
	if len(text) != 5 || text[2] != '\n' {
		return nil, errors.New("want two lines of two")
	}
	return []int32{int32(text[0]), int32(text[1]), int32(text[3]), int32(text[4])}, nil
}
func (gridRules) Draw([]int32, bool) string { return "" }
func (r gridRules) Check(_, _ []int32) dataset.Verdict {
	return r.verdict
}

func TestSplitPuzzles_takesBlocksOfLines(t *testing.T) {
	for _, row := range []struct {
		name, text string
		want       []string // names
		line       int      // of an error
	}{
		{"the whole text", "ab\ncd\n", []string{"f"}, 0},
		{"blocks", "ab\ncd\n\n\nef\ngh\n", []string{"f:1", "f:5"}, 0},
		{"lines that end as on Windows", "\r\nab\r\ncd\r\n \r\nef\r\ngh", []string{"f:2", "f:5"}, 0},
		{"a block that is none", "ab\ncd\n\nefg\n", nil, 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := splitPuzzles("f", row.text, gridRules{}.Parse)
			var bad *dataerror.Error
			if row.line > 0 {
				if !errors.As(err, &bad) || bad.Line != row.line {
					t.Errorf("got %v, want an error in line %d", err, row.line)
				}
				return
			}
			var names []string
			for _, q := range got {
				names = append(names, q.name)
			}
			if err != nil || strings.Join(names, " ") != strings.Join(row.want, " ") {
				t.Errorf("got %v, %v, want %v", names, err, row.want)
			}
		})
	}
}

// Whatever a text holds, it is split or refused.
func FuzzSplitPuzzles(f *testing.F) {
	rules := dataset.RulesOf("Sudoku", &dataset.Metadata{SeqLen: 81, VocabSize: 11})
	f.Add(puzzleA)
	f.Add("\n\n" + puzzleA + "\r\n" + puzzleB + "\n\n")
	f.Add("")
	f.Add(" ")
	f.Add("\n\x00\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) ([]int32, error){rules.Parse, gridRules{}.Parse} {
			questions, err := splitPuzzles("f", text, parse)
			if err == nil && len(questions) == 0 {
				t.Error("neither a puzzle nor an error")
			}
			for _, q := range questions {
				if n := len(q.batch.Inputs); n != 81 && n != 4 {
					t.Errorf("a puzzle of %d tokens", n)
				}
			}
		}
	})
}

func TestCheckTokens(t *testing.T) {
	m := &dataset.Metadata{SeqLen: 2, VocabSize: 3}
	for _, row := range []struct {
		tokens []int32
		says   string
	}{{[]int32{0, 2}, ""}, {[]int32{0}, "has 1 cells"}, {[]int32{0, 3}, "cell 2 holds token 3"}, {[]int32{-1, 0}, "cell 1"}} {
		err := checkTokens(row.tokens, m)
		if (err == nil) != (row.says == "") || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%v: got %v, want %q", row.tokens, err, row.says)
		}
	}
}

func TestJudge(t *testing.T) {
	decides, undecided := dataset.Verdict{Known: true, Valid: true, Why: "a shortest path"}, dataset.Verdict{}
	refuses := dataset.Verdict{Known: true, Why: "a wall is in the way"}
	stored := []int32{1, 2, dataset.IgnoreLabel, 4}
	for _, row := range []struct {
		name          string
		verdict       dataset.Verdict
		labels        []int32
		answer        []int32
		known, solved bool
		says          string
	}{
		{"the stored solution", undecided, stored, []int32{1, 2, 9, 4}, true, true, "it is the stored solution"},
		{"not the stored one", undecided, stored, []int32{1, 2, 9, 9}, true, false, "1 of 3 cells are wrong"},
		{"not the stored one, but right", decides, stored, []int32{9, 9, 9, 9}, true, true, "a shortest path"},
		{"wrong by the rules", refuses, nil, []int32{9, 9, 9, 9}, true, false, "a wall is in the way"},
		{"the stored one, which is wrong by the rules", refuses, stored, []int32{1, 2, 9, 4}, true, false, "a wall is in the way"},
		{"nobody knows", undecided, nil, []int32{9, 9, 9, 9}, false, false, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			known, solved, why := judge(gridRules{row.verdict}, nil, row.labels, row.answer)
			if known != row.known || solved != row.solved || why != row.says {
				t.Errorf("known %v, solved %v, %q", known, solved, why)
			}
		})
	}
}

func TestSideBySide(t *testing.T) {
	for _, row := range []struct {
		name, left, right string
		width             int
		want              string
	}{
		{"beside each other", "ab\ncd\n", "x\ny\n", 80, "ab --> x\ncd     y\n"},
		{"of different heights", "ab\n", "x\ny\nz\n", 80, "ab     x\n   --> y\n       z\n"},
		{"colours take no room", "\x1b[31ma\x1b[0m\nbb\n", "x\ny\n", 8, "\x1b[31ma\x1b[0m  --> x\nbb     y\n"},
		{"above each other where it is narrow", "abcd\n", "wxyz\n", 12, "abcd\n |\n v\nwxyz\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := sideBySide(row.left, row.right, row.width); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

// An example halts where the model's rule says so of q_halt, 0.5, and q_continue, and not merely because there are no more
// segments; a model that was trained with a fixed number of them does not say.
func TestSolver_momentSaysWhereAnExampleHalts(t *testing.T) {
	for _, row := range []struct {
		halting   v1alpha1.Halting
		qContinue float32
		want      *bool
	}{
		{v1alpha1.HaltingQLearning, -1, ptr(true)}, {v1alpha1.HaltingQLearning, 1, ptr(false)}, {v1alpha1.HaltingFixed, -1, nil},
		{v1alpha1.HaltingQHalt, 1, ptr(true)},
	} {
		job := &v1alpha1.HRMTrainingJob{}
		job.Spec.Model.ACT.Halting = row.halting
		s := &solver{model: &trainedModel{job: job, shape: model.Shape{VocabSize: 3}}, flags: solveFlags{segments: 1}}
		got := s.moment(question{batch: loop.Batch{Inputs: []int32{1}}}, loop.Moment{Segment: 1, End: true, Answer: []int32{2}, QHalt: 0.5, QContinue: row.qContinue}, nil).Halts
		if (got == nil) != (row.want == nil) || got != nil && *got != *row.want {
			t.Errorf("%s, q_continue %v: halts %v", row.halting, row.qContinue, got)
		}
	}
}

func ptr[T any](x T) *T { return &x }

// How the puzzles of a task of one's own are written is for its dataset to say.
func TestSolve_takesPuzzlesOfATaskOfOnesOwn(t *testing.T) {
	dir := t.TempDir()
	pairs := textFile(t, dir, "pairs.jsonl", `{"input": [[1,2],[3,4]], "output": [[4,3],[2,1]]}
{"input": [[2,1],[4,3]], "output": [[3,4],[1,2]]}
{"input": [[3,3],[1,2]], "output": [[2,1],[3,3]]}
`)
	job := textFile(t, dir, "job.yaml", `
apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: own}
spec:
  model: {hiddenSize: 8, numHeads: 2, expansion: 1, hLayers: 1, lLayers: 1, hCycles: 1, lCycles: 1, act: {maxSteps: 1}}
  dataset: {task: Custom, source: {uri: `+pairs+`}, testFraction: "0.3"}
  training: {globalBatchSize: 2, steps: 1}
  storage: {bucket: hrm}
`)
	store := filepath.Join(dir, "run")
	does(t, "", "train", "-f", job, "--store", store, "--scratch", dir, "--device", "reference")
	does(t, "confidence", "solve", "--store", store, "--scratch", dir, "--device", "reference", "[[1,2],[3,4]]")
	if status, said := hrmSays(t, "solve", "--store", store, "--scratch", dir, "--device", "reference", "[[1,2,3]]"); status != exitUsage {
		t.Errorf("a puzzle that is too wide ends with %d:\n%s", status, said)
	}
}
