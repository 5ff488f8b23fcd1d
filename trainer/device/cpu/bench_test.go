//go:build onednn && cgo && linux

package cpu

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// stack builds a program of the cost of one HRM training step: layers of both modules, forward for two segments and
// backward for the last call of each module. Its temporaries never share places but for those without gradient.
type stack struct {
	device.Program
	act                    device.DType
	t, d, f, heads, layers int
	top                    int
	free                   map[int][]int
}

func (s *stack) value(v device.Value) int {
	v.Name = fmt.Sprintf("v%d", len(s.Values))
	s.Values = append(s.Values, v)
	return len(s.Values) - 1
}

func (s *stack) temporary(t device.DType, shape ...int) int {
	v := device.Value{DType: t, Rows: true, Shape: shape}
	size := (v.Elements()*t.Size() + 63) / 64 * 64
	if spare := s.free[size]; len(spare) > 0 {
		v.Offset, s.free[size] = spare[len(spare)-1], spare[:len(spare)-1]
	} else {
		v.Offset = s.top
		s.top += size
	}
	return s.value(v)
}

func (s *stack) release(values ...int) {
	for _, i := range values {
		v := &s.Values[i]
		size := (v.Elements()*v.DType.Size() + 63) / 64 * 64
		s.free[size] = append(s.free[size], v.Offset)
	}
}

func (s *stack) do(op device.Opcode, out, aux int, in ...int) int {
	a := device.Attributes{Heads: s.heads, RoPETheta: 10000, Epsilon: 1e-5}
	s.Instructions = append(s.Instructions, device.Instruction{Op: op, In: in, Out: out, Aux: aux, Attr: a})
	return out
}

type layer struct{ qkv, o, gateUp, down int }
type tape struct{ x, qkv, attn, lse, x1, r1, gateUp, act, x2, r2 int }

func (s *stack) layer() layer {
	p := func(out, in int) int {
		return s.value(device.Value{Role: device.Parameter, Shape: []int{out, in}})
	}
	return layer{p(3*s.d, s.d), p(s.d, s.d), p(2*s.f, s.d), p(s.d, s.f)}
}

func (s *stack) forward(l layer, x int, keep bool) (int, tape) {
	n := device.NoValue
	k := tape{x: x}
	k.qkv = s.do(device.OpLinear, s.temporary(s.act, s.t, 3*s.d), n, x, l.qkv)
	k.lse = s.temporary(device.Float32, s.heads, s.t)
	k.attn = s.do(device.OpAttention, s.temporary(s.act, s.t, s.d), k.lse, k.qkv)
	o := s.do(device.OpLinear, s.temporary(s.act, s.t, s.d), n, k.attn, l.o)
	k.r1 = s.temporary(device.Float32, s.t)
	k.x1 = s.do(device.OpAddRMSNorm, s.temporary(s.act, s.t, s.d), k.r1, x, o)
	s.release(o)
	if !keep {
		s.release(k.qkv, k.lse, k.attn, k.r1)
	}
	k.gateUp = s.do(device.OpLinear, s.temporary(s.act, s.t, 2*s.f), n, k.x1, l.gateUp)
	k.act = s.do(device.OpSwiGLU, s.temporary(s.act, s.t, s.f), n, k.gateUp)
	down := s.do(device.OpLinear, s.temporary(s.act, s.t, s.d), n, k.act, l.down)
	k.r2 = s.temporary(device.Float32, s.t)
	k.x2 = s.do(device.OpAddRMSNorm, s.temporary(s.act, s.t, s.d), k.r2, k.x1, down)
	s.release(down)
	if !keep {
		s.release(k.gateUp, k.act, k.r2, k.x1)
	}
	return k.x2, k
}

func (s *stack) gradient(of int) int {
	return s.value(device.Value{Role: device.Gradient, Shape: s.Values[of].Shape})
}

func (s *stack) linearBack(w, dOut, x int, into int) {
	s.do(device.OpLinearGradWeight, s.gradient(w), device.NoValue, dOut, x)
	s.do(device.OpLinearGradInput, into, device.NoValue, dOut, w)
}

