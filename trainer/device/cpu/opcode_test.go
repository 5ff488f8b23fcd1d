//go:build onednn && cgo && linux

package cpu

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/opcodes"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

// sizes of one random case: t = prefix+s positions, d hidden, v vocabulary, f SwiGLU width.
type sizes struct{ prefix, s, d, heads, v, f int }

func (z sizes) t() int { return z.prefix + z.s }

// builder makes a program of one instruction whose operands are all bound, with random contents.
type builder struct {
	act      device.DType
	rows     int
	random   *rand.Rand
	program  device.Program
	contents map[string][]float32
	ints     map[string][]int32
}

func newBuilder(act device.DType, rows int) *builder {
	return &builder{act: act, rows: rows, random: rand.New(rand.NewPCG(7, uint64(rows))), contents: map[string][]float32{}, ints: map[string][]int32{}}
}

func (b *builder) value(role device.Role, t device.DType, rows bool, shape ...int) int {
	name := fmt.Sprintf("v%d", len(b.program.Values))
	v := device.Value{Name: name, Role: role, DType: t, Rows: rows, Shape: shape}
	n := v.Elements()
	if rows {
		n *= b.rows
	}
	if t != device.Int32 {
		x := make([]float32, n)
		for i := range x {
			if role != device.Gradient {
				x[i] = float32(b.random.NormFloat64())
			}
		}
		b.contents[name] = x
	}
	b.program.Values = append(b.program.Values, v)
	return len(b.program.Values) - 1
}

func (b *builder) in(shape ...int) int { return b.value(device.Input, b.act, true, shape...) }
func (b *builder) floats(shape ...int) int {
	return b.value(device.Input, device.Float32, true, shape...)
}
func (b *builder) param(shape ...int) int {
	return b.value(device.Parameter, device.Float32, false, shape...)
}
func (b *builder) out(shape ...int) int { return b.value(device.Output, b.act, true, shape...) }
func (b *builder) outF(shape ...int) int {
	return b.value(device.Output, device.Float32, true, shape...)
}
func (b *builder) outInts(shape ...int) int {
	i := b.choices(func() int { return 0 }, shape...)
	b.program.Values[i].Role = device.Output
	return i
}
func (b *builder) gradient(shape ...int) int {
	return b.value(device.Gradient, device.Float32, false, shape...)
}

// choices adds integers drawn by pick.
func (b *builder) choices(pick func() int, shape ...int) int {
	i := b.value(device.Input, device.Int32, true, shape...)
	v := b.program.Values[i]
	x := make([]int32, v.Elements()*b.rows)
	for k := range x {
		x[k] = int32(pick())
	}
	b.ints[v.Name] = x
	return i
}

func (b *builder) tokens(z sizes) int {
	return b.choices(func() int { return b.random.IntN(z.v) }, z.s)
}
func (b *builder) flags() int { return b.choices(func() int { return b.random.IntN(2) }) }
func (b *builder) labels(z sizes) int {
	return b.choices(func() int {
		if b.random.IntN(4) == 0 {
			return -100
		}
		return b.random.IntN(z.v)
	}, z.s)
}

// mask adds zeros and ones.
func (b *builder) mask(shape ...int) int {
	i := b.in(shape...)
	for k := range b.contents[b.program.Values[i].Name] {
		b.contents[b.program.Values[i].Name][k] = float32(b.random.IntN(2))
	}
	return i
}

func (b *builder) do(op device.Opcode, a device.Attributes, out int, in ...int) {
	b.doAux(op, a, out, device.NoValue, in...)
}

func (b *builder) doAux(op device.Opcode, a device.Attributes, out, aux int, in ...int) {
	b.program.Instructions = append(b.program.Instructions, device.Instruction{Op: op, In: in, Out: out, Aux: aux, Attr: a})
}

// attention adds the forward pass and returns qkv, out, and the side buffer.
func (b *builder) attention(z sizes, theta float64) (qkv, out, lse int) {
	qkv, out, lse = b.in(z.t(), 3*z.d), b.out(z.t(), z.d), b.outF(z.heads, z.t())
	b.doAux(device.OpAttention, device.Attributes{Heads: z.heads, RoPETheta: theta}, out, lse, qkv)
	return
}

