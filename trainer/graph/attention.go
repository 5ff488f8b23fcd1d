package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Attention returns softmax(q·kᵀ/sqrt(D/h))·v [B,T,D] for packed qkv [B,T,3D], bidirectional over all positions.
// q and k are rotated by RoPE with the given theta unless it is 0.
func (g *Graph) Attention(qkv *gorgonia.Node, heads int, theta float64) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	positions, width := qkv.Shape()[1], qkv.Shape()[2]
	if width%(3*heads) != 0 {
		return g.fail("%d heads do not divide a hidden size of %d", heads, width/3)
	}
	o := &op{
		code: device.OpAttention, operands: 1, wrt: []bool{true}, diff: attentionGrad,
		attr: device.Attributes{Heads: heads, RoPETheta: theta}, side: &side{shape: []int{heads, positions}},
	}
	return g.apply(o, with(qkv, width/3), qkv)
}

func attentionGrad(o *op, output, grad *gorgonia.Node) gorgonia.Nodes {
	qkv := o.inputs[0]
	return gorgonia.Nodes{
		o.graph.apply(&op{code: device.OpAttentionGrad, operands: 3, attr: o.attr, side: o.side}, qkv.Shape(), qkv, output, grad),
	}
}
