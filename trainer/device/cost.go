package device

import (
	"fmt"
	"slices"
	"strings"
)

// Cost is the least that something takes, on whichever device.
type Cost struct {
	// FLOPs are the floating-point operations of products and attention, an addition and a multiplication being two. What all
	// else computes is little, and is not counted.
	FLOPs float64
	// Bytes are those that are read and written if every operand is read once, and every result written once.
	Bytes float64
}

// Add adds what something else takes.
func (c *Cost) Add(other Cost) {
	c.FLOPs += other.FLOPs
	c.Bytes += other.Bytes
}

// Cost returns what a run of the program over rows examples takes.
func (p *Program) Cost(rows int) Cost {
	var total Cost
	for i := range p.Instructions {
		total.Add(p.Instructions[i].Cost(p.Values, rows))
	}
	return total
}

// Cost returns what the instruction takes over rows examples. Of a parameter that a product reads, the bytes are those of the
// activations' type.
func (ins *Instruction) Cost(values []Value, rows int) Cost {
	s := sized{ins, values, rows}
	c := Cost{FLOPs: s.flops()}
	for k, v := range ins.In {
		// An operand that is there twice is read once.
		if v != NoValue && !slices.Contains(ins.In[:k], v) {
			c.Bytes += float64(s.reads(k)) * float64(s.size(k))
		}
	}
	if ins.Aux != NoValue {
		// The forward operation writes it, the backward one reads it.
		c.Bytes += float64(values[ins.Aux].Count(rows) * values[ins.Aux].DType.Size())
	}
	c.Bytes += float64(s.writes() * s.out().DType.Size())
	return c
}

// Shape tells apart instructions of one opcode that differ in size: "in→out" features of products, the size of the result, per
// row if it has rows, of all others.
func (ins *Instruction) Shape(values []Value) string {
	if ins.Op.IsProduct() {
		w := (&sized{ins: ins, values: values}).weight()
		return fmt.Sprintf("%d→%d", w.Shape[1], w.Shape[0])
	}
	shape := values[ins.Out].Shape
	if len(shape) == 0 {
		return "1"
	}
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", "×")
}

// IsProduct says whether an opcode is one of the products of matrices, which a device's library computes.
func (o Opcode) IsProduct() bool {
	return o == OpLinear || o == OpLinearGradInput || o == OpLinearGradWeight
}

// sized is an instruction over so many rows.
type sized struct {
	ins    *Instruction
	values []Value
	rows   int
}

func (s *sized) in(k int) *Value { return &s.values[s.ins.In[k]] }
func (s *sized) out() *Value     { return &s.values[s.ins.Out] }

// weight is the matrix [out,in] of a product, or its gradient.
func (s *sized) weight() *Value {
	if s.ins.Op == OpLinearGradWeight {
		return s.out()
	}
	return s.in(1)
}

// flops are those of products, for each position two per weight, and of attention, whose forward multiplies [Q,D] by [T,D]
// twice, and whose backward multiplies [T,D] by [T,D] five times: the scores again, and the gradients of weights, v, q and k.
func (s *sized) flops() float64 {
	switch s.ins.Op {
	case OpLinear, OpLinearGradInput, OpLinearGradWeight:
		x := s.in(0)
		positions := x.Count(s.rows) / x.Last()
		return 2 * float64(positions) * float64(s.weight().Elements())
	case OpAttention:
		return 2 * 2 * float64(s.out().Count(s.rows)) * float64(s.in(0).Shape[0])
	case OpAttentionGrad:
		return 5 * 2 * float64(s.in(1).Count(s.rows)) * float64(s.in(0).Shape[0])
	}
	return 0
}

// size is the bytes of an element of operand k.
func (s *sized) size(k int) int {
	if s.ins.Op.IsProduct() {
		return s.in(0).DType.Size()
	}
	return s.in(k).DType.Size()
}

// reads returns how many elements of operand k are read: all of most.
func (s *sized) reads(k int) int {
	all := s.in(k).Count(s.rows)
	out := s.out()
	switch op := s.ins.Op; {
	case op == OpEmbed && k == 1:
		// A row of the table for every token, each once.
		return min(all, s.in(0).Count(s.rows)*out.Last())
	case op == OpEmbed && k == 2:
		return min(all, s.rows*s.ins.Attr.Prefix*out.Last())
	case op == OpEmbedGradWeight && k == 1:
		return s.in(0).Count(s.rows) * out.Last()
	case op == OpEmbedGradPuzzle:
		return min(out.Count(s.rows), s.rows*s.ins.Attr.Prefix*s.in(k).Last())
	case op == OpAttention:
		// Keys and values of all positions, q of those that ask.
		return all/3*2 + out.Count(s.rows)
	case (op == OpRecall || op == OpRecallGradPast) && k == 0:
		return s.rows * s.ins.Attr.Count * s.in(k).Last()
	case op == OpAddRMSNorm, op == OpDropPrefix, op == OpSlice:
		return out.Count(s.rows)
	case op == OpQHead && k == 0, op == OpQHeadGradWeight && k == 1:
		return s.rows * s.in(k).Last()
	}
	return all
}

// writes returns how many elements of the result are written, and read if they are added to.
func (s *sized) writes() int {
	n := s.out().Count(s.rows)
	switch op, add := s.ins.Op, s.ins.Attr.Accumulate; {
	case op == OpAppend, op == OpSliceGrad && add:
		n = s.in(0).Count(s.rows)
	case op == OpQHeadGradInput && add:
		n = s.rows * s.out().Last()
	case op == OpRecallGradPast && add:
		n = s.rows * s.ins.Attr.Count * s.out().Last()
	}
	if s.ins.Attr.Accumulate || s.out().Role == Gradient {
		return 2 * n
	}
	return n
}

// AdamATan2Cost returns what an update of n numbers takes: parameter, gradient and two moments are read, all but the gradient
// written.
func AdamATan2Cost(n int) Cost { return Cost{Bytes: float64(7*Float32.Size()) * float64(n)} }

// SignSGDCost returns what an update of n numbers takes: each is read with its gradient, and written.
func SignSGDCost(n int) Cost { return Cost{Bytes: float64(3*Float32.Size()) * float64(n)} }
