package device

import "testing"

// Sizes of the instructions below: positions, tokens, hidden, vocabulary, heads.
const t6, s5, d8, v4, h2 = 6, 5, 8, 4, 2

func act(shape ...int) Value       { return Value{DType: BFloat16, Rows: true, Shape: shape} }
func number(shape ...int) Value    { return Value{Rows: true, Shape: shape} }
func whole(shape ...int) Value     { return Value{DType: Int32, Rows: true, Shape: shape} }
func parameter(shape ...int) Value { return Value{Role: Parameter, Shape: shape} }
func gradient(shape ...int) Value  { return Value{Role: Gradient, Shape: shape} }

func TestInstruction_cost(t *testing.T) {
	const rows = 3
	for _, c := range []struct {
		name  string
		op    Opcode
		attr  Attributes
		in    []Value
		aux   *Value
		out   Value
		shape string
		want  Cost
	}{
		{name: "a product reads its weights in the type of the activations", op: OpLinear, in: []Value{act(t6, d8), parameter(16, d8)}, out: act(t6, 16),
			shape: "8→16", want: Cost{FLOPs: 2 * rows * t6 * d8 * 16, Bytes: 2 * (rows*t6*d8 + d8*16 + rows*t6*16)}},
		{name: "a product in float32", op: OpLinear, in: []Value{number(t6, d8), parameter(16, d8)}, out: number(t6, 16),
			shape: "8→16", want: Cost{FLOPs: 2 * rows * t6 * d8 * 16, Bytes: 4 * (rows*t6*d8 + d8*16 + rows*t6*16)}},
		{name: "the gradient of an input", op: OpLinearGradInput, in: []Value{act(t6, 16), parameter(16, d8)}, out: act(t6, d8),
			shape: "8→16", want: Cost{FLOPs: 2 * rows * t6 * d8 * 16, Bytes: 2 * (rows*t6*16 + d8*16 + rows*t6*d8)}},
		{name: "what is added to is read, too", op: OpLinearGradInput, attr: Attributes{Accumulate: true}, in: []Value{act(t6, 16), parameter(16, d8)}, out: act(t6, d8),
			shape: "8→16", want: Cost{FLOPs: 2 * rows * t6 * d8 * 16, Bytes: 2 * (rows*t6*16 + d8*16 + 2*rows*t6*d8)}},
		{name: "the gradient of weights is added to", op: OpLinearGradWeight, in: []Value{act(t6, 16), act(t6, d8)}, out: gradient(16, d8),
			shape: "8→16", want: Cost{FLOPs: 2 * rows * t6 * d8 * 16, Bytes: 2*rows*t6*(16+d8) + 2*4*16*d8}},
		{name: "attention: two products per pair of positions", op: OpAttention, in: []Value{act(t6, 3*d8)}, aux: ptr(number(h2, t6)), out: act(t6, d8),
			shape: "6×8", want: Cost{FLOPs: rows * 4 * t6 * t6 * d8, Bytes: 2*rows*t6*4*d8 + 4*rows*h2*t6}},
		{name: "attention of one position reads all keys and values", op: OpAttention, in: []Value{act(t6, 3*d8)}, aux: ptr(number(h2, 1)), out: act(1, d8),
			shape: "1×8", want: Cost{FLOPs: rows * 4 * t6 * d8, Bytes: 2*rows*(2*t6*d8+2*d8) + 4*rows*h2}},
		{name: "the gradient of attention: five products", op: OpAttentionGrad, in: []Value{act(t6, 3*d8), act(t6, d8), act(t6, d8)}, aux: ptr(number(h2, t6)), out: act(t6, 3*d8),
			shape: "6×24", want: Cost{FLOPs: rows * 10 * t6 * t6 * d8, Bytes: 2*rows*t6*8*d8 + 4*rows*h2*t6}},
		{name: "of a longer operand only the first positions are read", op: OpAddRMSNorm, in: []Value{act(t6, d8), act(1, d8)}, aux: ptr(number(1)), out: act(1, d8),
			shape: "1×8", want: Cost{Bytes: 2*rows*3*d8 + 4*rows}},
		{name: "the prefix is not read", op: OpDropPrefix, in: []Value{act(t6, v4)}, out: act(s5, v4), shape: "5×4", want: Cost{Bytes: 2 * rows * 2 * s5 * v4}},
		{name: "tokens read a small table once", op: OpEmbed, attr: Attributes{Prefix: 1}, in: []Value{whole(s5), parameter(v4, d8), number(2 * d8)}, out: act(t6, d8),
			shape: "6×8", want: Cost{Bytes: 4*rows*s5 + 4*v4*d8 + 4*rows*d8 + 2*rows*t6*d8}},
		{name: "of a large table only the tokens' rows", op: OpEmbed, in: []Value{whole(1), parameter(100, d8)}, out: act(1, d8),
			shape: "1×8", want: Cost{Bytes: 4*rows + 4*rows*d8 + 2*rows*d8}},
		{name: "the gradient of embeddings", op: OpEmbedGradWeight, attr: Attributes{Prefix: 1}, in: []Value{whole(s5), act(t6, d8)}, out: gradient(v4, d8),
			shape: "4×8", want: Cost{Bytes: 4*rows*s5 + 2*rows*s5*d8 + 2*4*v4*d8}},
		{name: "the gradient of the puzzle's row", op: OpEmbedGradPuzzle, attr: Attributes{Prefix: 1}, in: []Value{act(t6, d8)}, out: number(d8),
			shape: "8", want: Cost{Bytes: 2*rows*d8 + 4*rows*d8}},
		{name: "the q head reads one position", op: OpQHead, in: []Value{act(t6, d8), parameter(2, d8), parameter(2)}, out: number(2),
			shape: "2", want: Cost{Bytes: 2*rows*d8 + 4*(2*d8+2) + 4*rows*2}},
		{name: "its gradient adds to one position", op: OpQHeadGradInput, attr: Attributes{Accumulate: true}, in: []Value{number(2), parameter(2, d8)}, out: act(t6, d8),
			shape: "6×8", want: Cost{Bytes: 4*rows*2 + 4*2*d8 + 2*2*rows*d8}},
		{name: "of what is sliced only the slice is read", op: OpSlice, in: []Value{act(t6, d8)}, out: act(1, d8), shape: "1×8", want: Cost{Bytes: 2 * rows * 2 * d8}},
		{name: "a slice's gradient is zero elsewhere", op: OpSliceGrad, in: []Value{act(1, d8)}, out: act(t6, d8), shape: "6×8", want: Cost{Bytes: 2 * rows * (1 + t6) * d8}},
		{name: "a slice's gradient adds to the slice", op: OpSliceGrad, attr: Attributes{Accumulate: true}, in: []Value{act(1, d8)}, out: act(t6, d8),
			shape: "6×8", want: Cost{Bytes: 2 * rows * 3 * d8}},
		{name: "a number for each position", op: OpMultiply, in: []Value{act(t6, d8), act(t6, 1)}, out: act(t6, d8), shape: "6×8", want: Cost{Bytes: 2 * rows * t6 * (2*d8 + 1)}},
		{name: "appending writes one position", op: OpAppend, in: []Value{act(1, d8)}, out: act(t6, d8), shape: "6×8", want: Cost{Bytes: 2 * rows * 2 * d8}},
		{name: "of the past only what is remembered is read", op: OpRecall, attr: Attributes{Count: 4}, in: []Value{act(t6, d8), act(1, d8)}, out: act(1, d8),
			shape: "1×8", want: Cost{Bytes: 2 * rows * (4*d8 + 2*d8)}},
		{name: "the gradient of the past adds to what is remembered", op: OpRecallGradPast, attr: Attributes{Count: 4, Accumulate: true},
			in: []Value{act(t6, d8), act(1, d8), act(1, d8)}, out: act(t6, d8), shape: "6×8", want: Cost{Bytes: 2 * rows * (4*d8 + 2*d8 + 2*4*d8)}},
		{name: "a scalar per row", op: OpLMLoss, in: []Value{act(s5, v4), whole(s5)}, out: number(), shape: "1", want: Cost{Bytes: 2*rows*s5*v4 + 4*rows*s5 + 4*rows}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ins := Instruction{Op: c.op, Attr: c.attr, Out: 0, Aux: NoValue}
			values := append([]Value{c.out}, c.in...)
			for i := range c.in {
				ins.In = append(ins.In, i+1)
			}
			if c.aux != nil {
				ins.Aux = len(values)
				values = append(values, *c.aux)
			}
			if got := ins.Cost(values, rows); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if got := ins.Shape(values); got != c.shape {
				t.Errorf("its shape is %q, want %q", got, c.shape)
			}
		})
	}
}

func ptr(v Value) *Value { return &v }

func TestInstruction_costCountsAnOperandOnce(t *testing.T) {
	ins := Instruction{Op: OpAdd, In: []int{0, 0, NoValue}, Out: 1, Aux: NoValue}
	if got, want := ins.Cost([]Value{number(d8), number(d8)}, 2), (Cost{Bytes: 4 * 2 * 2 * d8}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
