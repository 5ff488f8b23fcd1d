package loop

import (
	"errors"
	"math"
	"strings"
	"testing"

	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

func TestStanding_countsEvaluationsWithoutABetterValue(t *testing.T) {
	for _, row := range []struct {
		name     string
		patience *int32
		values   []float64
		best     float64
		ends     int // the evaluation that ends the run, 0 if none does
	}{
		{"no patience is patience for all", nil, []float64{0.5, 0.4, 0.3, 0.2}, 0.5, 0},
		{"it always becomes better", ptr.To[int32](1), []float64{0, 0.1, 0.2}, 0.2, 0},
		{"the first that is no better", ptr.To[int32](1), []float64{0.5, 0.5}, 0.5, 2},
		{"equal is no better", ptr.To[int32](2), []float64{0.5, 0.5, 0.5}, 0.5, 3},
		{"a better one starts the count anew", ptr.To[int32](2), []float64{0.5, 0.4, 0.6, 0.5, 0.5}, 0.6, 5},
		{"what is no number is never better", ptr.To[int32](2), []float64{math.NaN(), math.NaN()}, -1, 2},
		{"nothing right at first", ptr.To[int32](3), []float64{0, 0, 0}, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, ends := standing{best: -1}, 0
			for i, value := range row.values {
				before := s.best
				var better bool
				if s, better = s.after(value); better != (value > before) {
					t.Errorf("evaluation %d of %g: better is %v", i+1, value, better)
				}
				if s.exhausted(row.patience) && ends == 0 {
					ends = i + 1
				}
			}
			if s.best != row.best || ends != row.ends {
				t.Errorf("best %g, ends at %d; want %g and %d", s.best, ends, row.best, row.ends)
			}
		})
	}
}

// fixedScorer says the same whatever it is told.
type fixedScorer struct {
	scores []dataset.Score
	added  map[int]float32
}

func (f *fixedScorer) Add(example int, _ []int32, qHalt float32) {
	if f.added != nil {
		f.added[example] = qHalt
	}
}
func (f *fixedScorer) Scores() []dataset.Score { return f.scores }
func (f *fixedScorer) Fresh() dataset.Scorer   { return &fixedScorer{scores: f.scores} }

func TestCheckMetric(t *testing.T) {
	valid := &fixedScorer{scores: []dataset.Score{{Name: "valid", Metric: v1alpha1.EvaluationMetricValidAccuracy}, {Name: "tasks"}}}
	for _, row := range []struct {
		name   string
		spec   v1alpha1.EvaluationSpec
		test   bool
		scorer dataset.Scorer
		says   string // empty if the job is right
	}{
		{"the default", v1alpha1.EvaluationSpec{}, true, nil, ""},
		{"every task has tokens", v1alpha1.EvaluationSpec{Metric: v1alpha1.EvaluationMetricTokenAccuracy}, true, nil, ""},
		{"a figure of the task", v1alpha1.EvaluationSpec{Metric: v1alpha1.EvaluationMetricValidAccuracy}, true, valid, ""},
		{"a figure of another task", v1alpha1.EvaluationSpec{Metric: v1alpha1.EvaluationMetricPassAt2}, true, valid,
			"is PassAt2, which this task does not have: choose one of ExactAccuracy, TokenAccuracy, ValidAccuracy"},
		{"a figure where the task has none", v1alpha1.EvaluationSpec{Metric: v1alpha1.EvaluationMetricValidAccuracy}, true, nil,
			"choose one of ExactAccuracy, TokenAccuracy"},
		{"patience without evaluations", v1alpha1.EvaluationSpec{Patience: ptr.To[int32](2)}, false, nil, "no held-out examples"},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := checkMetric(&row.spec, row.test, row.scorer)
			if (err == nil) != (row.says == "") || err != nil && (!errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), row.says)) {
				t.Errorf("got %v, want %q", err, row.says)
			}
		})
	}
}

func TestReadStanding(t *testing.T) {
	for _, row := range []struct {
		name    string
		scalars map[string]string
		want    standing
		bad     bool
	}{
		{"as it was written", map[string]string{scalarBest: "0.5", scalarMetric: "PassAt2", scalarWaited: "3"}, standing{0.5, 3}, false},
		{"another metric begins anew", map[string]string{scalarBest: "0.5", scalarMetric: "ExactAccuracy", scalarWaited: "3"}, standing{-1, 0}, false},
		{"of version 0.1, which knew one metric", map[string]string{scalarBestExact: "0.5"}, standing{-1, 0}, false},
		{"no number", map[string]string{scalarBest: "many", scalarMetric: "PassAt2", scalarWaited: "3"}, standing{}, true},
		{"no count", map[string]string{scalarBest: "0.5", scalarMetric: "PassAt2"}, standing{}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := readStanding(row.scalars, v1alpha1.EvaluationMetricPassAt2)
			if (err != nil) != row.bad || err == nil && got != row.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	if got, err := readStanding(map[string]string{scalarBestExact: "0.5"}, v1alpha1.EvaluationMetricExactAccuracy); err != nil || got.best != 0.5 {
		t.Errorf("of version 0.1: %+v, %v", got, err)
	}
}
