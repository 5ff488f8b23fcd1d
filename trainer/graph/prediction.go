package graph

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Unpredicted returns a mask [B,T,1] of the positions whose token is another one than the argmax of the logits [B,S,V] at the
// token before it, the prefix and the first token among them. No gradient passes it.
func (g *Graph) Unpredicted(logits, tokens *gorgonia.Node, prefix int) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	shape := tensor.Shape{g.batch, prefix + tokens.Shape()[1], 1}
	return g.apply(&op{code: device.OpUnpredicted, operands: 2, attr: device.Attributes{Prefix: prefix}}, shape, logits, tokens)
}

// NextTokens returns labels [B,S]: at each token the one after it, at the last one that it has none. With a mask wanted [B,T,1] only
// tokens where it is 1 are labels.
func (g *Graph) NextTokens(tokens, wanted *gorgonia.Node, prefix int) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	inputs := []*gorgonia.Node{tokens}
	if wanted != nil {
		inputs = append(inputs, wanted)
	}
	o := &op{code: device.OpNextTokens, operands: len(inputs), kind: Int, attr: device.Attributes{Prefix: prefix}}
	return g.apply(o, tokens.Shape(), inputs...)
}
