package graph

import (
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Embed returns e [B,T,D] = sqrt(D)*[prefix ; tokens], where the prefix is the puzzle's embedding cut into positions.
// With positions [T,D]: sqrt(D)*0.7071*([prefix ; tokens] + positions). tokens [B,S], weight [V,D], puzzle [B,dim];
// puzzle is nil if prefix is 0, positions is nil with RoPE.
func (g *Graph) Embed(tokens, weight, puzzle, positions *gorgonia.Node, prefix int) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	hidden := weight.Shape()[1]
	shape := tensor.Shape{g.batch, prefix + tokens.Shape()[1], hidden}
	o := &op{
		code: device.OpEmbed, wrt: []bool{false, true}, diff: embedGrad,
		attr: device.Attributes{Prefix: prefix, Scale: math.Sqrt(float64(hidden)), LearnedPositions: positions != nil},
	}
	inputs := []*gorgonia.Node{tokens, weight}
	if puzzle != nil {
		inputs, o.wrt = append(inputs, puzzle), append(o.wrt, true)
	} else {
		o.absent |= 1 << 2
	}
	if positions != nil {
		inputs, o.wrt = append(inputs, positions), append(o.wrt, true)
	}
	o.operands = len(inputs)
	return g.apply(o, shape, inputs...)
}

func embedGrad(o *op, _, grad *gorgonia.Node) gorgonia.Nodes {
	g, weight := o.graph, o.inputs[1]
	part := func(code device.Opcode, kind Kind, gradient bool, shape tensor.Shape, inputs ...*gorgonia.Node) *gorgonia.Node {
		return g.apply(&op{code: code, attr: o.attr, kind: kind, gradient: gradient, operands: len(inputs)}, shape, inputs...)
	}
	out := gorgonia.Nodes{nil, part(device.OpEmbedGradWeight, Float, true, weight.Shape(), o.inputs[0], grad)}
	for _, in := range o.inputs[2:] {
		if g.leaves[in].role == device.Parameter {
			out = append(out, part(device.OpEmbedGradPositions, Float, true, in.Shape(), grad))
		} else {
			out = append(out, part(device.OpEmbedGradPuzzle, Float, false, in.Shape(), grad))
		}
	}
	return out
}
