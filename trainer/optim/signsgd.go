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
}

// Step sums the gradients [len(ids), Dim] of repeated ids, in the batch's order, and updates each distinct row once.
func (s *SparseSignSGD) Step(ids []int32, gradients []float32, learningRate float64) error {
	if len(gradients) != len(ids)*s.Dim {
		return fmt.Errorf("update puzzle table: %d gradient elements for %d ids of %d", len(gradients), len(ids), s.Dim)
	}
	rows, sums := GroupRows(ids, gradients, s.Dim)
	if err := s.Device.SignSGD(s.Table, rows, sums, learningRate, s.WeightDecay); err != nil {
		return fmt.Errorf("update puzzle table: %w", err)
	}
	return nil
}

// GroupRows returns the distinct ids in ascending order with the sum of each one's gradients. Sums are taken in the
// batch's order, so that they do not depend on how the batch was split among processes.
func GroupRows(ids []int32, gradients []float32, dim int) (rows []int32, sums []float32) {
	rows = slices.Clone(ids)
	slices.Sort(rows)
	rows = slices.Compact(rows)
	sums = make([]float32, len(rows)*dim)
	for i, id := range ids {
		at, _ := slices.BinarySearch(rows, id)
		sum := sums[at*dim : (at+1)*dim]
		for d, g := range gradients[i*dim : (i+1)*dim] {
			sum[d] += g
		}
	}
	return rows, sums
}
