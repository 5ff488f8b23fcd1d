package model

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

// The neural history compressor of two networks (Schmidhuber 1992, "Learning complex, extended sequences using the principle of
// history compression"). The automatizer, a recurrent network, predicts the next token at every position. The chunker, another
// one, gets a new state only where that prediction was wrong, so that long predictable stretches are no way for it to forget or
// for gradients to vanish; it predicts the next such token. The automatizer is also taught the chunker's state. Answers are read
// off the sum of both states. Every segment begins both networks with what the last one answered at the last position.

const (
	automatizer = recurrentModule + "automatizer."
	chunker     = recurrentModule + "chunker."
	// stateHead is by which the automatizer tells the chunker's state.
	stateHead = automatizer + "chunker_head.weight"
)

func compressorModules(m *Model) []Parameter {
	d := int(m.Spec.HiddenSize)
	var out []Parameter
	for _, at := range []string{automatizer, chunker} {
		out = append(out, linear(at+"input.weight", d, d), linear(at+"state.weight", d, d), linear(at+"token_head.weight", m.Shape.VocabSize, d))
	}
	return append(append(out, linear(stateHead, d, d)), gateParameters(m, recurrentModule)...)
}

func compressorSegment(n *network, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	prefix := n.model.Prefix()
	x, before := n.combine(recurrentModule, z[0], e), n.beforeFirst(z[0])
	a := n.readThrough(automatizer, x, before, nil)
	predicted := n.predict(automatizer, a)
	missed := n.Unpredicted(predicted, n.tokens, prefix)
	c := n.readThrough(chunker, x, before, missed)
	n.costs = append(n.costs,
		n.tokenLoss(predicted, n.NextTokens(n.tokens, nil, prefix)),
		n.tokenLoss(n.predict(chunker, c), n.NextTokens(n.tokens, missed, prefix)),
		n.SquaredError(n.weighted(a, stateHead), n.Detach(c)))
	return n.readOnce([]*gorgonia.Node{n.AddRMSNorm(a, c, rmsEpsilon)}, read)
}

// readThrough returns the states [B,T,D] of a network that reads x [B,T,D] position by position, h = tanh(W·x_t + U·h), from a state
// [B,1,D] on. Where a mask [B,T,1] is there and is 0, it keeps its state.
func (n *network) readThrough(at string, x, h, mask *gorgonia.Node) *gorgonia.Node {
	wx := n.weighted(x, at+"input.weight")
	states := make([]*gorgonia.Node, n.model.Positions())
	for t := range states {
		next := n.tanh(n.position(wx, t), n.weighted(h, at+"state.weight"))
		if mask != nil {
			next = n.Blend(n.position(mask, t), next, h)
		}
		h, states[t] = next, next
	}
	return n.Join(graph.Positions, states...)
}

// predict returns the logits [B,S,V] of the tokens after each.
func (n *network) predict(at string, states *gorgonia.Node) *gorgonia.Node {
	return n.DropPrefix(n.weighted(states, at+"token_head.weight"), n.model.Prefix())
}
