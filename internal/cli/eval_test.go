package cli

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
)

func TestEval_aTableOfSegmentsIsSeparateEvaluationsInOne(t *testing.T) {
	together := told[evalReport](t, "", "eval", "--segments", "3,1,2", "--max-examples", "7", "--batch", "3")
	if len(together.Scaling) != 3 || together.Segments != 3 || together.Examples != 7 || together.Split != "test" || together.Task != "Sudoku" {
		t.Fatalf("got %+v", together)
	}
	for i, segments := range []string{"1", "2", "3"} {
		alone := told[evalReport](t, "", "eval", "--segments", segments, "--max-examples", "7", "--batch", "7")
		if diff := cmp.Diff(alone.evalPart, together.Scaling[i]); diff != "" {
			t.Errorf("%s segments (-alone +together)\n%s", segments, diff)
		}
		if alone.Scaling != nil {
			t.Errorf("a single number is no table: %+v", alone.Scaling)
		}
	}
}

// resultsOf evaluates and returns the lines about the examples in their order.
func resultsOf(t *testing.T, args ...string) []resultLine {
	t.Helper()
	file := filepath.Join(t.TempDir(), "results.jsonl")
	if out, problems, status := ask(t, "", append([]string{"eval", "--results", file}, args...)...); status != 0 {
		t.Fatalf("ends with %d\n%s%s", status, out, problems)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []resultLine
	for line := range strings.Lines(string(raw)) {
		var r resultLine
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b resultLine) int { return a.Index - b.Index })
	return list
}

func TestEval_resultsAreALineForEachExample(t *testing.T) {
	list := resultsOf(t, "--max-examples", "5")
	if len(list) != 5 {
		t.Fatalf("%d lines of 5 examples", len(list))
	}
	for i, r := range list {
		answer, ok := r.Answer.(string)
		if r.Index != i || r.Segments != 3 || r.Labelled != 81 || !ok || len(answer) != 81 || r.QHalt <= 0 || r.Exact || r.Puzzle != "" || r.Rating != nil {
			t.Errorf("line %d is %+v", i, r)
		}
	}
}

func TestEval_halting(t *testing.T) {
	leave := resultsOf(t, "--act", "--batch", "2", "--max-examples", "9")
	stay := resultsOf(t, "--act", "--segments", "1,2,3", "--batch", "9", "--max-examples", "9")
	if diff := cmp.Diff(stay, leave); diff != "" {
		t.Errorf("answers differ where others take the place of what has halted (-stay +leave)\n%s", diff)
	}
	r := told[evalReport](t, "", "eval", "--act", "--max-examples", "9")
	var sum, segments int64
	for i, n := range r.ACT.Halted {
		sum, segments = sum+n, segments+n*int64(i+1)
	}
	if r.ACT.MaxSegments != 3 || len(r.ACT.Halted) != 3 || sum != 9 || r.Segments != r.ACT.MeanSegments || r.Segments != round(float64(segments)/9, 1e4) {
		t.Errorf("got %+v of %+v", r.ACT, r)
	}
}

func TestEval_drawsTheSameExamplesForTheSameSeed(t *testing.T) {
	drawn := func(seed string) (list []int) {
		for _, r := range resultsOf(t, "--max-examples", "4", "--segments", "1", "--seed", seed) {
			list = append(list, r.Index)
		}
		return list
	}
	one := drawn("1")
	if len(one) != 4 || !slices.Equal(one, drawn("1")) || slices.Equal(one, drawn("2")) || slices.Equal(one, []int{0, 1, 2, 3}) {
		t.Errorf("seed 1 draws %v, then %v; seed 2 %v", one, drawn("1"), drawn("2"))
	}
}

func TestEval_evaluatesTheTrainingHalf(t *testing.T) {
	out, _, status := ask(t, "", "eval", "--split", "train", "--segments", "1")
	if status != 0 || !strings.Contains(out, "of 12 training examples, 1 segments") {
		t.Errorf("ends with %d: %s", status, out)
	}
}

func TestEval_stops(t *testing.T) {
	out, _, status := ask(t, "", "eval", "--time-budget", "1ns")
	if status != 0 || !strings.Contains(out, "stopped (time budget): 0 of 20 examples") {
		t.Errorf("without time it ends with %d: %s", status, out)
	}
	v := evaluationOf(t, evalFlags{split: "test", batch: 4, segments: []int{2}, data: trainedData(t)})
	ctx, cancel := context.WithCancel(t.Context())
	v.progress.every = -1
	v.progress.app.log = slog.New(slog.NewTextHandler(writerFunc(func(line []byte) {
		if strings.Contains(string(line), "done=4") {
			cancel()
		}
	}), nil))
	if err := v.run(ctx); exitCode(err) != exitInterrupted {
		t.Errorf("interrupted it ends with %v", err)
	}
	r := v.report(true)
	if r.Examples != 4 || r.Of != 20 || !strings.Contains(r.text(), "stopped (interrupted): 4 of 20 examples") {
		t.Errorf("interrupted it reports %+v", r)
	}
}

