package model

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

// The Clockwork RNN (arXiv 1402.3511): the columns of h are groups with clocks of their own. Group i is updated at the positions t with
// t mod T_i = 0, T_i = period^i, by the groups that are as slow as it is or slower, of the position before, and keeps its state at all
// others: h_t = tanh(W_i·x_t + U_i·h_{t-1}).

func clockworkModules(m *Model) []Parameter {
	d, width := int(m.Spec.HiddenSize), m.levelWidth()
	out := []Parameter{inputWeights(recurrentModule+"input.weight", d, d)}
	for i := range int(m.Spec.Levels) {
		out = append(out, linear(groupModule(i)+"state.weight", width, d-i*width))
	}
	return append(out, gateParameters(m, recurrentModule)...)
}

func clockworkSegment(n *network, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	periods := n.model.periods()
	wx := n.weighted(n.combine(recurrentModule, z[0], e), recurrentModule+"input.weight")
	before := n.beforeFirst(z[0])
	inputs, h := make([]*gorgonia.Node, len(periods)), make([]*gorgonia.Node, len(periods))
	states := make([][]*gorgonia.Node, len(periods))
	for i := range periods {
		inputs[i], h[i] = n.columns(wx, i), n.columns(before, i)
	}
	for t := range n.model.Positions() {
		// Groups come from fast to slow, so that the slower ones are still as they were.
		for i, period := range periods {
			if t%period == 0 {
				slower := n.Join(graph.Columns, h[i:]...)
				h[i] = n.tanh(n.position(inputs[i], t), n.weighted(slower, groupModule(i)+"state.weight"))
			}
			states[i] = append(states[i], h[i])
		}
	}
	return n.readOnce([]*gorgonia.Node{n.joinLevels(states)}, read)
}

// joinLevels is [B,T,D] of the states of all levels at all positions.
func (n *network) joinLevels(states [][]*gorgonia.Node) *gorgonia.Node {
	columns := make([]*gorgonia.Node, len(states))
	for i := range states {
		columns[i] = n.Join(graph.Positions, states[i]...)
	}
	return n.Join(graph.Columns, columns...)
}
