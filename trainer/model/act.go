package model

import (
	"math/bits"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// haltingRules say what a job's act.halting means: by which rule rows halt, and whether q_continue learns from a target that
// costs another segment.
var haltingRules = map[v1alpha1.Halting]struct {
	rule   device.Halting
	target bool
}{
	"":                          {device.HaltAboveContinue, true},
	v1alpha1.HaltingQLearning:   {device.HaltAboveContinue, true},
	v1alpha1.HaltingQDifference: {device.HaltAboveContinue, false},
	v1alpha1.HaltingQHalt:       {device.HaltAboveZero, false},
	v1alpha1.HaltingFixed:       {device.HaltAtLast, false},
}

// Halting returns the rule by which training is done with a row's example.
func (m *Model) Halting() device.Halting { return haltingRules[m.Spec.ACT.Halting].rule }

// Halted says whether a row is done with its example after steps segments: at the latest after maxSteps, earlier if
// the rule says so of what the Q head says, but not before minimum (paper, section "Adaptive computation time").
func Halted(rule device.Halting, steps, maxSteps int32, qHalt, qContinue float32, minimum int32) bool {
	if maxSteps <= 1 {
		return true
	}
	return (steps >= maxSteps || HaltsEarly(rule, qHalt, qContinue)) && steps >= minimum
}

// HaltsEarly says whether the rule has a row halt by what the Q head says, and not only because there are no more segments.
func HaltsEarly(rule device.Halting, qHalt, qContinue float32) bool {
	return rule == device.HaltAboveContinue && qHalt > qContinue || rule == device.HaltAboveZero && qHalt > 0
}

// ExplorationMinimum returns the least number of segments that a row of the global batch is to have, as drawn in a step: with
// the given probability one of {2..maxSteps}, else 0. What is drawn depends on nothing but the arguments, so that devices and
// processes draw by themselves and come to the same.
func ExplorationMinimum(seed uint64, step int64, row int, maxSteps int32, probability float64) int32 {
	random := philox(seed, uint64(step), uint32(row))
	if float64(random[0])/(1<<32) >= probability {
		return 0
	}
	draw, _ := bits.Mul32(random[1], uint32(max(1, maxSteps-1)))
	return int32(draw) + 2
}

// philox is Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") of the counter (step, row, 0).
func philox(seed, step uint64, row uint32) [4]uint32 {
	x := [4]uint32{uint32(step), uint32(step >> 32), row, 0}
	key := [2]uint32{uint32(seed), uint32(seed >> 32)}
	for range 10 {
		high0, low0 := bits.Mul32(0xD2511F53, x[0])
		high1, low1 := bits.Mul32(0xCD9E8D57, x[2])
		x = [4]uint32{high1 ^ x[1] ^ key[0], low1, high0 ^ x[3] ^ key[1], low0}
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
	return x
}
