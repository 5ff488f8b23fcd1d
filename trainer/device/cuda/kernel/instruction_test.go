package kernel_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/needs"
	"github.com/hrm-operator/hrm-operator/internal/testing/opcodes"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel/emulate"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

// started is the emulation, if a test has needed it.
var started atomic.Pointer[emulate.Device]

var emulation = sync.OnceValues(func() (*emulate.Device, error) {
	d, err := emulate.New()
	started.Store(d)
	return d, err
})

// emulated returns the emulation. Without a C++ compiler the test is skipped, but not in CI.
func emulated(t *testing.T) *emulate.Device {
	t.Helper()
	if _, err := exec.LookPath(emulate.Compiler); err != nil {
		needs.Missing(t, fmt.Errorf("the kernels are emulated by C++: %w: apt-get install g++", err))
	}
	d, err := emulation()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// builder makes instructions over values with random contents.
type builder struct {
	act      device.DType
	rows     int
	random   *rand.Rand
	values   []device.Value
	contents [][]byte
	list     []device.Instruction
}

func newBuilder(act device.DType, rows int) *builder {
	return &builder{act: act, rows: rows, random: rand.New(rand.NewPCG(7, uint64(rows)))}
}

// value adds a value whose elements are drawn by pick.
func (b *builder) value(role device.Role, t device.DType, rows bool, pick func() float64, shape ...int) int {
	v := device.Value{Name: fmt.Sprintf("value %d", len(b.values)), Role: role, DType: t, Rows: rows, Shape: shape}
	n := v.Elements()
	if rows {
		n *= b.rows
	}
	a := device.NewHostArray(t, n)
	for i := range n {
		if t == device.Int32 {
			_ = device.WriteInts(a, i, []int32{int32(pick())})
		} else {
			_ = device.WriteFloats(a, i, []float32{float32(pick())})
		}
	}
	b.values, b.contents = append(b.values, v), append(b.contents, a.Bytes())
	return len(b.values) - 1
}

func (b *builder) in(shape ...int) int {
	return b.value(device.Input, b.act, true, b.random.NormFloat64, shape...)
}

func (b *builder) floats(shape ...int) int {
	return b.value(device.Input, device.Float32, true, b.random.NormFloat64, shape...)
}

func (b *builder) param(shape ...int) int {
	return b.value(device.Parameter, device.Float32, false, b.random.NormFloat64, shape...)
}

func (b *builder) gradient(shape ...int) int {
	return b.value(device.Gradient, device.Float32, false, b.random.NormFloat64, shape...)
}

// out and outF are results; until they are written they are NaN.
func (b *builder) out(shape ...int) int { return b.poisoned(b.act, shape...) }

func (b *builder) outF(shape ...int) int { return b.poisoned(device.Float32, shape...) }

func (b *builder) outInts(shape ...int) int { return b.poisoned(device.Int32, shape...) }

func (b *builder) poisoned(t device.DType, shape ...int) int {
	v := b.value(device.Output, t, true, func() float64 { return 0 }, shape...)
	for i := range b.contents[v] {
		b.contents[v][i] = 0xff
	}
	return v
}

func (b *builder) flags() int {
	return b.value(device.Input, device.Int32, true, func() float64 { return float64(b.random.IntN(2)) })
}

// ints are uniform in [0,n); one in four is -100 if labels is set.
func (b *builder) ints(n int, labels bool, shape ...int) int {
	return b.value(device.Input, device.Int32, true, func() float64 {
		if labels && b.random.IntN(4) == 0 {
			return -100
		}
		return float64(b.random.IntN(n))
	}, shape...)
}

// mask has zeros and ones.
func (b *builder) mask(shape ...int) int {
	return b.value(device.Input, b.act, true, func() float64 { return float64(b.random.IntN(2)) }, shape...)
}

func (b *builder) do(op device.Opcode, a device.Attributes, out int, in ...int) {
	b.doAux(op, a, out, device.NoValue, in...)
}

func (b *builder) doAux(op device.Opcode, a device.Attributes, out, aux int, in ...int) {
	b.list = append(b.list, device.Instruction{Op: op, In: in, Out: out, Aux: aux, Attr: a})
}

// emulate runs the instructions by their kernels. Every result must have the same bits under every seed, and nothing that is
// only to be read may change.
func (b *builder) emulate(t *testing.T) [][]byte {
	t.Helper()
	var work []kernel.Work
	for i := range b.list {
		w, err := kernel.For(&b.list[i], b.values, b.rows)
		if err != nil {
			t.Fatal(err)
		}
		work = append(work, w)
	}
	var first [][]byte
	for seed := range uint64(3) {
		job := &emulate.Job{Seed: seed, Buffers: clone(b.contents)}
		if err := emulated(t).Run(job, work...); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := kernel.FaultError(job.Fault); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = job.Buffers
		}
		for i := range job.Buffers {
			if !bytes.Equal(job.Buffers[i], first[i]) {
				t.Fatalf("%s depends on the order of threads: seeds 0 and %d differ", b.values[i].Name, seed)
			}
			if r := b.values[i].Role; (r == device.Input || r == device.Parameter) && !bytes.Equal(job.Buffers[i], b.contents[i]) {
				t.Fatalf("%s is only to be read, but has changed", b.values[i].Name)
			}
		}
	}
	return first
}

