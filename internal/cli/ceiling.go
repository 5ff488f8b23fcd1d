package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// ceilings are what a device comes to at best, by what it does itself in large.
type ceilings struct {
	// ProductGFLOPS is of matrix products alone, MemoryGBPerSecond of sums of arrays that no cache holds.
	ProductGFLOPS     float64 `json:"product_gflops,omitempty"`
	MemoryGBPerSecond float64 `json:"memory_gb_per_s,omitempty"`
	// WriteGBPerSecond and ReadGBPerSecond are of copies to the device's arrays and from them.
	WriteGBPerSecond float64 `json:"write_gb_per_s,omitempty"`
	ReadGBPerSecond  float64 `json:"read_gb_per_s,omitempty"`
}

const (
	// ceilingRows are those of the programs that are timed: enough for the threads of a processor.
	ceilingRows = 64
	// ceilingSeconds is how long a program must run at least, so that beginning and end do not count.
	ceilingSeconds = 0.02
	// ceilingRounds is how often it runs; the best counts.
	ceilingRounds = 3
)

// measureCeilings times a device alone. act is the type that products multiply.
func measureCeilings(ctx context.Context, d device.Device, act device.DType) (ceilings, error) {
	products, err := rate(ctx, d, productPrograms(act))
	if err != nil {
		return ceilings{}, fmt.Errorf("time products alone: %w", err)
	}
	sums, err := rate(ctx, d, sumPrograms())
	if err != nil {
		return ceilings{}, fmt.Errorf("time sums alone: %w", err)
	}
	write, read, err := copySpeeds(d)
	if err != nil {
		return ceilings{}, fmt.Errorf("time copies alone: %w", err)
	}
	return ceilings{
		ProductGFLOPS: round(products.FLOPs/1e9, 10), MemoryGBPerSecond: round(sums.Bytes/1e9, 100),
		WriteGBPerSecond: round(write, 100), ReadGBPerSecond: round(read, 100),
	}, nil
}

// productPrograms are products of [164,width] per row by [width,width], each of more work than the one before.
func productPrograms(act device.DType) []*device.Program {
	const length = 164
	var all []*device.Program
	for _, size := range []struct{ width, times int }{{64, 1}, {256, 1}, {1024, 2}, {4096, 16}} {
		x := device.Value{Name: "x", Role: device.Input, DType: act, Rows: true, Shape: []int{length, size.width}}
		w := device.Value{Name: "w", Role: device.Parameter, Shape: []int{size.width, size.width}}
		y := x
		y.Name, y.Role = "y", device.Output
		ins := device.Instruction{Op: device.OpLinear, In: []int{0, 1}, Out: 2, Aux: device.NoValue}
		all = append(all, repeated("products", []device.Value{x, w, y}, ins, size.times))
	}
	return all
}

// sumPrograms are sums of two arrays of so many MiB, each of more work than the one before.
func sumPrograms() []*device.Program {
	var all []*device.Program
	for _, size := range []struct{ mebibytes, times int }{{1, 1}, {32, 1}, {128, 1}, {256, 16}} {
		x := device.Value{Name: "x", Role: device.Input, Rows: true, Shape: []int{size.mebibytes << 20 / device.Float32.Size() / ceilingRows}}
		y, z := x, x
		y.Name, z.Name, z.Role = "y", "z", device.Output
		ins := device.Instruction{Op: device.OpAdd, In: []int{0, 1}, Out: 2, Aux: device.NoValue}
		all = append(all, repeated("sums", []device.Value{x, y, z}, ins, size.times))
	}
	return all
}

func repeated(name string, values []device.Value, ins device.Instruction, times int) *device.Program {
	p := &device.Program{Name: name, Values: values}
	for range times {
		p.Instructions = append(p.Instructions, ins)
	}
	return p
}

// rate returns what a device does in a second of the first program that takes it long enough, or of the last. The time is what
// the device's own profile says, as that of the operations is that are compared with it.
func rate(ctx context.Context, d device.Device, programs []*device.Program) (device.Cost, error) {
	var seconds float64
	var cost device.Cost
	for _, p := range programs {
		var err error
		if seconds, err = shortest(ctx, d, p); err != nil {
			return device.Cost{}, err
		}
		if cost = p.Cost(ceilingRows); seconds >= ceilingSeconds {
			break
		}
	}
	return device.Cost{FLOPs: cost.FLOPs / seconds, Bytes: cost.Bytes / seconds}, nil
}

// shortest returns the shortest time of a program's instructions, which are of one kind, on random numbers.
func shortest(ctx context.Context, d device.Device, p *device.Program) (best float64, err error) {
	x, err := d.Compile(p)
	if err != nil {
		return 0, err
	}
	defer x.Close()
	arrays := map[string]device.Array{}
	for i := range p.Values {
		if arrays[p.Values[i].Name], err = randomArray(d, &p.Values[i]); err != nil {
			return 0, err
		}
	}
	for i := range ceilingRounds {
		d.StartProfile()
		runErr := x.Run(ctx, ceilingRows, arrays)
		all, err := d.StopProfile()
		if err := errors.Join(runErr, err); err != nil {
			return 0, err
		}
		for _, m := range all {
			if m.Operation == p.Instructions[0].Op.String() && (i == 0 || m.Seconds < best) {
				best = m.Seconds
			}
		}
	}
	return best, nil
}

// randomArray allocates the array of a value for the ceiling's rows, and fills it unless it is a result.
func randomArray(d device.Device, v *device.Value) (device.Array, error) {
	a, err := d.NewArray(v.DType, v.Count(ceilingRows))
	if err != nil || v.Role == device.Output {
		return a, err
	}
	values := make([]float32, v.Elements())
	random := rand.New(rand.NewPCG(1, uint64(len(values))))
	for i := range values {
		values[i] = float32(random.NormFloat64())
	}
	for at := 0; at < a.Len() && err == nil; at += len(values) {
		err = device.WriteFloats(a, at, values)
	}
	return a, err
}

// copyBytes is what is copied to time it.
const copyBytes = 256 << 20

// copySpeeds returns the bytes per second at which arrays are written and read, in 1e9.
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