func (s *stack) backward(l layer, k tape, g int) int {
	ds := s.do(device.OpAddRMSNormGrad, s.temporary(s.act, s.t, s.d), k.r2, k.x2, g)
	dAct := s.temporary(s.act, s.t, s.f)
	s.linearBack(l.down, ds, k.act, dAct)
	dGateUp := s.do(device.OpSwiGLUGrad, s.temporary(s.act, s.t, 2*s.f), device.NoValue, k.gateUp, dAct)
	dx1 := s.temporary(s.act, s.t, s.d)
	s.linearBack(l.gateUp, dGateUp, k.x1, dx1)
	s.do(device.OpAdd, dx1, device.NoValue, dx1, ds)
	s.release(dAct, dGateUp, ds)
	ds = s.do(device.OpAddRMSNormGrad, s.temporary(s.act, s.t, s.d), k.r1, k.x1, dx1)
	dAttn := s.temporary(s.act, s.t, s.d)
	s.linearBack(l.o, ds, k.attn, dAttn)
	dqkv := s.do(device.OpAttentionGrad, s.temporary(s.act, s.t, 3*s.d), k.lse, k.qkv, k.attn, dAttn)
	dx := s.temporary(s.act, s.t, s.d)
	s.linearBack(l.qkv, dqkv, k.x, dx)
	s.do(device.OpAdd, dx, device.NoValue, dx, ds)
	s.release(dx1, ds, dAttn, dqkv)
	return dx
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// step adds everything: cycles 2x2 for two segments, 12 layer calls for two layers per module in each.
func (s *stack) step() {
	var l, h []layer
	for range s.layers {
		l, h = append(l, s.layer()), append(h, s.layer())
	}
	module := func(z int, add int, layers []layer, keep bool) (int, []tape) {
		x := s.do(device.OpAdd, s.temporary(s.act, s.t, s.d), device.NoValue, z, add)
		var tapes []tape
		for _, y := range layers {
			next, k := s.forward(y, x, keep)
			if !keep {
				s.release(x)
			}
			x, tapes = next, append(tapes, k)
		}
		return x, tapes
	}
	zh := s.value(device.Value{Role: device.Input, DType: s.act, Rows: true, Shape: []int{s.t, s.d}})
	zl := s.value(device.Value{Role: device.Input, DType: s.act, Rows: true, Shape: []int{s.t, s.d}})
	segment := func(learn bool) {
		var tl, th []tape
		for c := range 2 {
			for i := range 2 {
				zl, tl = module(zl, zh, l, learn && c == 1 && i == 1)
			}
			zh, th = module(zh, zl, h, learn && c == 1)
		}
		if !learn {
			return
		}
		g := zh
		for i := range th {
			g = s.backward(h[len(h)-1-i], th[len(th)-1-i], g)
		}
		for i := range tl {
			g = s.backward(l[len(l)-1-i], tl[len(tl)-1-i], g)
		}
	}
	segment(true)
	segment(false)
	out := s.value(device.Value{Role: device.Output, DType: s.act, Rows: true, Shape: []int{s.t, s.d}})
	s.do(device.OpAdd, out, device.NoValue, zh, zl)
	s.ArenaBytes = s.top
}

func (s *stack) flops() float64 {
	d, f, t := float64(s.d), float64(s.f), float64(s.t)
	call := 2*t*(4*d*d+3*d*f) + 4*t*t*d
	return call * float64(s.layers) * (12 + 4)
}

func (s *stack) bind(b *testing.B, d *Device, rows int) map[string]device.Array {
	bindings := map[string]device.Array{}
	for i := range s.Values {
		v := &s.Values[i]
		if v.Role == device.Temporary {
			continue
		}
		n := v.Elements()
		if v.Rows {
			n *= rows
		}
		a, err := d.NewArray(v.DType, n)
		if err != nil {
			b.Fatal(err)
		}
		x := make([]float32, n)
		for k := range x {
			x[k] = float32(k%17-8) / 64
		}
		if err := device.WriteFloats(a, 0, x); err != nil {
			b.Fatal(err)
		}
		bindings[v.Name] = a
	}
	return bindings
}

// BenchmarkStep measures training steps, the repacking of all weights included. HRM_CPU_PROFILE=1 prints shares of time.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct {
		d, f, heads, layers, t, batch int
		act                           device.DType
	}{
		{128, 512, 4, 2, 82, 64, device.BFloat16},
		{512, 1536, 8, 4, 82, 8, device.BFloat16},
		{512, 1536, 8, 4, 82, 32, device.BFloat16},
		{512, 1536, 8, 4, 82, 8, device.Float32},
		{512, 1536, 8, 4, 901, 2, device.BFloat16},
	} {
		b.Run(fmt.Sprintf("D=%d batch=%d T=%d %v", c.d, c.batch, c.t, c.act), func(b *testing.B) {
			slice, _ := strconv.Atoi(os.Getenv("HRM_CPU_SLICE"))
			d, err := New(Options{Threads: runtime.GOMAXPROCS(0), SliceRows: slice})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			s := &stack{act: c.act, t: c.t, d: c.d, f: c.f, heads: c.heads, layers: c.layers, free: map[int][]int{}}
			s.step()
			x, err := d.Compile(&s.Program)
			if err != nil {
				b.Fatal(err)
			}
			defer x.Close()
			bindings := s.bind(b, d, c.batch)
			step := func() {
				if err := x.Run(context.Background(), c.batch, bindings); err != nil {
					b.Fatal(err)
				}
				for i := range s.Values {
					if s.Values[i].Role == device.Parameter {
						bindings[s.Values[i].Name].(*array).version++
					}
				}
			}
			step()
			if os.Getenv("HRM_CPU_PROFILE") != "" {
				d.StartProfile()
			}
			b.ReportAllocs()
			before := cpuSeconds()
			for b.Loop() {
				step()
			}
			samples := float64(c.batch*b.N) / b.Elapsed().Seconds()
			b.ReportMetric(samples, "samples/s")
			b.ReportMetric(samples*s.flops()/1e9, "GFLOP/s")
			// What two quiet cores would give, measured by the processor time spent: other processes disturb it less.
			b.ReportMetric(float64(c.batch*b.N)*float64(d.options.Threads)/(cpuSeconds()-before), "quiet-samples/s")
			report(b, d)
		})
	}
}

func report(b *testing.B, d *Device) {
	all, err := d.StopProfile()
	if err != nil {
		b.Fatal(err)
	}
	total := 0.0
	for _, m := range all {
		total += m.Seconds
	}
	for _, m := range all {
		b.Logf("%5.1f%% %s %s", 100*m.Seconds/total, m.Operation, m.Shape)
	}
}
