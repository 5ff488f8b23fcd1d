package loop

import (
	"context"
	"fmt"
	"strings"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

// prepareEvaluation allocates the evaluator, if there is something to evaluate on, and checks that what the job wants of
// evaluations can be had.
func (r *run) prepareEvaluation() (err error) {
	if r.Test != nil && r.Test.Examples() == 0 {
		r.Test = nil
	}
	if r.Test == nil {
		return checkMetric(&r.Spec.Evaluation, false, nil)
	}
	scorer, err := r.newScorer()
	if err != nil {
		return err
	}
	r.scored = scorer != nil
	if err := checkMetric(&r.Spec.Evaluation, true, scorer); err != nil {
		return err
	}
	limit := 0
	if n := r.Spec.Evaluation.MaxExamples; n != nil {
		limit = int(*n)
	}
	r.testLimit = r.Test.WholeGroups(limit)
	// No larger than what a rank trains on: an evaluation can only be interrupted between its batches.
	batch := min(r.trainer.rows(), evaluationBatch, r.Test.Examples())
	r.evaluator, err = NewEvaluator(r.network, batch, r.Test.SeqLen, r.Spec.EvaluationSegments())
	return err
}

func (r *run) newScorer() (dataset.Scorer, error) {
	if r.NewScorer == nil {
		return nil, nil
	}
	return r.NewScorer()
}

// evaluateIfDue measures the network where the plan says so, and saves it if it has never been better. An evaluation
// that is interrupted leaves everything as it was.
func (r *run) evaluateIfDue(ctx context.Context) error {
	step := r.trainer.step
	if r.evaluated == step || !r.plan.evaluateAfter(step) || r.Test == nil {
		return nil
	}
	if err := r.settle(); err != nil {
		return err
	}
	r.watch.lap(partCompute)
	result, whole, err := r.evaluate(ctx)
	r.watch.lap(partEvaluation)
	if err != nil {
		return fmt.Errorf("evaluation after step %d: %w", step, err)
	}
	if !whole {
		return nil
	}
	value, _ := result.metric(r.Spec.Evaluation.Metric)
	better := false
	r.standing, better = r.standing.after(value)
	r.evaluated, r.last = step, result.Exact
	r.Tracker.Evaluated(result.Exact)
	r.Tracker.Note(fmt.Sprintf("step %d: %s", step, describeEvaluation(result)))
	err = r.write(progress.Record{
		Step: step, Epoch: r.plan.epoch(step), Time: r.Now().UTC(),
		EvalAccuracy: &result.Accuracy, EvalExactAccuracy: &result.Exact, EvalExamples: result.Examples, EvalScores: scoreValues(result.Scores),
	})
	if err != nil || !better {
		return err
	}
	return r.offer(true)
}

// evaluate measures the network on the held-out examples, together with the other ranks.
func (r *run) evaluate(ctx context.Context) (Evaluation, bool, error) {
	j := &joint{group: r.Group, evaluator: r.evaluator, data: r.Test, limit: r.testLimit, answers: r.scored}
	if r.scored && r.Group.Rank() == 0 {
		var err error
		if j.scorer, err = r.newScorer(); err != nil {
			return Evaluation{}, false, err
		}
	}
	return j.run(ctx)
}

// describeEvaluation says an evaluation's result in a line.
func describeEvaluation(v Evaluation) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%.1f%% of %d held-out examples wholly right, %.1f%% of their tokens", 100*v.Exact, v.Examples, 100*v.Accuracy)
	for _, score := range v.Scores {
		fmt.Fprintf(&s, ", %s %.1f%% of %d", score.Name, 100*score.Value, score.Of)
	}
	return s.String()
}

func scoreValues(scores []dataset.Score) map[string]float64 {
	if len(scores) == 0 {
		return nil
	}
	values := map[string]float64{}
	for _, s := range scores {
		values[s.Name] = s.Value
	}
	return values
}

// outOfPatience says that training ends because it has not become better for long.
func (r *run) outOfPatience() bool { return r.standing.exhausted(r.Spec.Evaluation.Patience) }

// ended says that nothing is left to train or to measure.
func (r *run) ended() bool {
	return r.outOfPatience() || r.trainer.step >= r.plan.total && (r.Test == nil || r.evaluated == r.trainer.step)
}

// earlyEnd says why a run that has ended did so before its last step; empty if it did not.
func (r *run) earlyEnd() string {
	if r.trainer.step >= r.plan.total || !r.outOfPatience() {
		return ""
	}
	return fmt.Sprintf("%d evaluations in a row had no better %s than %.4g (spec.evaluation.patience)", r.standing.waited, metricName(r.Spec), r.standing.best)
}

// metricName is the metric that a job's evaluations are compared by.
func metricName(s *v1alpha1.HRMTrainingJobSpec) v1alpha1.EvaluationMetric {
	if m := s.Evaluation.Metric; m != "" {
		return m
	}
	return v1alpha1.EvaluationMetricExactAccuracy
}
