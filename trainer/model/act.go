package model

// Halted says whether a row is done with its example after steps segments: at the latest after maxSteps, earlier if
// halting promises more than going on, but not before minimum (paper, section "Adaptive computation time").
func Halted(steps, maxSteps int32, qHalt, qContinue float32, minimum int32) bool {
	if maxSteps <= 1 {
		return true
	}
	return (steps >= maxSteps || qHalt > qContinue) && steps >= minimum
}

// ExplorationMinimum returns the least number of segments of a row: with the given probability one of {2..maxSteps},
// else none. uniform is drawn from [0,1), draw from {0..maxSteps-2}.
func ExplorationMinimum(uniform float64, draw int, probability float64) int32 {
	if uniform >= probability {
		return 0
	}
	return int32(draw) + 2
}
