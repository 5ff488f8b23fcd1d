package cli

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// The products whose speed is a device's ceiling: [rows*length, width] by [width, width], large enough for any processor.
const (
	ceilingRows, ceilingLength, ceilingWidth = 32, 328, 1024
	ceilingProducts, ceilingRounds           = 2, 3
)

// productCeiling returns the GFLOP/s that a device reaches in matrix products alone, of random numbers: what a model that is
// made of them can at best come to.
func productCeiling(ctx context.Context, d device.Device, act device.DType) (float64, error) {
	block := device.Value{DType: act, Rows: true, Shape: []int{ceilingLength, ceilingWidth}}
	x, y := block, block
	x.Name, x.Role, y.Name, y.Role = "x", device.Input, "y", device.Output
	w := device.Value{Name: "w", Role: device.Parameter, Shape: []int{ceilingWidth, ceilingWidth}}
	p := &device.Program{Name: "products", Values: []device.Value{x, w, y}}
	for range ceilingProducts {
		p.Instructions = append(p.Instructions, device.Instruction{Op: device.OpLinear, In: []int{0, 1}, Out: 2, Aux: device.NoValue})
	}
	program, err := d.Compile(p)
	if err != nil {
		return 0, err
	}
	defer program.Close()
	arrays := map[string]device.Array{}
	for _, v := range p.Values {
		if arrays[v.Name], err = randomArray(d, v); err != nil {
			return 0, err
		}
	}
	best := 0.0
	for range ceilingRounds {
		began := time.Now()
		if err := program.Run(ctx, ceilingRows, arrays); err != nil {
			return 0, err
		}
		best = max(best, 2e-9*ceilingProducts*ceilingRows*ceilingLength*ceilingWidth*ceilingWidth/time.Since(began).Seconds())
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
