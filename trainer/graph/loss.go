package graph

import (
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// LMLoss returns each row's mean loss over its labelled tokens [B] for logits [B,S,V] and labels [B,S].
func (g *Graph) LMLoss(logits, labels *gorgonia.Node, kind device.LossKind) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	attr := device.Attributes{Loss: kind}
	grad := func(_ *op, _, grad *gorgonia.Node) gorgonia.Nodes {
		return gorgonia.Nodes{g.apply(&op{code: device.OpLMLossGrad, operands: 3, attr: attr}, logits.Shape(), logits, labels, grad), nil}
	}
	o := &op{code: device.OpLMLoss, operands: 2, kind: Float, attr: attr, wrt: []bool{true, false}, diff: grad}
	return g.apply(o, tensor.Shape{g.batch}, logits, labels)
}

// TokenStats returns each row's number of right tokens and of labelled tokens [B,2].
func (g *Graph) TokenStats(logits, labels *gorgonia.Node) *gorgonia.Node {
	return g.apply(&op{code: device.OpTokenStats, operands: 2, kind: Float}, tensor.Shape{g.batch, 2}, logits, labels)
}

// QTarget returns sigmoid(last ? q_halt : max(q_halt, q_continue)) [B] of the next segment's q [B,2].
func (g *Graph) QTarget(q, last *gorgonia.Node) *gorgonia.Node {
	return g.apply(&op{code: device.OpQTarget, operands: 2, kind: Float}, tensor.Shape{g.batch}, q, last)
}

// QLoss returns [B,2]: the binary cross entropy of q_halt against "every token is right", and of q_continue against
// target [B]; without a target the second is 0.
func (g *Graph) QLoss(q, stats, target *gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	inputs := []*gorgonia.Node{q, stats}
	o := &op{code: device.OpQLoss, kind: Float, wrt: []bool{true, false}, diff: qLossGrad}
	if target != nil {
		inputs, o.wrt = append(inputs, target), append(o.wrt, false)
	}
	o.operands = len(inputs)
	return g.apply(o, tensor.Shape{g.batch, 2}, inputs...)
}

func qLossGrad(o *op, _, grad *gorgonia.Node) gorgonia.Nodes {
	inputs := append([]*gorgonia.Node{o.inputs[0], o.inputs[1], grad}, o.inputs[2:]...)
	out := make(gorgonia.Nodes, len(o.inputs))
	out[0] = o.graph.apply(&op{code: device.OpQLossGrad, operands: len(inputs), kind: Float}, o.inputs[0].Shape(), inputs...)
	return out
}

// Cost returns the scalar scale*Σ(lm + ½(q[0]+q[1]) + others) over the rows of lm [B], q [B,2], and others [B].
func (g *Graph) Cost(lm, q *gorgonia.Node, scale float64, others ...*gorgonia.Node) *gorgonia.Node {
	inputs := append([]*gorgonia.Node{lm, q}, others...)
	grad := func(*op, *gorgonia.Node, *gorgonia.Node) gorgonia.Nodes {
		out := make(gorgonia.Nodes, len(inputs))
		for i, input := range inputs {
			out[i] = g.fill(input, scale*costWeight(i))
		}
		return out
	}
	wrt := slices.Repeat([]bool{true}, len(inputs))
	o := &op{special: summed, operands: len(inputs), attr: device.Attributes{Scale: scale}, wrt: wrt, diff: grad}
	return g.apply(o, tensor.Shape{}, inputs...)
}

// costWeight is what an input of Cost counts.
func costWeight(input int) float64 {
	if input == 1 {
		return 0.5
	}
	return 1
}

// fill returns a value like another one, with x everywhere.
func (g *Graph) fill(like *gorgonia.Node, x float64) *gorgonia.Node {
	return g.apply(&op{code: device.OpFill, kind: Float, attr: device.Attributes{Scale: x}}, like.Shape(), like)
}

// sum computes Cost for the tape machine.
func (o *op) sum(inputs []gorgonia.Value) gorgonia.Value {
	var total float64
	for i, input := range inputs {
		for _, x := range input.Data().([]float32) {
			total += costWeight(i) * float64(x)
		}
	}
	return gorgonia.NewF32(float32(total * o.attr.Scale))
}
