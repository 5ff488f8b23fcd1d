package model

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

// The plain recurrent network (Elman 1990, "Finding structure in time"): h_t = tanh(W·x_t + U·h_{t-1}).

func elmanModules(m *Model) []Parameter {
	d := int(m.Spec.HiddenSize)
	return append([]Parameter{inputWeights(recurrentModule+"input.weight", d, d), linear(recurrentModule+"state.weight", d, d)},
		gateParameters(m, recurrentModule)...)
}

func elmanSegment(n *network, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	wx := n.weighted(n.combine(recurrentModule, z[0], e), recurrentModule+"input.weight")
	h := n.beforeFirst(z[0])
	hs := make([]*gorgonia.Node, n.model.Positions())
	for t := range hs {
		h = n.tanh(n.position(wx, t), n.weighted(h, recurrentModule+"state.weight"))
		hs[t] = h
	}
	return n.readOnce([]*gorgonia.Node{n.Join(graph.Positions, hs...)}, read)
}