// writerFunc is told what is written.
type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// evaluationOf prepares an evaluation of the shared model.
func evaluationOf(t *testing.T, f evalFlags) *evalRun {
	t.Helper()
	a := &app{out: io.Discard, err: io.Discard, log: slog.New(slog.DiscardHandler)}
	f.model = modelFlags{store: storeFlags{uri: trainedStore(t)}, step: -1, device: deviceFlags{name: "reference"}}
	m, err := a.openModel(t.Context(), &f.model)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	data, err := m.examples(t.Context(), f.data, f.split)
	if err != nil {
		t.Fatal(err)
	}
	v, err := newEvalRun(a, f, m, data)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestEval_refusesWhatCannotBe(t *testing.T) {
	other := otherData(t)
	for name, row := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"no segments":            {[]string{"--segments", "0"}, exitUsage, "--segments 0"},
		"segments without end":   {[]string{"--segments", "1,100000000"}, exitUsage, "want 1 to 65536"},
		"segments that are none": {[]string{"--segments", "few"}, exitUsage, "few"},
		"a third half":           {[]string{"--split", "validation"}, exitUsage, "want train or test"},
		"no rows":                {[]string{"--batch", "0"}, exitUsage, "--batch 0"},
		"fewer than no examples": {[]string{"--max-examples", "-1"}, exitUsage, "--max-examples -1"},
		"time gone by":           {[]string{"--time-budget", "-1s"}, exitUsage, "--time-budget"},
		"no contest":             {[]string{"--submission", filepath.Join(t.TempDir(), "s.json")}, exitUsage, "task Sudoku has no contest"},
		"no place for results":   {[]string{"--results", filepath.Join(t.TempDir(), "none", "r.jsonl")}, exitUsage, "no such file"},
		"examples of another":    {[]string{"--data", other}, exitUsage, "not the one that it was trained on"},
		"no dataset":             {[]string{"--data", t.TempDir()}, exitData, "missing"},
	} {
		t.Run(name, func(t *testing.T) {
			out, problems, status := ask(t, "", append([]string{"eval"}, row.args...)...)
			if status != row.status || !strings.Contains(problems, row.says) {
				t.Errorf("ends with %d, want %d and words about %q\n%s%s", status, row.status, row.says, out, problems)
			}
		})
	}
}

func TestFigures_byRating(t *testing.T) {
	ratings := map[int]int32{0: 0, 1: 7, 2: 9, 3: 5000, 4: -3}
	f := newFigures(evalData{Dataset: &dataset.Dataset{}}, nil)
	f.rating = func(i int) (int32, bool) { r, ok := ratings[i]; return r, ok }
	for i := range 6 {
		f.add(loop.Reading{Example: i, Prediction: loop.Prediction{Labels: []int32{2, 3}, Answer: []int32{2, int32(2 + i%2)}}})
	}
	to := func(n int32) *int32 { return &n }
	want := []bandReport{
		{From: 0, To: to(0), Examples: 2, ExactAccuracy: 0, TokenAccuracy: 0.5},
		{From: 1, To: to(9), Examples: 2, ExactAccuracy: 0.5, TokenAccuracy: 0.75},
		{From: 500, Examples: 1, ExactAccuracy: 1, TokenAccuracy: 1},
	}
	if diff := cmp.Diff(want, f.byRating()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEvalReport_text(t *testing.T) {
	two := int32(9)
	part := func(segments, exact float64) evalPart {
		return evalPart{segments, 50, exact, 0.99, []scoreReport{{Name: "valid", Value: exact, Of: 50}}}
	}
	r := evalReport{
		Checkpoint: "./c", Split: "test", Examples: 50, Of: 80, Stopped: "time budget", Seconds: 1.25, evalPart: part(1.5, 0.5),
		ByRating: []bandReport{{From: 1, To: &two, Examples: 50, ExactAccuracy: 0.5, TokenAccuracy: 0.99}},
		ACT:      &actReport{MaxSegments: 2, MeanSegments: 1.5}, Scaling: []evalPart{part(1, 0.25), part(2, 0.5)},
	}
	const want = `./c: exact 50.00 %, tokens 99.00 %, of 50 held-out examples, 1.50 segments on average, at most 2, in 1.2 s
stopped (time budget): 50 of 80 examples
valid 50.00 % of 50

  rating  examples    exact   tokens
     1-9        50  50.00 %  99.00 %

       segments  examples    exact   tokens    valid
              1        50  25.00 %  99.00 %  25.00 %
              2        50  50.00 %  99.00 %  50.00 %
  halting, 1.50        50  50.00 %  99.00 %  50.00 %
`
	if got := r.text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCompactTokens(t *testing.T) {
	if got := compactTokens([]int32{0, 9, 10, 35}, 36); got != "09az" {
		t.Errorf("got %v", got)
	}
	if got := compactTokens([]int32{0, 36}, 37); !reflect.DeepEqual(got, []int32{0, 36}) {
		t.Errorf("got %v", got)
	}
}
