package loop

import (
	"fmt"
	"strings"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// metric returns the figure that a job calls so, if the evaluation has it.
func (v Evaluation) metric(name v1alpha1.EvaluationMetric) (float64, bool) {
	switch name {
	case v1alpha1.EvaluationMetricExactAccuracy, "":
		return v.Exact, true
	case v1alpha1.EvaluationMetricTokenAccuracy:
		return v.Accuracy, true
	}
	for _, s := range v.Scores {
		if s.Metric == name {
			return s.Value, true
		}
	}
	return 0, false
}

// checkMetric refuses a job that names a metric which evaluations of its task do not have, or waits for one where nothing
// is evaluated.
func checkMetric(s *v1alpha1.EvaluationSpec, evaluates bool, scorer dataset.Scorer) error {
	have := Evaluation{}
	if scorer != nil {
		have.Scores = scorer.Scores()
	}
	if _, ok := have.metric(s.Metric); !ok {
		names := []string{string(v1alpha1.EvaluationMetricExactAccuracy), string(v1alpha1.EvaluationMetricTokenAccuracy)}
		for _, score := range have.Scores {
			if score.Metric != "" {
				names = append(names, string(score.Metric))
			}
		}
		return fmt.Errorf("%w: spec.evaluation.metric is %s, which this task does not have: choose one of %s",
			ErrConfiguration, s.Metric, strings.Join(names, ", "))
	}
	if s.Patience != nil && !evaluates {
		return fmt.Errorf("%w: spec.evaluation.patience waits for evaluations, and the dataset holds no held-out examples: raise spec.dataset.testFraction or remove patience", ErrConfiguration)
	}
	return nil
}

// standing is how a run's evaluations have gone, by the metric that the job names. It is part of a checkpoint.
type standing struct {
	// best is the best value so far, -1 before the first.
	best float64
	// waited is how many evaluations in a row were no better since.
	waited int
}

// after returns the standing after one more evaluation, and whether none before was as good. A value that is no number
// is never better.
func (s standing) after(value float64) (next standing, better bool) {
	if value > s.best {
		return standing{best: value}, true
	}
	return standing{best: s.best, waited: s.waited + 1}, false
}

// exhausted says that so many evaluations in a row were no better as the job has patience for; nil is patience for all.
func (s standing) exhausted(patience *int32) bool {
	return patience != nil && s.waited >= int(*patience)
}
