package reference

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

const rows = 2

// bench holds one instruction's values with their contents.
type bench struct {
	values []device.Value
	data   []device.Array
	random *rand.Rand
}

func newBench() *bench { return &bench{random: rand.New(rand.NewPCG(1, 2))} }

func (b *bench) add(v device.Value, fill func(i int) float64) int {
	a := device.NewHostArray(v.DType, v.Count(rows))
	for i := range a.Len() {
		var err error
		if v.DType == device.Int32 {
			err = device.WriteInts(a, i, []int32{int32(fill(i))})
		} else {
			err = device.WriteFloats(a, i, []float32{float32(fill(i))})
		}
		if err != nil {
			panic(err)
		}
	}
	b.values, b.data = append(b.values, v), append(b.data, a)
	return len(b.values) - 1
}

func (b *bench) noise(int) float64 { return b.random.NormFloat64() }

// act adds a random activation, param a random parameter, ints fixed integers, zero room for a result.
func (b *bench) act(shape ...int) int {
	return b.add(device.Value{Rows: true, Shape: shape}, b.noise)
}
func (b *bench) param(shape ...int) int {
	return b.add(device.Value{Role: device.Parameter, Shape: shape}, b.noise)
}
func (b *bench) ints(x []int, shape ...int) int {
	return b.add(device.Value{DType: device.Int32, Rows: true, Shape: shape}, func(i int) float64 { return float64(x[i]) })
}
func (b *bench) zero(shape ...int) int {
	return b.add(device.Value{Rows: true, Shape: shape}, func(int) float64 { return 0 })
}
func (b *bench) gradient(shape ...int) int {
	return b.add(device.Value{Role: device.Gradient, Shape: shape}, func(int) float64 { return 0 })
}

func (b *bench) run(t *testing.T, ins device.Instruction) []float32 {
	t.Helper()
	if err := Execute(&ins, b.values, rows, b.data); err != nil {
		t.Fatal(err)
	}
	return b.read(t, ins.Out)
}

