package progress

import (
	"math"
	"time"
)

// memory is how long a step counts in the rate; older steps fade.
const memory = 30 * time.Second

// rate is samples per second of training, evaluation and saving not counted, with a fading memory.
type rate struct {
	samples, seconds float64
}

func (r *rate) add(samples int, took time.Duration) {
	fade := math.Exp(-took.Seconds() / memory.Seconds())
	r.samples = r.samples*fade + float64(samples)
	r.seconds = r.seconds*fade + took.Seconds()
}

func (r *rate) perSecond() float64 {
	if r.seconds <= 0 {
		return 0
	}
	return r.samples / r.seconds
}
