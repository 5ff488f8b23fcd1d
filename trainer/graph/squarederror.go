package graph

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// SquaredError returns each row's mean of (x-target)² [B] for two values of one shape. The target gets no gradient.
func (g *Graph) SquaredError(x, target *gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	grad := func(_ *op, _, grad *gorgonia.Node) gorgonia.Nodes {
		return gorgonia.Nodes{g.apply(&op{code: device.OpSquaredErrorGrad, operands: 3}, x.Shape(), x, target, grad), nil}
	}
	o := &op{code: device.OpSquaredError, operands: 2, kind: Float, wrt: []bool{true, false}, diff: grad}
	return g.apply(o, tensor.Shape{g.batch}, x, target)
}
