package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Reset returns z [B,T,D] with init [D] at every position of the rows that halted [B].
func (g *Graph) Reset(z, init, halted *gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	return g.apply(&op{code: device.OpReset, operands: 3}, z.Shape(), z, init, halted)
}

// Add returns the sum of two or three values of one shape.
func (g *Graph) Add(xs ...*gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	wrt := make([]bool, len(xs))
	for i := range wrt {
		wrt[i] = true
	}
	passOn := func(o *op, _, grad *gorgonia.Node) gorgonia.Nodes {
		out := make(gorgonia.Nodes, len(o.inputs))
		for i := range out {
			out[i] = grad
		}
		return out
	}
	return g.apply(&op{code: device.OpAdd, operands: len(xs), wrt: wrt, diff: passOn}, xs[0].Shape(), xs...)
}
