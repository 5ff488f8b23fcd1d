package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Gate returns 2(σ(gate)·x + σ(-gate)·y) [B,T,D] of three values of that shape: their sum where gate is 0.
func (g *Graph) Gate(gate, x, y *gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	return g.apply(&op{code: device.OpGate, operands: 3, wrt: []bool{true, true, true}, diff: gateGrad}, x.Shape(), gate, x, y)
}

func gateGrad(o *op, _, grad *gorgonia.Node) gorgonia.Nodes {
	g, gate, x, y := o.graph, o.inputs[0], o.inputs[1], o.inputs[2]
	input := func(scale float64) *gorgonia.Node {
		return g.apply(&op{code: device.OpGateGradInput, operands: 2, attr: device.Attributes{Scale: scale}}, x.Shape(), gate, grad)
	}
	return gorgonia.Nodes{g.apply(&op{code: device.OpGateGradGate, operands: 4}, x.Shape(), gate, x, y, grad), input(1), input(-1)}
}
