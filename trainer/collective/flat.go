package collective

import (
	"fmt"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// readFlat reads arrays one behind the other into flat, or into more memory if that is not enough.
func readFlat(flat []float32, arrays []device.Array) ([]float32, error) {
	size := 0
	for _, a := range arrays {
		if a.DType() != device.Float32 {
			return flat, fmt.Errorf("sum over all ranks: an array is of %v, want %v", a.DType(), device.Float32)
		}
		size += a.Len()
	}
	flat = slices.Grow(flat[:0], size)[:size]
	err := eachPart(flat, arrays, func(a device.Array, part []byte) error { return a.Read(0, part) })
	if err != nil {
		return flat, fmt.Errorf("read what is to be summed: %w", err)
	}
	return flat, nil
}

// writeFlat writes to arrays what readFlat has read from ones of their lengths.
func writeFlat(flat []float32, arrays []device.Array) error {
	err := eachPart(flat, arrays, func(a device.Array, part []byte) error { return a.Write(0, part) })
	if err != nil {
		return fmt.Errorf("write what was summed: %w", err)
	}
	return nil
}

// eachPart does something with every array and its part of flat.
func eachPart(flat []float32, arrays []device.Array, do func(a device.Array, part []byte) error) error {
	for _, a := range arrays {
		if err := do(a, device.Bytes(flat[:a.Len()])); err != nil {
			return err
		}
		flat = flat[a.Len():]
	}
	return nil
}
