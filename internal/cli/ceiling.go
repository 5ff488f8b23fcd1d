package cli

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// The products whose speed is a device's ceiling: [rows*length, width] by [width, width], large enough for any processor; for a
// GPU larger and more of them, so that starting them does not count.
const (
	ceilingRows, ceilingLength = 32, 328
	ceilingRounds              = 3
)

func ceilingSizes(d device.Device) (width, products int) {
	if d.Name() == "cuda" {
		return 4096, 16
	}
	return 1024, 2
}

// productCeiling returns the GFLOP/s that a device reaches in matrix products alone, of random numbers: what a model that is
// made of them can at best come to.
func productCeiling(ctx context.Context, d device.Device, act device.DType) (float64, error) {
	width, products := ceilingSizes(d)
	block := device.Value{DType: act, Rows: true, Shape: []int{ceilingLength, width}}
	x, y := block, block
	x.Name, x.Role, y.Name, y.Role = "x", device.Input, "y", device.Output
	w := device.Value{Name: "w", Role: device.Parameter, Shape: []int{width, width}}
	p := &device.Program{Name: "products", Values: []device.Value{x, w, y}}
	for range products {
		p.Instructions = append(p.Instructions, device.Instruction{Op: device.OpLinear, In: []int{0, 1}, Out: 2, Aux: device.NoValue})
	}
	program, err := d.Compile(p)
	if err != nil {
		return 0, err
	}
	defer program.Close()
	arrays := map[string]device.Array{}
	for _, v := range []device.Value{x, w} {
		if arrays[v.Name], err = randomArray(d, v); err != nil {
			return 0, err
		}
	}
	if arrays[y.Name], err = d.NewArray(y.DType, ceilingRows*y.Elements()); err != nil {
		return 0, err
	}
	best := 0.0
	for range ceilingRounds {
		began := time.Now()
		if err := program.Run(ctx, ceilingRows, arrays); err != nil {
			return 0, err
		}
		best = max(best, 2e-9*float64(products)*ceilingRows*ceilingLength*float64(width)*float64(width)/time.Since(began).Seconds())
	}
	return best, nil
}

// randomArray allocates the array of a value for the ceiling's rows and fills it.
func randomArray(d device.Device, v device.Value) (device.Array, error) {
	values := make([]float32, v.Elements())
	random := rand.New(rand.NewPCG(1, uint64(len(values))))
	for i := range values {
		values[i] = float32(random.NormFloat64())
	}
	blocks := 1
	if v.Rows {
		blocks = ceilingRows
	}
	a, err := d.NewArray(v.DType, blocks*len(values))
	for i := 0; i < blocks && err == nil; i++ {
		err = device.WriteFloats(a, i*len(values), values)
	}
	return a, err
}

// copyBytes is what is copied to time it.
const copyBytes = 256 << 20

// copySpeeds returns the GB/s at which arrays are written and read.
func copySpeeds(d device.Device) (write, read float64, err error) {
	a, err := d.NewArray(device.Float32, copyBytes/4)
	if err != nil {
		return 0, 0, err
	}
	raw := make([]byte, copyBytes)
	for range ceilingRounds {
		began := time.Now()
		if err := a.Write(0, raw); err != nil {
			return 0, 0, err
		}
		// A short read waits until what was written has arrived.
		if err := a.Read(0, raw[:4]); err != nil {
			return 0, 0, err
		}
		write = max(write, 1e-9*copyBytes/time.Since(began).Seconds())
		began = time.Now()
		if err := a.Read(0, raw); err != nil {
			return 0, 0, err
		}
		read = max(read, 1e-9*copyBytes/time.Since(began).Seconds())
	}
	return write, read, nil
}
