package cuda_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

// contents are random numbers for what a program reads, and poison for what it writes.
func contents(p *device.Program, rows int) map[string]*device.HostArray {
	random := rand.New(rand.NewPCG(5, 6))
	all := map[string]*device.HostArray{}
	for i := range p.Values {
		v := &p.Values[i]
		n := v.Elements()
		if v.Rows {
			n *= rows
		}
		a := device.NewHostArray(v.DType, n)
		for k := range n {
			switch {
			case v.Role == device.Temporary:
			case v.DType == device.Int32 && len(v.Shape) == 0:
				_ = device.WriteInts(a, k, []int32{random.Int32N(2)})
			case v.DType == device.Int32:
				_ = device.WriteInts(a, k, []int32{random.Int32N(vocabulary)})
			case v.Role == device.Output || v.Role == device.Gradient:
				_ = device.WriteFloats(a, k, []float32{float32(math.NaN())})
			case v.Role == device.Parameter:
				_ = device.WriteFloats(a, k, []float32{float32(random.NormFloat64()) / 8})
			default:
				_ = device.WriteFloats(a, k, []float32{float32(random.NormFloat64())})
			}
		}
		all[v.Name] = a
	}
	return all
}

// run runs a program twice, so that the second is a graph where there are graphs, and returns what it wrote.
func run(t *testing.T, d device.Device, p *device.Program, rows int, given map[string]*device.HostArray) map[string][]float32 {
	t.Helper()
	x, err := d.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	bound := map[string]device.Array{}
	for i := range p.Values {
		if v := &p.Values[i]; v.Role != device.Temporary {
			if bound[v.Name], err = d.NewArray(v.DType, given[v.Name].Len()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		for name, a := range bound {
			if err := a.Write(0, given[name].Bytes()); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.Run(context.Background(), rows, bound); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string][]float32{}
	for i := range p.Values {
		if v := &p.Values[i]; v.Role == device.Output || v.Role == device.Gradient {
			if out[v.Name], err = device.ReadFloats(bound[v.Name], 0, bound[v.Name].Len()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// compare compares what two devices wrote, relative to the largest number of each value.
func compare(t *testing.T, p *device.Program, got, want map[string][]float32, tolerance float64) {
	t.Helper()
	for i := range p.Values {
		name := p.Values[i].Name
		largest, worst := 1e-6, 0.0
		for k := range want[name] {
			// What a program leaves as it was, both devices do.
			if got[name][k] != got[name][k] && want[name][k] != want[name][k] {
				continue
			}
			largest = max(largest, math.Abs(float64(want[name][k])))
			if difference := math.Abs(float64(got[name][k] - want[name][k])); !(difference <= worst) {
				worst = difference
			}
		}
		if !(worst <= tolerance*largest) {
			t.Errorf("%s differs by %.3g of %.3g", name, worst, largest)
		}
	}
}

// exposed is a program whose temporaries are outputs.
func exposed(p *device.Program) *device.Program {
	q := *p
	q.Values = append([]device.Value{}, p.Values...)
	for i := range q.Values {
		if v := &q.Values[i]; v.Role == device.Temporary {
			v.Role, v.Name = device.Output, fmt.Sprintf("%d %s", i, v.Name)
		}
	}
	return &q
}

func TestPrograms_writeWhatTheReferenceWrites(t *testing.T) {
	for _, precision := range []v1alpha1.Precision{v1alpha1.PrecisionFloat32, v1alpha1.PrecisionBFloat16} {
		m := tiny(t, precision)
		tolerance := map[v1alpha1.Precision]float64{v1alpha1.PrecisionFloat32: 3e-5, v1alpha1.PrecisionBFloat16: 0.1}[precision]
		for name, p := range map[string]*device.Program{"training": m.Train, "training, every value": exposed(m.Train), "evaluation": m.Eval} {
			t.Run(fmt.Sprintf("%s %s", name, precision), func(t *testing.T) {
				c := gpu(t)
				d := open(t, c, options(t, c))
				given := contents(p, batch)
				compare(t, p, run(t, d, p, batch, given), run(t, reference.New(), p, batch, given), tolerance)
			})
		}
	}
}
