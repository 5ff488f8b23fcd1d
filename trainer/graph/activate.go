package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// stepSlope is that of the hard sigmoid max(0, min(1, (slope·x+1)/2)) whose gradient a step has (arXiv 1609.01704, where it begins
// with 1).
const stepSlope = 1

// Activate returns the function of each number of x [B,T,D]. The gradient of a step is that of a hard sigmoid in its place.
func (g *Graph) Activate(function device.Activation, x *gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	attr := device.Attributes{Activation: function, Scale: stepSlope}
	return g.apply(&op{code: device.OpActivate, operands: 1, attr: attr, wrt: []bool{true}, diff: activateGrad}, x.Shape(), x)
}

func activateGrad(o *op, output, grad *gorgonia.Node) gorgonia.Nodes {
	from := output
	if o.attr.Activation == device.Step {
		from = o.inputs[0]
	}
	return gorgonia.Nodes{o.graph.apply(&op{code: device.OpActivateGrad, operands: 2, attr: o.attr}, output.Shape(), from, grad)}
}
