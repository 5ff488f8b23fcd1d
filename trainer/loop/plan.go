package loop

// plan is when things happen in a run. It is a pure function of the job and the dataset, so that a run that resumes
// follows the same one.
type plan struct {
	// total is the number of optimizer steps.
	total int64
	// batch is the number of examples of a step, over all processes.
	batch int
	// epochExamples is the number of examples that the sampler draws in one epoch: one variant of every group.
	epochExamples float64
	// evaluateEpochs or evaluateSteps is the distance of evaluations; with neither there is one at the end.
	evaluateEpochs float64
	evaluateSteps  int64
	// saveSteps is the distance of checkpoints; 0 leaves it to the clock.
	saveSteps int64
}

// totalSteps is the official count: the examples of all epochs over the batch, rounded down.
func totalSteps(epochs, epochExamples float64, batch int) int64 {
	return int64(epochs * epochExamples / float64(batch))
}

// epoch returns how many epochs are done after a step.
func (p plan) epoch(step int64) float64 {
	if p.epochExamples <= 0 {
		return 0
	}
	return float64(step) * float64(p.batch) / p.epochExamples
}

// evaluateAfter says whether a step completes an evaluation interval, or the run.
func (p plan) evaluateAfter(step int64) bool {
	switch {
	case step == p.total:
		return true
	case step == 0:
		return false
	case p.evaluateSteps > 0:
		return step%p.evaluateSteps == 0
	case p.evaluateEpochs <= 0:
		return false
	}
	return int64(p.epoch(step)/p.evaluateEpochs) > int64(p.epoch(step-1)/p.evaluateEpochs)
}

// saveAfter says whether a step completes a checkpoint interval.
func (p plan) saveAfter(step int64) bool {
	return step == p.total || step > 0 && p.saveSteps > 0 && step%p.saveSteps == 0
}
