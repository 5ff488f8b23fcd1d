package model

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

// Fast weights (Ba et al. 2016, arXiv 1610.06258): a recurrent network with a matrix A of fast weights beside the learned, slow ones.
// A is made of the states of a segment so far, A = λ·A + η·h·hᵀ after each position. A state begins as h = tanh(norm(W·h' + C·x)),
// where h' is the one before, and settles in inner steps, h = tanh(norm(W·h' + C·x + A·h)). A is never made: A·h is attention to the
// past. Where the paper has layer norm, this is the RMS norm without learned weights of the other architectures.

func fastWeightsModules(m *Model) []Parameter {
	d := int(m.Spec.HiddenSize)
	return append([]Parameter{linear(recurrentModule+"input.weight", d, d), linear(recurrentModule+"state.weight", d, d)},
		gateParameters(m, recurrentModule)...)
}

func fastWeightsSegment(n *network, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	spec := &n.model.Spec
	rate, _ := spec.FastRate.Float()
	decay, _ := spec.FastDecay.Float()
	cx := n.weighted(n.combine(recurrentModule, z[0], e), recurrentModule+"input.weight")
	h := n.beforeFirst(z[0])
	states := make([]*gorgonia.Node, n.model.Positions())
	var past *gorgonia.Node
	for t := range states {
		input, state := n.position(cx, t), n.weighted(h, recurrentModule+"state.weight")
		h = n.tanh(n.AddRMSNorm(input, state, rmsEpsilon))
		if t > 0 {
			past = n.Append(past, states[t-1], t-1, len(states))
			slow := n.Add(input, state)
			for range spec.InnerSteps {
				h = n.tanh(n.AddRMSNorm(slow, n.Recall(past, h, t, rate, decay), rmsEpsilon))
			}
		}
		states[t] = h
	}
	return n.readOnce([]*gorgonia.Node{n.Join(graph.Positions, states...)}, read)
}
