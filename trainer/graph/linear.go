package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Linear returns x·Wᵀ [B,…,out] for x [B,…,in] and weight [out,in].
func (g *Graph) Linear(x, weight *gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	if in := x.Shape()[x.Dims()-1]; in != weight.Shape()[1] {
		return g.fail("%s [%v] does not fit an input of width %d", weight.Name(), weight.Shape(), in)
	}
	return g.apply(&op{code: device.OpLinear, operands: 2, wrt: []bool{true, true}, diff: linearGrad}, with(x, weight.Shape()[0]), x, weight)
}

func linearGrad(o *op, _, grad *gorgonia.Node) gorgonia.Nodes {
	g, x, weight := o.graph, o.inputs[0], o.inputs[1]
	return gorgonia.Nodes{
		g.apply(&op{code: device.OpLinearGradInput, operands: 2}, x.Shape(), grad, weight),
		g.apply(&op{code: device.OpLinearGradWeight, operands: 2, kind: Float, gradient: true}, weight.Shape(), grad, x),
	}
}
