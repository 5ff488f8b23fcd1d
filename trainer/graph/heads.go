package graph

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// DropPrefix returns the positions of x [B,T,V] behind the prefix: [B,S,V].
func (g *Graph) DropPrefix(x *gorgonia.Node, prefix int) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	attr := device.Attributes{Prefix: prefix}
	grad := func(_ *op, _, grad *gorgonia.Node) gorgonia.Nodes {
		return gorgonia.Nodes{g.apply(&op{code: device.OpDropPrefixGrad, operands: 1, attr: attr}, x.Shape(), grad)}
	}
	shape := tensor.Shape{g.batch, x.Shape()[1] - prefix, x.Shape()[2]}
	return g.apply(&op{code: device.OpDropPrefix, operands: 1, attr: attr, wrt: []bool{true}, diff: grad}, shape, x)
}

// QHead returns q_halt and q_continue [B,2] = W·zH[0]+b for zH [B,T,D], weight [2,D] and bias [2].
func (g *Graph) QHead(zH, weight, bias *gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	o := &op{code: device.OpQHead, operands: 3, kind: Float, wrt: []bool{true, true, true}, diff: qHeadGrad}
	return g.apply(o, tensor.Shape{g.batch, 2}, zH, weight, bias)
}

func qHeadGrad(o *op, _, grad *gorgonia.Node) gorgonia.Nodes {
	g, zH, weight, bias := o.graph, o.inputs[0], o.inputs[1], o.inputs[2]
	return gorgonia.Nodes{
		g.apply(&op{code: device.OpQHeadGradInput, operands: 2}, zH.Shape(), grad, weight),
		g.apply(&op{code: device.OpQHeadGradWeight, operands: 2, kind: Float, gradient: true}, weight.Shape(), grad, zH),
		g.apply(&op{code: device.OpQHeadGradBias, operands: 1, kind: Float, gradient: true}, bias.Shape(), grad),
	}
}
