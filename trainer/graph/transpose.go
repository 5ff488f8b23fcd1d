package graph

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Transpose returns x [B,T,D] as [B,D,T].
func (g *Graph) Transpose(x *gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	shape := x.Shape()
	back := func(_ *op, _, grad *gorgonia.Node) gorgonia.Nodes { return gorgonia.Nodes{g.Transpose(grad)} }
	return g.apply(&op{code: device.OpTranspose, operands: 1, wrt: []bool{true}, diff: back}, tensor.Shape{shape[0], shape[2], shape[1]}, x)
}