func (b *bench) read(t *testing.T, v int) []float32 {
	t.Helper()
	x, err := device.ReadFloats(b.data[v], 0, b.data[v].Len())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (b *bench) poke(t *testing.T, v, i int, x float32) {
	t.Helper()
	if err := device.WriteFloats(b.data[v], i, []float32{x}); err != nil {
		t.Fatal(err)
	}
}

// checkGradient compares grad, computed by an instruction, with central differences of Σ weight*out by operand v.
func (b *bench) checkGradient(t *testing.T, forward device.Instruction, v int, weight, grad []float32) {
	t.Helper()
	objective := func() float64 {
		sum := 0.0
		for i, x := range b.run(t, forward) {
			sum += float64(x) * float64(weight[i])
		}
		return sum
	}
	const step = 1e-2
	for i, x := range b.read(t, v) {
		b.poke(t, v, i, x+step)
		up := objective()
		b.poke(t, v, i, x-step)
		down := objective()
		b.poke(t, v, i, x)
		want := (up - down) / (2 * step)
		if math.Abs(float64(grad[i])-want) > 2e-3*(1+math.Abs(want)) {
			t.Errorf("%v: derivative %d by %q is %g, differences say %g", forward.Op, i, b.values[v].Name, grad[i], want)
		}
	}
	objective()
}

// pair is an instruction and the one that computes its derivative.
type pair struct{ forward, derivative device.Instruction }

func TestDerivativesEqualDifferences(t *testing.T) {
	const T, S, P, D, V, F = 5, 4, 1, 8, 7, 6
	tokens := []int{0, 3, 6, 3, 1, 1, 2, 0}
	labels := []int{1, -100, 3, 6, 0, 0, 5, -100}
	// Each case returns the operand to differentiate by, its forward and its derivative instruction.
	cases := map[string]func(b *bench) (by, d int, p pair){
		"linear by its input": func(b *bench) (int, int, pair) {
			x, w, y, d, dx := b.act(T, D), b.param(V, D), b.zero(T, V), b.act(T, V), b.zero(T, D)
			return x, d, pair{device.Instruction{Op: device.OpLinear, In: []int{x, w}, Out: y},
				device.Instruction{Op: device.OpLinearGradInput, In: []int{d, w}, Out: dx}}
		},
		"linear by its weight": func(b *bench) (int, int, pair) {
			x, w, y, d, dw := b.act(T, D), b.param(V, D), b.zero(T, V), b.act(T, V), b.gradient(V, D)
			return w, d, pair{device.Instruction{Op: device.OpLinear, In: []int{x, w}, Out: y},
				device.Instruction{Op: device.OpLinearGradWeight, In: []int{d, x}, Out: dw}}
		},
		"attention with rotation": attentionCase(T, D, 10000),
		"attention without it":    attentionCase(T, D, 0),
		"residual and norm": func(b *bench) (int, int, pair) {
			x, y, out, d, r, du := b.act(T, D), b.act(T, D), b.zero(T, D), b.act(T, D), b.zero(T), b.zero(T, D)
			a := device.Attributes{Epsilon: 1e-5}
			return y, d, pair{device.Instruction{Op: device.OpAddRMSNorm, In: []int{x, y}, Out: out, Aux: r, Attr: a},
				device.Instruction{Op: device.OpAddRMSNormGrad, In: []int{out, d}, Out: du, Aux: r, Attr: a}}
		},
		"swiglu": func(b *bench) (int, int, pair) {
			x, y, d, dx := b.act(T, 2*F), b.zero(T, F), b.act(T, F), b.zero(T, 2*F)
			return x, d, pair{device.Instruction{Op: device.OpSwiGLU, In: []int{x}, Out: y},
				device.Instruction{Op: device.OpSwiGLUGrad, In: []int{x, d}, Out: dx}}
		},
		"slicing positions": func(b *bench) (int, int, pair) {
			x, y, d, dx := b.act(T, D), b.zero(2, D), b.act(2, D), b.zero(T, D)
			a := device.Attributes{From: 1}
			return x, d, pair{device.Instruction{Op: device.OpSlice, In: []int{x}, Out: y, Attr: a},
				device.Instruction{Op: device.OpSliceGrad, In: []int{d}, Out: dx, Attr: a}}
		},
		"slicing columns": func(b *bench) (int, int, pair) {
			x, y, d, dx := b.act(T, D), b.zero(T, 3), b.act(T, 3), b.zero(T, D)
			a := device.Attributes{Axis: 1, From: 4}
			return x, d, pair{device.Instruction{Op: device.OpSlice, In: []int{x}, Out: y, Attr: a},
				device.Instruction{Op: device.OpSliceGrad, In: []int{d}, Out: dx, Attr: a}}
		},
		"joining columns": func(b *bench) (int, int, pair) {
			x, y, d, dx := b.act(T, 2), b.zero(T, D+2), b.act(T, D+2), b.zero(T, 2)
			return x, d, pair{device.Instruction{Op: device.OpJoin, In: []int{b.act(T, D), x}, Out: y, Attr: device.Attributes{Axis: 1}},
				device.Instruction{Op: device.OpSlice, In: []int{d}, Out: dx, Attr: device.Attributes{Axis: 1, From: D}}}
		},
		"tanh":    activationCase(T, D, device.Tanh),
		"sigmoid": activationCase(T, D, device.Sigmoid),
		"a product by its operand": func(b *bench) (int, int, pair) {
			x, w, y, d, dx := b.act(T, D), b.act(T, 1), b.zero(T, D), b.act(T, D), b.zero(T, D)
			a := device.Attributes{Complement: true}
			return x, d, pair{device.Instruction{Op: device.OpMultiply, In: []int{x, w}, Out: y, Attr: a},
				device.Instruction{Op: device.OpMultiply, In: []int{d, w}, Out: dx, Attr: a}}
		},
		"a product by a weight for each position": func(b *bench) (int, int, pair) {
			x, w, y, d, dw := b.act(T, D), b.act(T, 1), b.zero(T, D), b.act(T, D), b.zero(T, 1)
			return w, d, pair{device.Instruction{Op: device.OpMultiply, In: []int{x, w}, Out: y},
				device.Instruction{Op: device.OpBlendGradWeight, In: []int{d, x}, Out: dw}}
		},
		"a blend by its weight":                 blendCase(T, D, D),
		"a blend by a weight for each position": blendCase(T, D, 1),
		"dropping the prefix": func(b *bench) (int, int, pair) {
			x, y, d, dx := b.act(T, V), b.zero(S, V), b.act(S, V), b.zero(T, V)
			a := device.Attributes{Prefix: P}
			return x, d, pair{device.Instruction{Op: device.OpDropPrefix, In: []int{x}, Out: y, Attr: a},
				device.Instruction{Op: device.OpDropPrefixGrad, In: []int{d}, Out: dx, Attr: a}}
		},
		"halting head by the state": func(b *bench) (int, int, pair) {
			z, w, bias, q, d, dz := b.act(T, D), b.param(2, D), b.param(2), b.zero(2), b.act(2), b.zero(T, D)
			return z, d, pair{device.Instruction{Op: device.OpQHead, In: []int{z, w, bias}, Out: q},
				device.Instruction{Op: device.OpQHeadGradInput, In: []int{d, w}, Out: dz}}
		},
		"halting head by its weight": func(b *bench) (int, int, pair) {
			z, w, bias, q, d, dw := b.act(T, D), b.param(2, D), b.param(2), b.zero(2), b.act(2), b.gradient(2, D)
			return w, d, pair{device.Instruction{Op: device.OpQHead, In: []int{z, w, bias}, Out: q},
				device.Instruction{Op: device.OpQHeadGradWeight, In: []int{d, z}, Out: dw}}
		},
		"halting head by its bias": func(b *bench) (int, int, pair) {
			z, w, bias, q, d, db := b.act(T, D), b.param(2, D), b.param(2), b.zero(2), b.act(2), b.gradient(2)
			return bias, d, pair{device.Instruction{Op: device.OpQHead, In: []int{z, w, bias}, Out: q},
				device.Instruction{Op: device.OpQHeadGradBias, In: []int{d}, Out: db}}
		},
		"stablemax loss": lossCase(S, V, labels, device.Stablemax),
		"softmax loss":   lossCase(S, V, labels, device.Softmax),
		"halting loss": func(b *bench) (int, int, pair) {
			q, d, dq, l := b.act(2), b.act(2), b.zero(2), b.zero(2)
			stats := b.add(device.Value{Rows: true, Shape: []int{2}}, func(i int) float64 { return []float64{3, 4, 4, 4}[i] })
			target := b.add(device.Value{Rows: true}, func(i int) float64 { return []float64{0.3, 0.9}[i] })
			return q, d, pair{device.Instruction{Op: device.OpQLoss, In: []int{q, stats, target}, Out: l},
				device.Instruction{Op: device.OpQLossGrad, In: []int{q, stats, d, target}, Out: dq}}
		},
		"squared error": func(b *bench) (int, int, pair) {
			x, y, l, d, dx := b.act(T, D), b.act(T, D), b.zero(), b.act(), b.zero(T, D)
			return x, d, pair{device.Instruction{Op: device.OpSquaredError, In: []int{x, y}, Out: l},
				device.Instruction{Op: device.OpSquaredErrorGrad, In: []int{x, y, d}, Out: dx}}
		},
		"recall by the past": func(b *bench) (int, int, pair) {
			past, query, out, d, dx := b.act(T, D), b.act(1, D), b.zero(1, D), b.act(1, D), b.zero(T, D)
			a := device.Attributes{Count: T - 1, Scale: 0.5, Decay: 0.75}
			return past, d, pair{device.Instruction{Op: device.OpRecall, In: []int{past, query}, Out: out, Attr: a},
				device.Instruction{Op: device.OpRecallGradPast, In: []int{past, query, d}, Out: dx, Attr: a}}
		},
		"recall by the query": func(b *bench) (int, int, pair) {
			past, query, out, d, dx := b.act(T, D), b.act(1, D), b.zero(1, D), b.act(1, D), b.zero(1, D)
			a := device.Attributes{Count: T - 1, Scale: 0.5, Decay: 0.75}
			return query, d, pair{device.Instruction{Op: device.OpRecall, In: []int{past, query}, Out: out, Attr: a},
				device.Instruction{Op: device.OpRecall, In: []int{past, d}, Out: dx, Attr: a}}
		},
		"embedding by its weight": func(b *bench) (int, int, pair) {
			tok, w, pz, pos, out, d, dw := b.ints(tokens, S), b.param(V, D), b.act(D-2), b.param(T, D), b.zero(T, D), b.act(T, D), b.gradient(V, D)
			a := device.Attributes{Prefix: P, Scale: 2, LearnedPositions: true}
			return w, d, pair{device.Instruction{Op: device.OpEmbed, In: []int{tok, w, pz, pos}, Out: out, Attr: a},
				device.Instruction{Op: device.OpEmbedGradWeight, In: []int{tok, d}, Out: dw, Attr: a}}
		},
		"embedding by the puzzle": func(b *bench) (int, int, pair) {
			tok, w, pz, out, d, dp := b.ints(tokens, S), b.param(V, D), b.act(D-2), b.zero(T, D), b.act(T, D), b.zero(D-2)
			a := device.Attributes{Prefix: P, Scale: 2}
			return pz, d, pair{device.Instruction{Op: device.OpEmbed, In: []int{tok, w, pz}, Out: out, Attr: a},
				device.Instruction{Op: device.OpEmbedGradPuzzle, In: []int{d}, Out: dp, Attr: a}}
		},
		"embedding by its positions": func(b *bench) (int, int, pair) {
			tok, w, pos, out, d, dp := b.ints(tokens, S), b.param(V, D), b.param(S, D), b.zero(S, D), b.act(S, D), b.gradient(S, D)
			a := device.Attributes{Scale: 2, LearnedPositions: true}
			return pos, d, pair{device.Instruction{Op: device.OpEmbed, In: []int{tok, w, device.NoValue, pos}, Out: out, Attr: a},
				device.Instruction{Op: device.OpEmbedGradPositions, In: []int{d}, Out: dp, Attr: a}}
		},
	}
	for name, build := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			by, d, p := build(b)
			b.run(t, p.forward)
			b.checkGradient(t, p.forward, by, b.read(t, d), b.run(t, p.derivative))
		})
	}
}

