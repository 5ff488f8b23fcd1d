package cli

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/analysis"
)

func TestAnalyze_tellsWhatAModelDoes(t *testing.T) {
	pictures := filepath.Join(t.TempDir(), "pictures")
	r := told[analysisReport](t, "", "analyze", "--trajectories", "6", "--segments", "2", "--untrained", "--attention", "L1,H1", "--halting", "20", "--pictures", pictures)
	if r.Task != "Sudoku" || r.Segments != 2 || r.HiddenSize != 8 || r.Positions != 82 || r.Trained.Trajectories != 6 || r.Difficulty != "open cells" {
		t.Errorf("got %+v", r)
	}
	var at []int
	for _, p := range r.Trained.Participation {
		at = append(at, p.Trajectories)
		if p.ZH < 1 || p.ZH > 8 || *p.ZL < 1 || *p.ZL > 8 {
			t.Errorf("%+v: states of 8 elements have between 1 and 8 dimensions", p)
		}
	}
	if !slices.Equal(at, []int{1, 2, 5, 6}) {
		t.Errorf("participation at %v", at)
	}
	// One cycle of two steps: zH moves with every second one.
	for i, u := range r.Trained.Residuals {
		if u.Place != (analysis.Place{Segment: i/2 + 1, Cycle: 1, Step: i%2 + 1}) || *u.ZL <= 0 || (u.ZH != nil) != (i%2 == 1) {
			t.Errorf("residual %d is %+v", i, u)
		}
	}
	if n := len(r.Trained.Answers); n != 4 || len(r.Trained.ZL.Points) != 5 || len(r.Trained.ZH.Points) != 3 {
		t.Errorf("%d answers, %d places of zL, %d of zH", n, len(r.Trained.ZL.Points), len(r.Trained.ZH.Points))
	}
	if len(r.Untrained.Participation) != 4 || r.Untrained.Participation[3].ZH == r.Trained.Participation[3].ZH {
		t.Errorf("untrained %+v", r.Untrained.Participation)
	}
	examples := 0
	for _, b := range r.Halting {
		examples += b.Examples
		if b.MeanSegments < 1 || b.MeanSegments > 2 {
			t.Errorf("%+v", b)
		}
	}
	if examples != 20 {
		t.Errorf("%d examples have halted", examples)
	}
	for i, layer := range []string{"L1", "H1"} {
		if a := r.Attention[i]; a.Layer != layer || len(a.Entropies) != 2 || a.Entropies[0] <= 0 || a.Entropies[0] > math.Log2(82)+1e-6 || len(a.Map) != 82*82 {
			t.Errorf("attention of %s: entropies %v, a map of %d", a.Layer, a.Entropies, len(a.Map))
		}
	}
	wantFiles(t, pictures, "participation.svg", "residual.svg", "answers.svg", "halting.svg", "path-zh.svg", "path-zl.svg", "attention-l1.png", "attention-h1.png")
}

// What is decoded at the end of a segment is what an evaluation with so many segments answers.
func TestAnalyze_agreesWithEvaluation(t *testing.T) {
	seen := told[analysisReport](t, "", "analyze", "--trajectories", "20", "--segments", "2", "--halting", "0")
	measured := told[evalReport](t, "", "eval", "--segments", "1,2")
	for i, at := range []int{1, 3} {
		a, want := seen.Trained.Answers[at], measured.Scaling[i]
		if math.Abs(a.Tokens-want.TokenAccuracy) > 1e-9 || a.Exact != want.ExactAccuracy {
			t.Errorf("segment %d: analyzed %+v, evaluated %+v", i+1, a, want)
		}
	}
}

func TestAnalyze_prints(t *testing.T) {
	out, problems, status := ask(t, "", "analyze", "--trajectories", "2", "--segments", "1", "--halting", "4", "--attention", "H1")
	for _, want := range []string{"2 puzzles of test, 1 segment each", "Participation ratio", "Forward residual", "Segments used", "entropy, bits"} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("ends with %d, %q is missing\n%s%s", status, want, out, problems)
		}
	}
}

func TestAnalyze_refusesWhatCannotBe(t *testing.T) {
	for name, row := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"no trajectory":            {[]string{"--trajectories", "0"}, exitUsage, "--trajectories 0"},
		"no layer":                 {[]string{"--attention", "first"}, exitUsage, "as in H1 or L4"},
		"a layer that is not":      {[]string{"--attention", "H9"}, exitUsage, "no layer H9"},
		"a third half":             {[]string{"--split", "half"}, exitUsage, "want train or test"},
		"segments without end":     {[]string{"--segments", "100000"}, exitUsage, "--segments 100000"},
		"fewer than no examples":   {[]string{"--halting", "-1"}, exitUsage, "--halting -1"},
		"examples of another":      {[]string{"--data", otherData(t)}, exitUsage, "not the one that it was trained on"},
		"a file where pictures go": {[]string{"--trajectories", "1", "--segments", "1", "--halting", "0", "--pictures", filepath.Join(trainedStore(t), "metrics.jsonl")}, exitUsage, "--pictures"},
	} {
		t.Run(name, func(t *testing.T) {
			out, problems, status := ask(t, "", append([]string{"analyze"}, row.args...)...)
			if status != row.status || !strings.Contains(problems, row.says) {
				t.Errorf("ends with %d, want %d and words about %q\n%s%s", status, row.status, row.says, out, problems)
			}
		})
	}
}
