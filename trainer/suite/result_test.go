package suite_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
	"github.com/hrm-operator/hrm-operator/trainer/report"
	"github.com/hrm-operator/hrm-operator/trainer/suite"
)

func number(x float64) *float64 { return &x }

func TestAddJournal_sumsUpALongRun(t *testing.T) {
	var records []progress.Record
	for i := range 30 {
		records = append(records, progress.Record{Step: int64(10 * (i + 1)), Loss: number(float64(30 - i)), Steps: number(2), SamplesPerSecond: float64(100 + i)})
	}
	records = append(records,
		progress.Record{Step: 200, EvalExactAccuracy: number(0.9), EvalAccuracy: number(0.95), EvalExamples: 50},
		progress.Record{Step: 300, EvalExactAccuracy: number(0.5), EvalAccuracy: number(0.75), EvalExamples: 60, EvalScores: map[string]float64{"pass_at_2": 0.25}})
	var got suite.Result
	got.AddJournal(records)
	want := suite.Result{
		Steps: 300, SamplesPerSecond: number(115), Loss: number(5.5), HaltedAfter: number(2),
		ExactAccuracy: number(0.5), TokenAccuracy: number(0.75), Examples: 60, Scores: map[string]float64{"pass_at_2": 0.25},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAddJournal_knowsNothingOfAnEmptyOne(t *testing.T) {
	var got suite.Result
	got.AddJournal(nil)
	if diff := cmp.Diff(suite.Result{}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCovers_asksForTheSameCheckpointExamplesAndSegments(t *testing.T) {
	e := &suite.Evaluation{Checkpoint: "step-9", MaxExamples: 100, Points: []suite.EvalPart{{Segments: 1}, {Segments: 4}}}
	for _, row := range []struct {
		name       string
		e          *suite.Evaluation
		checkpoint string
		examples   int
		segments   []int
		want       bool
	}{
		{"the same", e, "step-9", 100, []int{4, 1}, true},
		{"fewer segments", e, "step-9", 100, []int{4}, true},
		{"other segments", e, "step-9", 100, []int{1, 2}, false},
		{"another checkpoint", e, "step-8", 100, []int{1}, false},
		{"more examples", e, "step-9", 200, []int{1}, false},
		{"none kept", nil, "step-9", 100, []int{1}, false},
	} {
		if got := row.e.Covers(row.checkpoint, row.examples, row.segments); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

func TestDifferences(t *testing.T) {
	var is, wanted v1alpha1.HRMTrainingJobSpec
	if got := suite.Differences(&is, &wanted); got != "" {
		t.Errorf("equal ones differ: %s", got)
	}
	is.Model.HiddenSize, wanted.Model.HiddenSize, wanted.Training.Seed = 64, 128, 7
	if got, want := suite.Differences(&is, &wanted), "model.hiddenSize is 64, not 128; training.seed is unset, not 7"; got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
}

// resultsOf are results of the minimal suite's four runs, one of each state.
func resultsOf(t *testing.T, changes ...string) (*suite.Suite, []suite.Result) {
	t.Helper()
	s, runs, err := runsOf(changed(t, changes...), nil)
	if err != nil {
		t.Fatal(err)
	}
	var results []suite.Result
	for i, r := range runs {
		result := suite.Result{Run: r.Name(), Values: map[string]string{}, State: suite.Finished, Steps: 1500, TotalSteps: 1500, Parameters: 1234567, ExactAccuracy: number(float64(i+1) / 10)}
		for k, axis := range s.Axes() {
			result.Values[axis] = r.Values[k]
		}
		results = append(results, result)
	}
	return s, results
}

func TestTable_hasTheColumnsThatAreKnown(t *testing.T) {
	s, results := resultsOf(t)
	want := report.Table{Title: "act", Head: []string{"halting", "steps", "parameters", "steps", "exact"}, Rows: [][]string{
		{"adaptive", "4", "1,234,567", "1,500", "10.0 %"}, {"adaptive", "8", "1,234,567", "1,500", "20.0 %"},
		{"fixed", "4", "1,234,567", "1,500", "30.0 %"}, {"fixed", "8", "1,234,567", "1,500", "40.0 %"},
	}}
	if diff := cmp.Diff(want, s.Table(results)); diff != "" {
		t.Error(diff)
	}
}

func TestTable_tellsOfRunsThatHaveNotFinished(t *testing.T) {
	s, results := resultsOf(t)
	results[0].State, results[0].Steps = suite.Unfinished, 20
	results[1].State, results[1].ExactAccuracy, results[1].Why = suite.Failed, nil, "no\nspace"
	results[2] = suite.Result{Run: results[2].Run, Values: results[2].Values, State: suite.NotStarted}
	var got []string
	for _, row := range s.Table(results).Rows {
		got = append(got, strings.Join(row[2:], " "))
	}
	want := []string{"step 20 of 1500 1,234,567 20 10.0 %", "failed 1,234,567 1,500 –", "not started – – –", "– 1,234,567 1,500 40.0 %"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"act-adaptive-8, failed: no space"}, suite.Notes(results)); diff != "" {
		t.Error(diff)
	}
}

func TestTable_hasAColumnForEachNumberOfSegments(t *testing.T) {
	s, results := resultsOf(t, "evaluate={segments: [4, 1]}")
	results[0].Evaluation = &suite.Evaluation{Points: []suite.EvalPart{{Segments: 1, ExactAccuracy: 0.25}, {Segments: 4, ExactAccuracy: 0.5}}}
	table := s.Table(results)
	if got, want := strings.Join(table.Head[4:], ", "), "exact, exact @1, exact @4"; got != want {
		t.Errorf("columns %s, want %s", got, want)
	}
	if got, want := strings.Join(table.Rows[0][4:], ", "), "10.0 %, 25.0 %, 50.0 %"; got != want {
		t.Errorf("cells %s, want %s", got, want)
	}
}

func TestMarkdown_isASection(t *testing.T) {
	s, results := resultsOf(t, "title=Adaptive computation time", "question=Does it save segments?", "claim=It does.", "exclude=[{halting: fixed}]")
	results[0].State, results[0].Why = suite.Other, "training.seed is 1, not 0"
	got := s.Markdown(results, []string{"hrm suite run -f act.yaml"}, "act.svg")
	want := `## Adaptive computation time

Does it save segments?

It does.

    hrm suite run -f act.yaml

| halting | steps | state | parameters | steps | exact |
|---|---|---:|---:|---:|---:|
| adaptive | 4 | another job | 1,234,567 | 1,500 | 10.0 % |
| adaptive | 8 | – | 1,234,567 | 1,500 | 20.0 % |

- act-adaptive-4, another job: training.seed is 1, not 0

![Adaptive computation time](act.svg)
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPicture_isOverWhatCanBeCounted(t *testing.T) {
	three := "matrix=[{axis: halting, values: [{name: adaptive}, {name: fixed, set: {model.act.halting: Fixed}}]}, {axis: layers, values: [{name: 1}, {name: 2, set: {model.hLayers: 2}}, {name: 4, set: {model.hLayers: 5}}]}]"
	for _, row := range []struct {
		name     string
		changes  []string
		segments []int
		chart    bool
		want     string
	}{
		{"two numbers", nil, nil, false, "act: exact, held out. adaptive, steps 4: 10.0 %. adaptive, steps 8: 20.0 %. fixed, steps 4: 30.0 %. fixed, steps 8: failed."},
		{"three numbers", []string{three}, nil, true, "act, over layers; without fixed, layers 4 (failed). adaptive: from 10.00 % at 1 to 30.00 % at 4"},
		{"three numbers, but not of all", []string{three, "exclude=[{halting: fixed, layers: 4}]"}, nil, false, "fixed, layers 2: failed"},
		{"segments", []string{"evaluate={segments: [1, 2]}"}, []int{1, 2}, true, "act, over segments in evaluation; without fixed, steps 8 (failed). adaptive, steps 4: from 10.00 % at 1 to 20.00 % at 2"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, results := resultsOf(t, row.changes...)
			for i := range results {
				if row.segments != nil {
					results[i].Evaluation = &suite.Evaluation{}
				}
				for _, n := range row.segments {
					results[i].Evaluation.Points = append(results[i].Evaluation.Points, suite.EvalPart{Segments: n, ExactAccuracy: *results[i].ExactAccuracy * float64(n)})
				}
			}
			last := &results[len(results)-1]
			last.State, last.Evaluation = suite.Failed, nil
			picture := s.Picture(results)
			described, ok := picture.(interface{ Describe() string })
			if !ok || !strings.Contains(described.Describe(), row.want) {
				t.Errorf("it shows %v\nwant %s", described.Describe(), row.want)
			}
			if _, chart := picture.(*report.Chart); chart != row.chart {
				t.Errorf("a chart of lines: %v", chart)
			}
			if !strings.HasPrefix(picture.StandaloneSVG(), "<svg") {
				t.Error("it is no picture")
			}
		})
	}
}

func TestPicture_isOfWhatTheJobsAreJudgedBy(t *testing.T) {
	s, results := resultsOf(t)
	for i := range results {
		results[i].Metric, results[i].Scores = v1alpha1.EvaluationMetricPassAt2, map[string]float64{"pass_at_2": 0.125}
	}
	chart, ok := s.Picture(results).(*report.BarChart)
	if !ok || chart.X != "pass_at_2, held out" || chart.Bars[0].Share == nil || math.Abs(*chart.Bars[0].Share-0.125) > 1e-12 {
		t.Errorf("it is %+v", chart)
	}
}
