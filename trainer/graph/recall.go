package graph

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Append returns the past [B,T,D] with the state [B,1,D] at a position, behind what [Graph.Append] wrote before. A past of nil has
// nothing yet, and room for so many positions. All pasts of a chain are one value of the program, which is why nothing may
// read a past at positions that are not written yet.
func (g *Graph) Append(past, state *gorgonia.Node, at, positions int) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	o := &op{code: device.OpAppend, operands: 1, wrt: []bool{true}, attr: device.Attributes{From: at}}
	inputs := []*gorgonia.Node{state}
	if past != nil {
		o.within, o.wrt, inputs = true, []bool{true, true}, []*gorgonia.Node{past, state}
	}
	o.diff = func(o *op, _, grad *gorgonia.Node) gorgonia.Nodes {
		ofState := g.Slice(grad, Positions, at, 1)
		if !o.within {
			return gorgonia.Nodes{ofState}
		}
		// The gradient at this position is not that of the past before, but there nothing reads it.
		return gorgonia.Nodes{grad, ofState}
	}
	return g.apply(o, tensor.Shape{g.batch, positions, state.Shape()[2]}, inputs...)
}

// Recall returns A·query [B,1,D] for query [B,1,D] and the matrix A = rate·Σ_{i<count} decay^(count-1-i)·past[i]·past[i]ᵀ of the
// first count positions of past [B,T,D], without making A (arXiv 1610.06258).
func (g *Graph) Recall(past, query *gorgonia.Node, count int, rate, decay float64) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	attr := device.Attributes{Count: count, Scale: rate, Decay: decay}
	grad := func(_ *op, _, grad *gorgonia.Node) gorgonia.Nodes {
		ofPast := g.apply(&op{code: device.OpRecallGradPast, operands: 3, attr: attr}, past.Shape(), past, query, grad)
		// A is symmetric.
		ofQuery := g.apply(&op{code: device.OpRecall, operands: 2, attr: attr}, query.Shape(), past, grad)
		return gorgonia.Nodes{ofPast, ofQuery}
	}
	return g.apply(&op{code: device.OpRecall, operands: 2, attr: attr, wrt: []bool{true, true}, diff: grad}, query.Shape(), past, query)
}
