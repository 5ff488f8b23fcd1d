package optim

import (
	"fmt"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// SparseSignSGD updates the rows of the puzzle table that a global batch used.
type SparseSignSGD struct {
	Device      device.Device
	Table       device.Array
	Dim         int
	WeightDecay float64

	// rows are the distinct ids of the last step, ascending, and sums their gradients.
	rows []int32
	sums []float32
}

// Step sums the gradients [len(ids), Dim] of repeated ids, in the batch's order, and updates each distinct row once.
func (s *SparseSignSGD) Step(ids []int32, gradients []float32, learningRate float64) error {
	if len(gradients) != len(ids)*s.Dim {
		return fmt.Errorf("update puzzle table: %d gradient elements for %d ids of %d", len(gradients), len(ids), s.Dim)
	}
	s.group(ids, gradients)
	if err := s.Device.SignSGD(s.Table, s.rows, s.sums, learningRate, s.WeightDecay); err != nil {
		return fmt.Errorf("update puzzle table: %w", err)
	}
	return nil
}

// group finds the distinct ids and the sum of each one's gradients. Sums are taken in the batch's order, so that they do
// not depend on how the batch was split among processes.
func (s *SparseSignSGD) group(ids []int32, gradients []float32) {
	s.rows = append(s.rows[:0], ids...)
	slices.Sort(s.rows)
	s.rows = slices.Compact(s.rows)
	n := len(s.rows) * s.Dim
	s.sums = slices.Grow(s.sums[:0], n)[:n]
	clear(s.sums)
	for i, id := range ids {
		at, _ := slices.BinarySearch(s.rows, id)
		sum := s.sums[at*s.Dim : (at+1)*s.Dim]
		for d, g := range gradients[i*s.Dim : (i+1)*s.Dim] {
			sum[d] += g
		}
	}
}
