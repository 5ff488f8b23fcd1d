package loop

import "time"

// The parts that the time of a run is divided into.
const (
	partData       = "data"
	partCompute    = "compute"
	partAllReduce  = "allreduce"
	partCheckpoint = "checkpoint"
	partEvaluation = "evaluation"
)

// stopwatch divides time into parts: each lap is the time since the one before, so that the parts add up to the whole.
// A nil one measures nothing.
type stopwatch struct {
	now   func() time.Time
	spent func(part string, d time.Duration)
	last  time.Time
}

func newStopwatch(now func() time.Time, spent func(string, time.Duration)) *stopwatch {
	return &stopwatch{now: now, spent: spent, last: now()}
}

// lap counts the time since the last lap as spent on a part.
func (w *stopwatch) lap(part string) {
	if w == nil {
		return
	}
	now := w.now()
	w.spent(part, now.Sub(w.last))
	w.last = now
}