func clone(buffers [][]byte) [][]byte {
	out := make([][]byte, len(buffers))
	for i := range buffers {
		out[i] = bytes.Clone(buffers[i])
	}
	return out
}

// agree runs the instructions on the reference device, too, and compares: an error may be tolerance relative to the largest
// number of the result.
func (b *builder) agree(t *testing.T, tolerance float64) {
	t.Helper()
	got, want := b.emulate(t), clone(b.contents)
	arrays := make([]device.Array, len(want))
	for i := range want {
		arrays[i] = device.HostArrayOver(b.values[i].DType, want[i])
	}
	for i := range b.list {
		if err := reference.Execute(&b.list[i], b.values, b.rows, arrays); err != nil {
			t.Fatal(err)
		}
	}
	for i := range b.values {
		if r := b.values[i].Role; r == device.Output || r == device.Gradient {
			compare(t, b.values[i].Name, floats(t, b.values[i].DType, got[i]), floats(t, b.values[i].DType, want[i]), tolerance)
		}
	}
}

func floats(t *testing.T, dtype device.DType, raw []byte) []float32 {
	t.Helper()
	array, n := device.HostArrayOver(dtype, raw), len(raw)/dtype.Size()
	if dtype != device.Int32 {
		x, err := device.ReadFloats(array, 0, n)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	ints, err := device.ReadInts(array, 0, n)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, n)
	for i := range ints {
		x[i] = float32(ints[i])
	}
	return x
}

func compare(t *testing.T, name string, got, want []float32, tolerance float64) {
	t.Helper()
	size, worst, at := 0.0, 0.0, 0
	for i := range want {
		size = max(size, math.Abs(float64(want[i])))
		// A NaN is worse than every number.
		if e := math.Abs(float64(got[i]) - float64(want[i])); !(e <= worst) && !math.IsNaN(worst) {
			worst, at = e, i
		}
	}
	if !(worst <= tolerance*max(size, 1e-3)) {
		t.Errorf("%s[%d] of %d = %v, want %v", name, at, len(want), got[at], want[at])
	}
}

// sizes of one case: t = prefix+s positions, d hidden, v vocabulary, f SwiGLU width.
type sizes struct{ rows, prefix, s, d, heads, v, f int }

func (z sizes) t() int { return z.prefix + z.s }

func (z sizes) String() string {
	return fmt.Sprintf("%d rows, %d+%d positions, %d heads of %d, vocabulary %d, width %d", z.rows, z.prefix, z.s, z.heads, z.d/z.heads, z.v, z.f)
}

// An error may be 1e-5 of the largest number in float32. In bfloat16 a result is off by half a unit in the last place
// at most, 2^-9 of its size, when it is rounded once; attention's sums are over weights and rotated vectors that were rounded, too.
var (
	roundedOnce  = map[device.DType]float64{device.Float32: 1e-5, device.BFloat16: 0x1p-8}
	roundedTwice = map[device.DType]float64{device.Float32: 1e-5, device.BFloat16: 1.3e-2}
)

func runCases(t *testing.T, cases map[string]func(b *builder, z sizes), tolerances map[device.DType]float64, shapes []sizes) {
	for act, tolerance := range tolerances {
		for name, build := range cases {
			for _, z := range shapes {
				t.Run(fmt.Sprintf("%s %v of %v", name, act, z), func(t *testing.T) {
					t.Parallel()
					b := newBuilder(act, z.rows)
					build(b, z)
					b.agree(t, tolerance)
				})
			}
		}
	}
}

// randomSizes draws n sizes; a name of a failing case tells them.
func randomSizes(seed uint64, n int) []sizes {
	random := rand.New(rand.NewPCG(seed, 0))
	list := make([]sizes, n)
	for i := range list {
		heads := 1 + random.IntN(3)
		list[i] = sizes{rows: 1 + random.IntN(5), prefix: random.IntN(3), s: 1 + random.IntN(60), heads: heads, d: heads * 2 * (1 + random.IntN(90)),
			v: 2 + random.IntN(30), f: 1 + random.IntN(300)}
	}
	return list
}