func attentionCase(T, D int, theta float64) func(*bench) (int, int, pair) {
	return func(b *bench) (int, int, pair) {
		qkv, out, d, lse, dx := b.act(T, 3*D), b.zero(T, D), b.act(T, D), b.zero(2, T), b.zero(T, 3*D)
		a := device.Attributes{Heads: 2, RoPETheta: theta}
		return qkv, d, pair{device.Instruction{Op: device.OpAttention, In: []int{qkv}, Out: out, Aux: lse, Attr: a},
			device.Instruction{Op: device.OpAttentionGrad, In: []int{qkv, out, d}, Out: dx, Aux: lse, Attr: a}}
	}
}

func activationCase(T, D int, f device.Activation) func(*bench) (int, int, pair) {
	return func(b *bench) (int, int, pair) {
		x, y, d, dx := b.act(T, D), b.zero(T, D), b.act(T, D), b.zero(T, D)
		a := device.Attributes{Activation: f}
		return x, d, pair{device.Instruction{Op: device.OpActivate, In: []int{x}, Out: y, Attr: a},
			device.Instruction{Op: device.OpActivateGrad, In: []int{y, d}, Out: dx, Attr: a}}
	}
}

func blendCase(T, D, width int) func(*bench) (int, int, pair) {
	return func(b *bench) (int, int, pair) {
		w, x, y, out, d, dw := b.act(T, width), b.act(T, D), b.act(T, D), b.zero(T, D), b.act(T, D), b.zero(T, width)
		return w, d, pair{device.Instruction{Op: device.OpBlend, In: []int{w, x, y}, Out: out},
			device.Instruction{Op: device.OpBlendGradWeight, In: []int{d, x, y}, Out: dw}}
	}
}

