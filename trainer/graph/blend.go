package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Multiply returns w·x [B,T,D] of x [B,T,D] and w [B,T,D] or [B,T,1], one number for each position.
func (g *Graph) Multiply(x, w *gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	if !weighs(w, x) {
		return g.fail("%v are no weights of a value %v", w.Shape()[1:], x.Shape()[1:])
	}
	grad := func(_ *op, _, grad *gorgonia.Node) gorgonia.Nodes {
		return gorgonia.Nodes{g.Multiply(grad, w), g.blendGradWeight(w, grad, x)}
	}
	return g.apply(&op{code: device.OpMultiply, operands: 2, wrt: []bool{true, true}, diff: grad}, x.Shape(), x, w)
}

// Blend returns w·x + (1-w)·y [B,T,D] of x and y [B,T,D], and w [B,T,D] or [B,T,1], one number for each position.
func (g *Graph) Blend(w, x, y *gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	if !weighs(w, x) {
		return g.fail("%v are no weights of a value %v", w.Shape()[1:], x.Shape()[1:])
	}
	grad := func(_ *op, _, grad *gorgonia.Node) gorgonia.Nodes {
		rest := &op{code: device.OpMultiply, operands: 2, attr: device.Attributes{Complement: true}}
		return gorgonia.Nodes{g.blendGradWeight(w, grad, x, y), g.Multiply(grad, w), g.apply(rest, y.Shape(), grad, w)}
	}
	return g.apply(&op{code: device.OpBlend, operands: 3, wrt: []bool{true, true, true}, diff: grad}, x.Shape(), w, x, y)
}

// blendGradWeight returns the gradient of w: grad times x, or times the difference of x and y, in the shape of w.
func (g *Graph) blendGradWeight(w, grad *gorgonia.Node, xs ...*gorgonia.Node) *gorgonia.Node {
	return g.apply(&op{code: device.OpBlendGradWeight, operands: 1 + len(xs)}, w.Shape(), append([]*gorgonia.Node{grad}, xs...)...)
}

func weighs(w, x *gorgonia.Node) bool {
	columns := w.Shape()[2]
	return w.Shape()[1] == x.Shape()[1] && (columns == x.Shape()[2] || columns == 1)
}