// instructions are all but attention, which has shapes of its own.
var instructions = map[string]func(b *builder, z sizes){
	"Reset": func(b *builder, z sizes) {
		b.do(device.OpReset, device.Attributes{}, b.out(z.t(), z.d), b.in(z.t(), z.d), b.param(z.d), b.flags())
	},
	"Add of two": func(b *builder, z sizes) {
		b.do(device.OpAdd, device.Attributes{}, b.out(z.t(), z.d), b.in(z.t(), z.d), b.in(z.t(), z.d))
	},
	"Add of three, into the first": func(b *builder, z sizes) {
		sum := b.out(z.t(), z.d)
		b.do(device.OpAdd, device.Attributes{}, sum, b.in(z.t(), z.d), b.in(z.t(), z.d))
		b.do(device.OpAdd, device.Attributes{}, sum, sum, b.in(z.t(), z.d), b.in(z.t(), z.d))
	},
	"DropPrefix": func(b *builder, z sizes) {
		b.do(device.OpDropPrefix, device.Attributes{Prefix: z.prefix}, b.out(z.s, z.v), b.in(z.t(), z.v))
	},
	"DropPrefixGrad": func(b *builder, z sizes) {
		b.do(device.OpDropPrefixGrad, device.Attributes{Prefix: z.prefix}, b.out(z.t(), z.v), b.in(z.s, z.v))
	},
	"Fill": func(b *builder, _ sizes) {
		b.do(device.OpFill, device.Attributes{Scale: 1.25}, b.outF(3))
	},
	"Embed": func(b *builder, z sizes) {
		b.do(device.OpEmbed, device.Attributes{Prefix: z.prefix, Scale: 3}, b.out(z.t(), z.d), b.ints(z.v, false, z.s), b.param(z.v, z.d), b.floats(z.d+z.d/2))
	},
	"Embed with positions": func(b *builder, z sizes) {
		b.do(device.OpEmbed, device.Attributes{Prefix: z.prefix, Scale: 3}, b.out(z.t(), z.d), b.ints(z.v, false, z.s), b.param(z.v, z.d), b.floats(z.d/2), b.param(z.t(), z.d))
	},
	"Embed without puzzle": func(b *builder, z sizes) {
		b.do(device.OpEmbed, device.Attributes{Scale: 2}, b.out(z.s, z.d), b.ints(z.v, false, z.s), b.param(z.v, z.d), device.NoValue)
	},
	"EmbedGradWeight": func(b *builder, z sizes) {
		b.do(device.OpEmbedGradWeight, device.Attributes{Prefix: z.prefix, Scale: 3}, b.gradient(z.v, z.d), b.ints(z.v, false, z.s), b.in(z.t(), z.d))
	},
	"EmbedGradWeight of a large vocabulary": func(b *builder, z sizes) {
		b.do(device.OpEmbedGradWeight, device.Attributes{Prefix: z.prefix, Scale: 3}, b.gradient(193, z.d), b.ints(193, false, z.s), b.in(z.t(), z.d))
	},
	"EmbedGradPuzzle": func(b *builder, z sizes) {
		b.do(device.OpEmbedGradPuzzle, device.Attributes{Prefix: z.prefix, Scale: 3}, b.outF(z.d+z.d/2), b.in(z.t(), z.d))
	},
	"EmbedGradPositions": func(b *builder, z sizes) {
		b.do(device.OpEmbedGradPositions, device.Attributes{Prefix: z.prefix, Scale: 3, LearnedPositions: true}, b.gradient(z.t(), z.d), b.in(z.t(), z.d))
	},
	"AddRMSNorm and its gradient": func(b *builder, z sizes) {
		out, r := b.out(z.t(), z.d), b.outF(z.t())
		b.doAux(device.OpAddRMSNorm, device.Attributes{Epsilon: 1e-5}, out, r, b.in(z.t(), z.d), b.in(z.t(), z.d))
		b.doAux(device.OpAddRMSNormGrad, device.Attributes{Epsilon: 1e-5}, b.out(z.t(), z.d), r, out, b.in(z.t(), z.d))
	},
	"AddRMSNorm of the first position": func(b *builder, z sizes) {
		b.doAux(device.OpAddRMSNorm, device.Attributes{Epsilon: 1e-5}, b.out(1, z.d), b.outF(1), b.in(z.t(), z.d), b.in(1, z.d))
	},
	"SwiGLU": func(b *builder, z sizes) {
		b.do(device.OpSwiGLU, device.Attributes{}, b.out(z.t(), z.f), b.in(z.t(), 2*z.f))
	},
	"SwiGLUGrad": func(b *builder, z sizes) {
		b.do(device.OpSwiGLUGrad, device.Attributes{}, b.out(z.t(), 2*z.f), b.in(z.t(), 2*z.f), b.in(z.t(), z.f))
	},
	"QHead": func(b *builder, z sizes) {
		b.do(device.OpQHead, device.Attributes{}, b.outF(2), b.in(z.t(), z.d), b.param(2, z.d), b.param(2))
	},
	"QHeadGradInput, accumulated": func(b *builder, z sizes) {
		out := b.out(z.t(), z.d)
		b.do(device.OpQHeadGradInput, device.Attributes{}, out, b.floats(2), b.param(2, z.d))
		b.do(device.OpQHeadGradInput, device.Attributes{Accumulate: true}, out, b.floats(2), b.param(2, z.d))
	},
	"QHeadGradWeight": func(b *builder, z sizes) {
		b.do(device.OpQHeadGradWeight, device.Attributes{}, b.gradient(2, z.d), b.floats(2), b.in(z.t(), z.d))
	},
	"QHeadGradBias": func(b *builder, _ sizes) {
		b.do(device.OpQHeadGradBias, device.Attributes{}, b.gradient(2), b.floats(2))
	},
	"LMLoss and its gradient": func(b *builder, z sizes) {
		logits, labels := b.in(z.s, z.v), b.ints(z.v, true, z.s)
		b.do(device.OpLMLoss, device.Attributes{}, b.outF(), logits, labels)
		b.do(device.OpLMLossGrad, device.Attributes{}, b.out(z.s, z.v), logits, labels, b.floats())
	},
	"LMLoss and its gradient, softmax": func(b *builder, z sizes) {
		a := device.Attributes{Loss: device.Softmax}
		logits, labels := b.in(z.s, z.v), b.ints(z.v, true, z.s)
		b.do(device.OpLMLoss, a, b.outF(), logits, labels)
		b.do(device.OpLMLossGrad, a, b.out(z.s, z.v), logits, labels, b.floats())
	},
	"LMLoss of rows without labels": func(b *builder, z sizes) {
		logits, labels := b.in(z.s, z.v), b.value(device.Input, device.Int32, true, func() float64 { return -100 }, z.s)
		b.do(device.OpLMLoss, device.Attributes{}, b.outF(), logits, labels)
		b.do(device.OpLMLossGrad, device.Attributes{}, b.out(z.s, z.v), logits, labels, b.floats())
	},
	"TokenStats and the Q losses": func(b *builder, z sizes) {
		q, stats, target := b.floats(2), b.outF(2), b.outF()
		b.do(device.OpTokenStats, device.Attributes{}, stats, b.in(z.s, z.v), b.ints(z.v, true, z.s))
		b.do(device.OpQTarget, device.Attributes{}, target, b.floats(2), b.flags())
		b.do(device.OpQLoss, device.Attributes{}, b.outF(2), q, stats, target)
		b.do(device.OpQLoss, device.Attributes{}, b.outF(2), q, stats, device.NoValue)
		b.do(device.OpQLossGrad, device.Attributes{}, b.outF(2), q, stats, b.floats(2), target)
		b.do(device.OpQLossGrad, device.Attributes{}, b.outF(2), q, stats, b.floats(2))
	},
}

func init() {
	for name, build := range opcodes.Cases {
		instructions[name] = func(b *builder, z sizes) {
			build(opcodes.Builder{
				In: b.in, Out: b.out, Floats: b.floats, OutF: b.outF, OutInts: b.outInts, Mask: b.mask,
				Tokens: func() int { return b.ints(z.v, false, z.s) }, Do: b.do,
			}, opcodes.Sizes{Prefix: z.prefix, S: z.s, D: z.d, V: z.v, F: z.f})
		}
	}
}

func TestInstructions_agreeWithTheReference(t *testing.T) {
	runCases(t, instructions, roundedOnce, append(randomSizes(1, 3), []sizes{
		{rows: 1, prefix: 1, s: 5, d: 6, heads: 1, v: 3, f: 7},
		{rows: 3, prefix: 1, s: 81, d: 64, heads: 2, v: 11, f: 40},
		{rows: 3, prefix: 2, s: 7, d: 512, heads: 4, v: 13, f: 256},
		{rows: 2, prefix: 1, s: 97, d: 36, heads: 3, v: 12, f: 24},
		{rows: 2, s: 1, d: 320, heads: 3, v: 12, f: 24},
	}...))
}
