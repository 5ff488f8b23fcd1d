package loop

import (
	"errors"
	"fmt"
	"math"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// ErrConfiguration says that the job cannot be run as it is written. Trying again will not help.
var ErrConfiguration = errors.New("the job's configuration is wrong")

// decimals parses the decimal strings of a spec and keeps the first error.
type decimals struct{ err error }

func (d *decimals) parse(field string, x v1alpha1.Decimal) float64 {
	v, err := x.Float()
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("%w: spec.%s: %w", ErrConfiguration, field, err)
	}
	return v
}

// planFor says when things happen in a run of the job on a dataset whose epoch has epochExamples examples.
func planFor(s *v1alpha1.HRMTrainingJobSpec, epochExamples float64) (plan, error) {
	p := plan{batch: int(s.Training.GlobalBatchSize), epochExamples: epochExamples}
	epochs, steps := s.Training.EpochsOrSteps()
	p.total = steps
	if steps == 0 {
		p.total = totalSteps(float64(epochs), epochExamples, p.batch)
	}
	if p.total < 1 {
		return p, fmt.Errorf("%w: %d epochs of %.0f examples are not one batch of %d: lower spec.training.globalBatchSize or raise spec.training.epochs",
			ErrConfiguration, epochs, epochExamples, p.batch)
	}
	if s.Evaluation.EveryEpochs != nil {
		p.evaluateEpochs = float64(*s.Evaluation.EveryEpochs)
	}
	if s.Evaluation.EverySteps != nil {
		p.evaluateSteps = *s.Evaluation.EverySteps
	}
	if s.Checkpoint.EverySteps != nil {
		p.saveSteps = *s.Checkpoint.EverySteps
	}
	return p, nil
}

// HyperparametersOf reads the numbers of a job's spec that has its defaults.
func HyperparametersOf(s *v1alpha1.HRMTrainingJobSpec, total int64) (Hyperparameters, error) {
	var d decimals
	t := &s.Training
	h := Hyperparameters{
		Batch: int(t.GlobalBatchSize), TotalSteps: total, MaxSegments: int(s.Model.ACT.MaxSteps),
		Seed:                 uint64(t.Seed),
		LearningRate:         d.parse("training.learningRate", t.LearningRate),
		MinLearningRateRatio: d.parse("training.minLearningRateRatio", t.MinLearningRateRatio),
		WeightDecay:          d.parse("training.weightDecay", t.WeightDecay),
		Beta1:                d.parse("training.beta1", t.Beta1),
		Beta2:                d.parse("training.beta2", t.Beta2),
		PuzzleLearningRate:   d.parse("training.embedding.learningRate", t.Embedding.LearningRate),
		PuzzleWeightDecay:    d.parse("training.embedding.weightDecay", t.Embedding.WeightDecay),
		Exploration:          d.parse("model.act.explorationProbability", s.Model.ACT.ExplorationProbability),
	}
	if t.EMADecay != "" {
		h.EMADecay = d.parse("training.emaDecay", t.EMADecay)
	}
	if t.WarmupSteps != nil {
		h.WarmupSteps = int64(*t.WarmupSteps)
	}
	return h, d.err
}

// epochsPerPass is how many epochs the sampler strings together: from one evaluation to the next, as the official code
// does, or the whole run where evaluations are not counted in epochs.
func epochsPerPass(s *v1alpha1.HRMTrainingJobSpec) int {
	if s.Evaluation.EveryEpochs != nil {
		return int(*s.Evaluation.EveryEpochs)
	}
	return math.MaxInt32
}