func lossCase(S, V int, labels []int, kind device.LossKind) func(*bench) (int, int, pair) {
	return func(b *bench) (int, int, pair) {
		x, y, l, d, dx := b.act(S, V), b.ints(labels, S), b.zero(), b.act(), b.zero(S, V)
		a := device.Attributes{Loss: kind}
		return x, d, pair{device.Instruction{Op: device.OpLMLoss, In: []int{x, y}, Out: l, Attr: a},
			device.Instruction{Op: device.OpLMLossGrad, In: []int{x, y, d}, Out: dx, Attr: a}}
	}
}

func values(x ...float64) func(int) float64 { return func(i int) float64 { return x[i] } }

func TestInstructionsEqualNumbersByHand(t *testing.T) {
	row := func(shape ...int) device.Value { return device.Value{Rows: true, Shape: shape} }
	e := float64(float32(math.E))
	cases := map[string]struct {
		build func(b *bench) device.Instruction
		want  []float32
	}{
		"a halted row starts at init, the other keeps its state": {func(b *bench) device.Instruction {
			z := b.add(row(2, 2), values(1, 2, 3, 4, 5, 6, 7, 8))
			init := b.add(device.Value{Role: device.Parameter, Shape: []int{2}}, values(-1, -2))
			return device.Instruction{Op: device.OpReset, In: []int{z, init, b.ints([]int{0, 1})}, Out: b.zero(2, 2)}
		}, []float32{1, 2, 3, 4, -1, -2, -1, -2}},
		"three values are added": {func(b *bench) device.Instruction {
			x := b.add(row(1), values(1, 2))
			return device.Instruction{Op: device.OpAdd, In: []int{x, x, x}, Out: b.zero(1)}
		}, []float32{3, 6}},
		"the first of equal logits wins, ignored labels do not count": {func(b *bench) device.Instruction {
			x := b.add(row(2, 2), values(1, 1, 0, 3, 2, 1, 0, 0))
			return device.Instruction{Op: device.OpTokenStats, In: []int{x, b.ints([]int{0, 1, 1, -100}, 2)}, Out: b.zero(2)}
		}, []float32{2, 2, 0, 1}},
		"a row without labels has no loss": {func(b *bench) device.Instruction {
			x := b.add(row(1, 2), values(0, -1, 5, 5))
			return device.Instruction{Op: device.OpLMLoss, In: []int{x, b.ints([]int{0, -100}, 1)}, Out: b.zero()}
		}, []float32{float32(math.Log(1.5)), 0}},
		"softmax of equal logits is log 2": {func(b *bench) device.Instruction {
			x := b.add(row(1, 2), values(7, 7, 0, 1))
			return device.Instruction{Op: device.OpLMLoss, In: []int{x, b.ints([]int{0, 1}, 1)}, Out: b.zero(), Attr: device.Attributes{Loss: device.Softmax}}
		}, []float32{float32(math.Ln2), float32(math.Log((1 + e) / e))}},
		"the last segment's target is q_halt, others take the larger": {func(b *bench) device.Instruction {
			q := b.add(row(2), values(0, 9, 0, math.Log(3)))
			return device.Instruction{Op: device.OpQTarget, In: []int{q, b.ints([]int{1, 0})}, Out: b.zero()}
		}, []float32{0.5, 0.75}},
		"without a target only q_halt has a loss": {func(b *bench) device.Instruction {
			q, stats := b.add(row(2), values(0, 5, 0, 5)), b.add(row(2), values(1, 2, 2, 2))
			return device.Instruction{Op: device.OpQLoss, In: []int{q, stats}, Out: b.zero(2)}
		}, []float32{float32(math.Ln2), 0, float32(math.Ln2), 0}},
		"of equal scores the first is among the largest": {func(b *bench) device.Instruction {
			scores := b.add(row(4, 1), values(1, 3, 3, 3, 9, 2, 4, 1))
			return device.Instruction{Op: device.OpTopK, In: []int{scores}, Out: b.zero(4, 1), Attr: device.Attributes{Count: 2}}
		}, []float32{0, 1, 1, 0, 1, 0, 1, 0}},
		"the largest scores are those of the chosen": {func(b *bench) device.Instruction {
			scores, among := b.add(row(4, 1), values(1, 3, 3, 3, 9, 2, 4, 1)), b.add(row(4, 1), values(1, 0, 1, 1, 0, 1, 0, 0))
			return device.Instruction{Op: device.OpTopK, In: []int{scores, among}, Out: b.zero(4, 1), Attr: device.Attributes{Count: 2}}
		}, []float32{0, 0, 1, 1, 0, 1, 0, 0}},
		"prefix and first token are unpredicted, and what another logit is largest for": {func(b *bench) device.Instruction {
			logits := b.add(row(3, 2), values(0, 1, 1, 1, 5, 5, 3, 2, 0, 1, 5, 5))
			return device.Instruction{Op: device.OpUnpredicted, In: []int{logits, b.ints([]int{0, 1, 1, 0, 1, 1}, 3)}, Out: b.zero(4, 1), Attr: device.Attributes{Prefix: 1}}
		}, []float32{1, 1, 0, 1, 1, 1, 1, 0}},
		"recalled is what resembles the query, later states by more": {func(b *bench) device.Instruction {
			past, query := b.add(row(3, 2), values(1, 2, 3, 4, 9, 9, 1, 0, 0, 1, 9, 9)), b.add(row(1, 2), values(1, 1, 0, 2))
			return device.Instruction{Op: device.OpRecall, In: []int{past, query}, Out: b.zero(1, 2), Attr: device.Attributes{Count: 2, Scale: 2, Decay: 0.5}}
		}, []float32{3*1 + 14*3, 3*2 + 14*4, 0, 4}},
		"a state is appended behind the others": {func(b *bench) device.Instruction {
			past := b.add(row(3, 1), values(1, 2, 3, 4, 5, 6))
			return device.Instruction{Op: device.OpAppend, In: []int{b.add(row(1, 1), values(7, 8))}, Out: past, Attr: device.Attributes{From: 1}}
		}, []float32{1, 7, 3, 4, 8, 6}},
		"fill writes its scale": {func(b *bench) device.Instruction {
			return device.Instruction{Op: device.OpFill, Out: b.zero(), Attr: device.Attributes{Scale: 0.25}}
		}, []float32{0.25, 0.25}},
		"a product accumulates when asked": {func(b *bench) device.Instruction {
			d, w := b.add(row(1), values(2, 3)), b.add(device.Value{Role: device.Parameter, Shape: []int{1, 1}}, values(10))
			return device.Instruction{Op: device.OpLinearGradInput, In: []int{d, w}, Out: b.add(row(1), values(1, 1)), Attr: device.Attributes{Accumulate: true}}
		}, []float32{21, 31}},
		"a step is one above zero": {func(b *bench) device.Instruction {
			x := b.add(row(2), values(-1, 0, 0.5, 2))
			return device.Instruction{Op: device.OpActivate, In: []int{x}, Out: b.zero(2), Attr: device.Attributes{Activation: device.Step}}
		}, []float32{0, 0, 1, 1}},
		"a step has the gradient of a hard sigmoid": {func(b *bench) device.Instruction {
			x, d := b.add(row(2), values(-0.6, -0.4, 0.4, 0.6)), b.add(row(2), values(1, 1, 3, 3))
			return device.Instruction{Op: device.OpActivateGrad, In: []int{x, d}, Out: b.zero(2), Attr: device.Attributes{Activation: device.Step, Scale: 2}}
		}, []float32{0, 1, 3, 0}},
		"the gradient of a slice adds to its part alone": {func(b *bench) device.Instruction {
			d, out := b.add(row(1, 2), values(1, 2, 3, 4)), b.add(row(2, 2), values(1, 1, 1, 1, 2, 2, 2, 2))
			return device.Instruction{Op: device.OpSliceGrad, In: []int{d}, Out: out, Attr: device.Attributes{From: 1, Accumulate: true}}
		}, []float32{1, 1, 2, 3, 2, 2, 5, 6}},
		"bfloat16 rounds weights first and results last": {func(b *bench) device.Instruction {
			x := b.add(device.Value{DType: device.BFloat16, Rows: true, Shape: []int{1}}, values(1, 3))
			w := b.add(device.Value{Role: device.Parameter, Shape: []int{1, 1}}, values(1+1.0/512))
			return device.Instruction{Op: device.OpLinear, In: []int{x, w}, Out: b.add(device.Value{DType: device.BFloat16, Rows: true, Shape: []int{1}}, values(0, 0))}
		}, []float32{1, 3}},
		"the puzzle's row is cut into the prefix, padded with zeros": {func(b *bench) device.Instruction {
			w := b.add(device.Value{Role: device.Parameter, Shape: []int{2, 2}}, values(1, 2, 3, 4))
			p := b.add(row(3), values(5, 6, 7, 0, 0, 1))
			return device.Instruction{Op: device.OpEmbed, In: []int{b.ints([]int{1, 0}, 1), w, p}, Out: b.zero(3, 2), Attr: device.Attributes{Prefix: 2, Scale: 10}}
		}, []float32{50, 60, 70, 0, 30, 40, 0, 0, 10, 0, 10, 20}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			if diff := cmp.Diff(c.want, b.run(t, c.build(b)), cmp.Comparer(near)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func near(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-6*(1+math.Abs(float64(b))) }

// The label of a token is the one after it, unless that is not wanted.
func TestNextTokens(t *testing.T) {
	b := newBench()
	tokens := b.ints([]int{1, 2, 3, 4, 5, 6}, 3)
	wanted := b.add(device.Value{Rows: true, Shape: []int{4, 1}}, values(0, 0, 0, 1, 1, 1, 1, 0))
	for _, c := range []struct {
		name string
		in   []int
		want []int32
	}{
		{"all", []int{tokens}, []int32{2, 3, ignored, 5, 6, ignored}},
		{"wanted ones", []int{tokens, wanted}, []int32{ignored, 3, ignored, 5, ignored, ignored}},
	} {
		out := b.ints(make([]int, 6), 3)
		b.run(t, device.Instruction{Op: device.OpNextTokens, In: c.in, Out: out, Attr: device.Attributes{Prefix: 1}})
		got, err := device.ReadInts(b.data[out], 0, 6)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// Rotation is half-split: pair (i, i+dim/2) of position p turns by p*theta^(-2i/dim).
func TestRotationIsHalfSplit(t *testing.T) {
	h := &heads{dim: 4, withRoPE: true, cos: [][]float64{{0, 1}}, sin: [][]float64{{1, 0}}}
	x := []float64{1, 2, 3, 4}
	h.rotate(x, 0, 1)
	if diff := cmp.Diff([]float64{-3, 2, 1, 4}, x); diff != "" {
		t.Error(diff)
	}
}

func TestExecuteRefuses(t *testing.T) {
	cases := map[string]func(b *bench) device.Instruction{
		"a token outside of the vocabulary": func(b *bench) device.Instruction {
			return device.Instruction{Op: device.OpEmbed, In: []int{b.ints([]int{0, 3}, 1), b.param(3, 2)}, Out: b.zero(1, 2)}
		},
		"a label outside of the vocabulary": func(b *bench) device.Instruction {
			return device.Instruction{Op: device.OpLMLoss, In: []int{b.act(1, 3), b.ints([]int{0, -1}, 1)}, Out: b.zero()}
		},
		"an unknown opcode": func(b *bench) device.Instruction { return device.Instruction{Op: 200, Out: b.zero()} },
		"too few operands":  func(b *bench) device.Instruction { return device.Instruction{Op: device.OpLinear, In: []int{b.act(1)}} },
		"a missing side buffer": func(b *bench) device.Instruction {
			return device.Instruction{Op: device.OpAttention, In: []int{b.act(1, 6)}, Aux: device.NoValue}
		},
	}
	for name, build := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			ins := build(b)
			if err := Execute(&ins, b.values, rows, b.data); err == nil {
				t.Error("no error")
			}
		})
	}
}

// The program is y = x·Wᵀ into the arena, then state = y + state, then dW = yᵀ·x.
func TestRunReadsInputsBeforeOutputsAndZeroesGradients(t *testing.T) {
	p := &device.Program{Name: "test", ArenaBytes: 64, Values: []device.Value{
		{Name: "x", Role: device.Input, Rows: true, Shape: []int{1}},
		{Name: "w", Role: device.Parameter, Shape: []int{1, 1}},
		{Name: "y", Rows: true, Shape: []int{1}},
		{Name: "out", Role: device.Output, Rows: true, Shape: []int{1}},
		{Name: "dw", Role: device.Gradient, Shape: []int{1, 1}},
	}, Instructions: []device.Instruction{
		{Op: device.OpLinear, In: []int{0, 1}, Out: 2},
		{Op: device.OpAdd, In: []int{2, 0}, Out: 3},
		{Op: device.OpLinearGradWeight, In: []int{2, 0}, Out: 4},
	}}
	d := New()
	array := func(x ...float32) device.Array {
		a, err := d.NewArray(device.Float32, len(x))
		if err != nil {
			t.Fatal(err)
		}
		if err := device.WriteFloats(a, 0, x); err != nil {
			t.Fatal(err)
		}
		return a
	}
	e, err := d.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	state, dw := array(1, 2), array(99)
	bindings := map[string]device.Array{"x": state, "w": array(10), "out": state, "dw": dw}
	if err := e.Run(context.Background(), 2, bindings); err != nil {
		t.Fatal(err)
	}
	got, _ := device.ReadFloats(state, 0, 2)
	gradient, _ := device.ReadFloats(dw, 0, 1)
	if diff := cmp.Diff([]float32{11, 22, 50}, append(got, gradient...)); diff != "" {
		t.Error(diff)
	}
	delete(bindings, "w")
	if err := e.Run(context.Background(), 2, bindings); err == nil {
		t.Error("an unbound parameter is no error")
	}
	p.ArenaBytes = 0
	if _, err := d.Compile(p); err == nil {
		t.Error("a temporary outside of the arena is no error")
	}
}

// p=1, g=2, lr=0.1, decay=0.5, step 1: m=0.2, v=0.2; p = 0.95 - 0.1/0.1*atan2(0.2, sqrt(0.2)/sqrt(0.05)) = 0.95-atan2(0.2,2).
func TestAdamATan2EqualsNumbersByHand(t *testing.T) {
	d := New()
	a := make([]*device.HostArray, 5)
	for i, x := range []float32{1, 2, 0, 0, 8} {
		a[i] = device.NewHostArray(device.Float32, 1)
		_ = device.WriteFloats(a[i], 0, []float32{x})
	}
	h := device.AdamATan2Step{LearningRate: 0.1, WeightDecay: 0.5, Beta1: 0.9, Beta2: 0.95, EMADecay: 0.75, Step: 1}
	if err := d.AdamATan2([]device.Dense{{Value: a[0], Gradient: a[1], M: a[2], V: a[3], Average: a[4]}}, h); err != nil {
		t.Fatal(err)
	}
	p := float32(0.95 - math.Atan2(0.2, 2))
	for i, want := range []float32{p, 2, 0.2, 0.2, 6 + p/4} {
		if got, _ := device.ReadFloats(a[i], 0, 1); !near(got[0], want) {
			t.Errorf("array %d is %g, want %g", i, got[0], want)
		}
	}
	h.Step = 0
	if err := d.AdamATan2([]device.Dense{{Value: a[0], Gradient: a[1], M: a[2], V: a[3]}}, h); err == nil {
		t.Error("step 0 is no error")
	}
}

func TestSignSGDTouchesOnlyItsRows(t *testing.T) {
	table := device.NewHostArray(device.Float32, 6)
	_ = device.WriteFloats(table, 0, []float32{1, 1, 2, 2, 4, 4})
	if err := New().SignSGD(table, []int32{2, 0}, []float32{3, -3, 0, 5}, 0.1, 0.5); err != nil {
		t.Fatal(err)
	}
	got, _ := device.ReadFloats(table, 0, 6)
	if diff := cmp.Diff([]float32{0.95, 0.85, 2, 2, 3.7, 3.9}, got, cmp.Comparer(near)); diff != "" {
		t.Error(diff)
	}
	if err := New().SignSGD(table, []int32{3}, []float32{1, 1}, 0.1, 0); err == nil {
		t.Error("a row outside of the table is no error")
	}
}
