package dataset

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// oracle answers a test example as the dataset does, with padding where there is no label.
func oracle(d *Dataset, i int) []int32 {
	_, labels := d.Example(i)
	for j, v := range labels {
		if v == IgnoreLabel {
			labels[j] = d.PadID
		}
	}
	return labels
}

func arcScorerOf(t testing.TB, dir string) (SubmissionWriter, *Dataset) {
	t.Helper()
	d := loaded(t, dir, Test)
	s, err := NewScorer(v1alpha1.TaskARC, d, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s.(SubmissionWriter), d
}

func scoreNamed(t testing.TB, s Scorer, name string) Score {
	t.Helper()
	for _, score := range s.Scores() {
		if score.Name == name {
			return score
		}
	}
	t.Fatalf("no score %s in %+v", name, s.Scores())
	return Score{}
}

func TestARCScorer_namesItsScores(t *testing.T) {
	dir, _ := built(t, smallARC())
	s, _ := arcScorerOf(t, dir)
	var names []string
	for _, score := range s.Scores() {
		names = append(names, score.Name+":"+string(score.Metric))
	}
	const want = "pass_at_1:PassAt1 pass_at_2:PassAt2 hrm_pass_at_1: hrm_pass_at_2: pass_at_10: hrm_pass_at_10:"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestARCScorer_freshKnowsNoAnswers(t *testing.T) {
	dir, _ := built(t, smallARC())
	s, d := arcScorerOf(t, dir)
	none := s.Scores()
	for i := range d.Examples() {
		s.Add(i, oracle(d, i), 0)
	}
	all, fresh := s.Scores(), s.Fresh()
	if got := fresh.Scores(); !slices.Equal(got, none) {
		t.Errorf("before any answer: %+v, want %+v", got, none)
	}
	for i := range d.Examples() {
		fresh.Add(i, oracle(d, i), 0)
	}
	if got := fresh.Scores(); !slices.Equal(got, all) {
		t.Errorf("after the same answers: %+v, want %+v", got, all)
	}
}

func TestARCScorer_rightAnswersToAllVariantsAreRight(t *testing.T) {
	dir, _ := built(t, smallARC())
	s, d := arcScorerOf(t, dir)
	for i := range d.Examples() {
		s.Add(i, oracle(d, i), 0)
	}
	for _, score := range s.Scores() {
		if score.Value != 1 || score.Of != 3 {
			t.Errorf("%+v", score)
		}
	}
	var b bytes.Buffer
	if err := s.WriteSubmission(&b); err != nil {
		t.Fatal(err)
	}
	var submission map[string][]map[string][][]int
	if err := json.Unmarshal(b.Bytes(), &submission); err != nil {
		t.Fatal(err)
	}
	for _, task := range arcTasks(t, "evaluation") {
		for j, p := range task.Test {
			want, _ := json.Marshal(rows(p.Output))
			got, _ := json.Marshal(submission[task.ID][j]["attempt_1"])
			if !bytes.Equal(got, want) {
				t.Errorf("%s, test input %d: %s", task.ID, j, got)
			}
		}
	}
}

func TestARCScorer_aMinorityOfRightVariantsIsASecondGuess(t *testing.T) {
	dir, _ := built(t, smallARC())
	s, d := arcScorerOf(t, dir)
	wrong := make([]int32, d.SeqLen) // an empty answer is the same one for all variants
	for p := range d.Puzzles() {
		for i := d.puzzles[p]; i < d.puzzles[p+1]; i++ {
			if p%21 < 8 {
				s.Add(int(i), oracle(d, int(i)), 5)
			} else {
				s.Add(int(i), wrong, -5)
			}
		}
	}
	if one, two := scoreNamed(t, s, "pass_at_1"), scoreNamed(t, s, "hrm_pass_at_2"); one.Value != 0 || two.Value != 1 {
		t.Errorf("%+v, %+v", one, two)
	}
}

func TestARCScorer_refusesWhatIsNotOfTheDataset(t *testing.T) {
	for name, c := range map[string]struct {
		file, text, want string
	}{
		"no tasks":           {testPuzzlesName, "", "no such file"},
		"other tasks":        {testPuzzlesName, `{"a": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}]}}`, "is missing"},
		"no names":           {"identifiers.json", "{", "not the expected JSON"},
		"too few names":      {"identifiers.json", `["<blank>"]`, "1 names for 127 identifiers"},
		"a name of no task":  {"identifiers.json", "", ""},
		"another test input": {testPuzzlesName, "swap", "is not test input"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _ := built(t, smallARC())
			d := loaded(t, dir, Test)
			text := c.text
			switch {
			case name == "a name of no task":
				text, c.want = strings.ReplaceAll(string(read(t, dir, c.file)), "00576224", "xyz"), "the task xyz"
			case text == "swap":
				text = strings.Replace(string(read(t, dir, c.file)), `[[3,2],[7,8]]`, `[[3,2],[7,7]]`, 1)
			}
			if err := os.Remove(filepath.Join(dir, c.file)); err != nil {
				t.Fatal(err)
			}
			if text != "" {
				if err := os.WriteFile(filepath.Join(dir, c.file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := NewScorer(v1alpha1.TaskARC, d, dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestARCRules(t *testing.T) {
	m := &Metadata{SeqLen: 900, VocabSize: 12}
	rules := RulesOf(v1alpha1.TaskARC, m)
	for _, text := range []string{"[[1,2],[3,4]]\n", "12\n34\n"} {
		tokens, err := rules.Parse(text)
		if err != nil || len(tokens) != 900 || rules.Draw(tokens, false) != "12\n34\n" {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := rules.Parse("1x"); err == nil || !strings.Contains(err.Error(), "row 1, column 2") {
		t.Errorf("got %v", err)
	}
	if v := rules.Check(nil, nil); v.Known {
		t.Error("the puzzle alone decides about an answer")
	}
}