var cases = map[string]func(b *builder, z sizes){
	"Embed": func(b *builder, z sizes) {
		b.do(device.OpEmbed, device.Attributes{Prefix: z.prefix, Scale: 3}, b.out(z.t(), z.d), b.tokens(z), b.param(z.v, z.d), b.floats(z.d+z.d/2))
	},
	"Embed with positions": func(b *builder, z sizes) {
		b.do(device.OpEmbed, device.Attributes{Prefix: z.prefix, Scale: 3}, b.out(z.t(), z.d), b.tokens(z), b.param(z.v, z.d), b.floats(z.d/2), b.param(z.t(), z.d))
	},
	"Embed without puzzle": func(b *builder, z sizes) {
		b.do(device.OpEmbed, device.Attributes{Scale: 2}, b.out(z.s, z.d), b.tokens(z), b.param(z.v, z.d), device.NoValue)
	},
	"EmbedGradWeight": func(b *builder, z sizes) {
		b.do(device.OpEmbedGradWeight, device.Attributes{Prefix: z.prefix, Scale: 3}, b.gradient(z.v, z.d), b.tokens(z), b.in(z.t(), z.d))
	},
	"EmbedGradPuzzle": func(b *builder, z sizes) {
		b.do(device.OpEmbedGradPuzzle, device.Attributes{Prefix: z.prefix, Scale: 3}, b.outF(z.d+z.d/2), b.in(z.t(), z.d))
	},
	"EmbedGradPositions": func(b *builder, z sizes) {
		b.do(device.OpEmbedGradPositions, device.Attributes{Prefix: z.prefix, Scale: 3, LearnedPositions: true}, b.gradient(z.t(), z.d), b.in(z.t(), z.d))
	},
	"Reset": func(b *builder, z sizes) {
		b.do(device.OpReset, device.Attributes{}, b.out(z.t(), z.d), b.in(z.t(), z.d), b.param(z.d), b.flags())
	},
	"Add of two": func(b *builder, z sizes) {
		b.do(device.OpAdd, device.Attributes{}, b.out(z.t(), z.d), b.in(z.t(), z.d), b.in(z.t(), z.d))
	},
	"Add of three": func(b *builder, z sizes) {
		b.do(device.OpAdd, device.Attributes{}, b.out(z.t(), z.d), b.in(z.t(), z.d), b.in(z.t(), z.d), b.in(z.t(), z.d))
	},
	"Linear": func(b *builder, z sizes) {
		b.do(device.OpLinear, device.Attributes{}, b.out(z.t(), z.f), b.in(z.t(), z.d), b.param(z.f, z.d))
	},
	"LinearGradInput": func(b *builder, z sizes) {
		b.do(device.OpLinearGradInput, device.Attributes{}, b.out(z.t(), z.d), b.in(z.t(), z.f), b.param(z.f, z.d))
	},
	"LinearGradInput of a square weight beside its Linear": func(b *builder, z sizes) {
		w, mid := b.param(z.d, z.d), b.out(z.t(), z.d)
		b.do(device.OpLinear, device.Attributes{}, mid, b.in(z.t(), z.d), w)
		b.do(device.OpLinearGradInput, device.Attributes{Accumulate: true}, mid, b.in(z.t(), z.d), w)
	},
	"LinearGradWeight twice": func(b *builder, z sizes) {
		g := b.gradient(z.f, z.d)
		b.do(device.OpLinearGradWeight, device.Attributes{}, g, b.in(z.t(), z.f), b.in(z.t(), z.d))
		b.do(device.OpLinearGradWeight, device.Attributes{}, g, b.in(z.t(), z.f), b.in(z.t(), z.d))
	},
	"Attention":              func(b *builder, z sizes) { b.attention(z, 10000) },
	"Attention without RoPE": func(b *builder, z sizes) { b.attention(z, 0) },
	"Attention of which one position asks": func(b *builder, z sizes) {
		b.doAux(device.OpAttention, device.Attributes{Heads: z.heads, RoPETheta: 10000}, b.out(1, z.d), b.outF(z.heads, 1), b.in(z.t(), 3*z.d))
	},
	"AddRMSNorm of the first position": func(b *builder, z sizes) {
		b.doAux(device.OpAddRMSNorm, device.Attributes{Epsilon: 1e-5}, b.out(1, z.d), b.outF(1), b.in(z.t(), z.d), b.in(1, z.d))
	},
	"AttentionGrad": func(b *builder, z sizes) {
		qkv, out, lse := b.attention(z, 10000)
		b.doAux(device.OpAttentionGrad, device.Attributes{Heads: z.heads, RoPETheta: 10000}, b.out(z.t(), 3*z.d), lse, qkv, out, b.in(z.t(), z.d))
	},
	"AddRMSNorm and its gradient": func(b *builder, z sizes) {
		out, r := b.out(z.t(), z.d), b.outF(z.t())
		b.doAux(device.OpAddRMSNorm, device.Attributes{Epsilon: 1e-5}, out, r, b.in(z.t(), z.d), b.in(z.t(), z.d))
		b.doAux(device.OpAddRMSNormGrad, device.Attributes{Epsilon: 1e-5}, b.out(z.t(), z.d), r, out, b.in(z.t(), z.d))
	},
	"SwiGLU": func(b *builder, z sizes) {
		b.do(device.OpSwiGLU, device.Attributes{}, b.out(z.t(), z.f), b.in(z.t(), 2*z.f))
	},
	"SwiGLUGrad": func(b *builder, z sizes) {
		b.do(device.OpSwiGLUGrad, device.Attributes{}, b.out(z.t(), 2*z.f), b.in(z.t(), 2*z.f), b.in(z.t(), z.f))
	},
	"DropPrefix": func(b *builder, z sizes) {
		b.do(device.OpDropPrefix, device.Attributes{Prefix: z.prefix}, b.out(z.s, z.v), b.in(z.t(), z.v))
	},
	"DropPrefixGrad": func(b *builder, z sizes) {
		b.do(device.OpDropPrefixGrad, device.Attributes{Prefix: z.prefix}, b.out(z.t(), z.v), b.in(z.s, z.v))
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
	"LMLoss": func(b *builder, z sizes) {
		b.do(device.OpLMLoss, device.Attributes{}, b.outF(), b.in(z.s, z.v), b.labels(z))
	},
	"LMLossGrad": func(b *builder, z sizes) {
		b.do(device.OpLMLossGrad, device.Attributes{}, b.out(z.s, z.v), b.in(z.s, z.v), b.labels(z), b.floats())
	},
	"LMLoss, softmax": func(b *builder, z sizes) {
		b.do(device.OpLMLoss, device.Attributes{Loss: device.Softmax}, b.outF(), b.in(z.s, z.v), b.labels(z))
	},
	"LMLossGrad, softmax": func(b *builder, z sizes) {
		b.do(device.OpLMLossGrad, device.Attributes{Loss: device.Softmax}, b.out(z.s, z.v), b.in(z.s, z.v), b.labels(z), b.floats())
	},
	"TokenStats and the Q losses": func(b *builder, z sizes) {
		q, stats, target := b.floats(2), b.outF(2), b.outF()
		b.do(device.OpTokenStats, device.Attributes{}, stats, b.in(z.s, z.v), b.labels(z))
		b.do(device.OpQTarget, device.Attributes{}, target, b.floats(2), b.flags())
		b.do(device.OpQLoss, device.Attributes{}, b.outF(2), q, stats, target)
		b.do(device.OpQLoss, device.Attributes{}, b.outF(2), q, stats, device.NoValue)
		b.do(device.OpQLossGrad, device.Attributes{}, b.outF(2), q, stats, b.floats(2), target)
		b.do(device.OpQLossGrad, device.Attributes{}, b.outF(2), q, stats, b.floats(2))
	},
	"Fill": func(b *builder, _ sizes) { b.do(device.OpFill, device.Attributes{Scale: 1.25}, b.outF(3)) },
}

func init() {
	for name, build := range opcodes.Cases {
		cases[name] = func(b *builder, z sizes) {
			build(opcodes.Builder{
				In: b.in, Out: b.out, Floats: b.floats, OutF: b.outF, OutInts: b.outInts, Mask: b.mask,
				Tokens: func() int { return b.tokens(z) }, Do: b.do,
			}, opcodes.Sizes{Prefix: z.prefix, S: z.s, D: z.d, V: z.v, F: z.f})
		}
	}
}

// bind writes the contents to arrays of d.
func (b *builder) bind(t testing.TB, d device.Device) map[string]device.Array {
	t.Helper()
	bindings := map[string]device.Array{}
	for i := range b.program.Values {
		v := &b.program.Values[i]
		n := len(b.contents[v.Name]) + len(b.ints[v.Name])
		a, err := d.NewArray(v.DType, n)
		if err != nil {
			t.Fatal(err)
		}
		if v.DType == device.Int32 {
			err = device.WriteInts(a, 0, b.ints[v.Name])
		} else {
			err = device.WriteFloats(a, 0, b.contents[v.Name])
		}
		if err != nil {
			t.Fatal(err)
		}
		bindings[v.Name] = a
	}
	return bindings
}

// run compiles and runs the program and returns what it wrote.
func (b *builder) run(t testing.TB, d device.Device) map[string][]float32 {
	t.Helper()
	x, err := d.Compile(&b.program)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	bindings := b.bind(t, d)
	if err := x.Run(context.Background(), b.rows, bindings); err != nil {
		t.Fatal(err)
	}
	return b.results(t, bindings)
}

func (b *builder) results(t testing.TB, bindings map[string]device.Array) map[string][]float32 {
	t.Helper()
	out := map[string][]float32{}
	for _, v := range b.program.Values {
		if v.Role != device.Output && v.Role != device.Gradient {
			continue
		}
		x, err := numbers(bindings[v.Name])
		if err != nil {
			t.Fatal(err)
		}
		out[v.Name] = x
	}
	return out
}

// numbers reads an array of any type.
func numbers(a device.Array) ([]float32, error) {
	if a.DType() != device.Int32 {
		return device.ReadFloats(a, 0, a.Len())
	}
	ints, err := device.ReadInts(a, 0, a.Len())
	out := make([]float32, len(ints))
	for i := range ints {
		out[i] = float32(ints[i])
	}
	return out, err
}

// compare allows an error of tolerance relative to the size of the whole result.
func compare(t *testing.T, got, want map[string][]float32, tolerance float64) {
	t.Helper()
	for name, w := range want {
		size := 0.0
		for _, x := range w {
			size = max(size, math.Abs(float64(x)))
		}
		for i, x := range got[name] {
			if e := math.Abs(float64(x) - float64(w[i])); !(e <= tolerance*max(size, 1e-3)) {
				t.Errorf("%s[%d] of %d = %v, want %v", name, i, len(w), x, w[i])
				break
			}
		}
	}
}

// open returns a device with kernels of the given instruction set, or skips the test where the processor lacks it.
func open(t testing.TB, isa string, o Options) *Device {
	t.Helper()
	t.Setenv("HRM_CPU_ISA", isa)
	d, err := New(o)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

var instructionSets = []string{"portable", "avx2", "avx512", "avx512bf16"}

// shape is the number of rows of a case beside its sizes.
type shape struct {
	rows int
	sizes
}

func (z shape) String() string {
	return fmt.Sprintf("%d rows, %d+%d positions, %d heads of %d, vocabulary %d, width %d", z.rows, z.prefix, z.s, z.heads, z.d/z.heads, z.v, z.f)
}

// randomShapes draws n shapes, whose heads are no whole number of vectors wide.
func randomShapes(seed uint64, n int) []shape {
	random := rand.New(rand.NewPCG(seed, 0))
	shapes := make([]shape, n)
	for i := range shapes {
		heads, width := 1+random.IntN(3), 2*(1+random.IntN(7))+16*random.IntN(4)
		shapes[i] = shape{1 + random.IntN(9), sizes{prefix: random.IntN(3), s: 1 + random.IntN(60), d: heads * width, heads: heads,
			v: 2 + random.IntN(12), f: 1 + random.IntN(70)}}
	}
	return shapes
}

// TestOpcodes_agreeWithTheReference runs every opcode in both types on every instruction set, over odd sizes and rows.
func TestOpcodes_agreeWithTheReference(t *testing.T) {
	const seed = 1
	t.Logf("the last shapes are those of seed %d", seed)
	shapes := append([]shape{
		{1, sizes{prefix: 1, s: 5, d: 6, heads: 1, v: 3, f: 7}},
		{3, sizes{prefix: 2, s: 31, d: 64, heads: 2, v: 11, f: 40}},
		{17, sizes{prefix: 3, s: 8, d: 36, heads: 3, v: 5, f: 17}},
		{64, sizes{prefix: 1, s: 4, d: 32, heads: 4, v: 12, f: 33}},
		{2, sizes{prefix: 1, s: 129, d: 48, heads: 1, v: 4, f: 16}},
		{3, sizes{s: 1, d: 28, heads: 2, v: 3, f: 5}},
		// One more than the queries, and than the keys, that attention takes at a time.
		{1, sizes{prefix: 1, s: 96, d: 22, heads: 1, v: 3, f: 9}},
		{1, sizes{prefix: 2, s: 511, d: 18, heads: 1, v: 3, f: 9}},
		{1, sizes{prefix: 1, s: 607, d: 18, heads: 1, v: 3, f: 9}},
	}, randomShapes(seed, 4)...)
	for _, isa := range instructionSets {
		for act, tolerance := range map[device.DType]float64{device.Float32: 2e-5, device.BFloat16: 1.3e-2} {
			t.Run(fmt.Sprintf("%s %v", isa, act), func(t *testing.T) {
				d := open(t, isa, Options{Threads: 2, SliceRows: 3})
				for name, build := range cases {
					for _, z := range shapes {
						t.Run(fmt.Sprintf("%s of %v", name, z), func(t *testing.T) {
							b := newBuilder(act, z.rows)
							build(b, z.sizes)
							compare(t, b.run(t, d), b.run(t, reference.New()), tolerance)
						})
					}
				}
			})
		}
	}
}
