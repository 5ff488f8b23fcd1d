package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// AddRMSNorm returns rms(x+y) [B,T,D]: the residual and the post-norm in one, without a learned weight.
func (g *Graph) AddRMSNorm(x, y *gorgonia.Node, epsilon float64) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	o := &op{
		code: device.OpAddRMSNorm, operands: 2, wrt: []bool{true, true}, diff: addRMSNormGrad,
		attr: device.Attributes{Epsilon: epsilon}, side: &side{shape: []int{x.Shape()[1]}},
	}
	return g.apply(o, x.Shape(), x, y)
}

// addRMSNormGrad gives x and y the same gradient, since they are only summed.
func addRMSNormGrad(o *op, output, grad *gorgonia.Node) gorgonia.Nodes {
	d := o.graph.apply(&op{code: device.OpAddRMSNormGrad, operands: 2, attr: o.attr, side: o.side}, output.Shape(), output, grad)
	return gorgonia.Nodes{d, d}
}
