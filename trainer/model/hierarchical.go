package model

import (
	"gorgonia.org/gorgonia"
)

// The hierarchical recurrent network (El Hihi and Bengio 1996, "Hierarchical recurrent neural networks for long-term dependencies"): the
// columns of h are levels. The lowest reads the input, each other one the level below, whenever period^level more positions have been
// read; every level sees the one above as that last was. The answer is read off all levels.
//
//	h0_t = tanh(W0·x_t + U0·h0 + V0·h1)
//	hl_t = tanh(Wl·h(l-1)_t + Ul·hl + Vl·h(l+1))    if period^l divides t+1, else it stays

func hierarchicalModules(m *Model) []Parameter {
	d, width, levels := int(m.Spec.HiddenSize), m.levelWidth(), int(m.Spec.Levels)
	var out []Parameter
	for i := range levels {
		below := linear(groupModule(i)+"below.weight", width, width)
		if i == 0 {
			below = inputWeights(below.Name, width, d)
		}
		out = append(out, below, linear(groupModule(i)+"state.weight", width, width))
		if i < levels-1 {
			out = append(out, linear(groupModule(i)+"above.weight", width, width))
		}
	}
	return append(out, gateParameters(m, recurrentModule)...)
}

func hierarchicalSegment(n *network, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	periods := n.model.periods()
	wx := n.weighted(n.combine(recurrentModule, z[0], e), groupModule(0)+"below.weight")
	before := n.beforeFirst(z[0])
	h := make([]*gorgonia.Node, len(periods))
	states := make([][]*gorgonia.Node, len(periods))
	for i := range periods {
		h[i] = n.columns(before, i)
	}
	for t := range n.model.Positions() {
		below := n.position(wx, t)
		for i, period := range periods {
			if (t+1)%period == 0 {
				if i > 0 {
					below = n.weighted(h[i-1], groupModule(i)+"below.weight")
				}
				terms := []*gorgonia.Node{below, n.weighted(h[i], groupModule(i)+"state.weight")}
				if i < len(periods)-1 {
					terms = append(terms, n.weighted(h[i+1], groupModule(i)+"above.weight"))
				}
				h[i] = n.tanh(terms...)
			}
			states[i] = append(states[i], h[i])
		}
	}
	return n.readOnce([]*gorgonia.Node{n.joinLevels(states)}, read)
}
