package optim

import "math"

// LearningRate returns the rate of a step, counted from 1: base*step/warmup while warming up, then a half cosine from
// base down to minRatio*base at step total. A minRatio of 1 is a constant rate.
func LearningRate(step int64, base float64, warmup, total int64, minRatio float64) float64 {
	if step < warmup {
		return base * float64(step) / float64(warmup)
	}
	progress := min(1, float64(step-warmup)/float64(max(1, total-warmup)))
	return base * (minRatio + (1-minRatio)*0.5*(1+math.Cos(math.Pi*progress)))
}
