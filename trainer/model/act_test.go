package model

import (
	"math"
	"testing"
)

// The numbers are those that the authors of Philox publish for a counter and a key of zeros.
func TestPhilox_drawsThePublishedNumbers(t *testing.T) {
	if got, want := philox(0, 0, 0), [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}; got != want {
		t.Errorf("drew %x, want %x", got, want)
	}
}

func TestExplorationMinimum_isUniformAndAsOftenAsAskedFor(t *testing.T) {
	const rows, steps, maxSteps, probability = 500, 400, 5, 0.3
	counts := make([]float64, maxSteps+1)
	for step := range int64(steps) {
		for row := range rows {
			counts[ExplorationMinimum(7, step, row, maxSteps, probability)]++
		}
	}
	for minimum, n := range counts {
		want := float64(0)
		switch {
		case minimum == 0:
			want = 1 - probability
		case minimum >= 2:
			want = probability / (maxSteps - 1)
		}
		if got := n / (rows * steps); math.Abs(got-want) > 0.003 {
			t.Errorf("a minimum of %d is drawn with probability %.4f, want %.4f", minimum, got, want)
		}
	}
}

func TestExplorationMinimum_ofASingleSegmentIsOutOfReach(t *testing.T) {
	if got := ExplorationMinimum(1, 1, 0, 1, 1); got != 2 {
		t.Errorf("drew %d", got)
	}
}
