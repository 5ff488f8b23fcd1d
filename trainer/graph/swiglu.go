package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// SwiGLU returns silu(gate)*up [B,…,F] for packed gateUp [B,…,2F], gate first.
func (g *Graph) SwiGLU(gateUp *gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	o := &op{code: device.OpSwiGLU, operands: 1, wrt: []bool{true}, diff: swiGLUGrad}
	return g.apply(o, with(gateUp, gateUp.Shape()[gateUp.Dims()-1]/2), gateUp)
}

func swiGLUGrad(o *op, _, grad *gorgonia.Node) gorgonia.Nodes {
	gateUp := o.inputs[0]
	return gorgonia.Nodes{o.graph.apply(&op{code: device.OpSwiGLUGrad, operands: 2}, gateUp.Shape(), gateUp, grad)}
}
