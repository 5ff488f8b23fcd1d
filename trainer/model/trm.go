package model

import "gorgonia.org/gorgonia"

// The Tiny Recursive Model (arXiv 2510.04871): HRM's recurrence with one network in the place of both modules. What the paper
// calls the answer y is zH, its latent z is zL. With act.halting QHalt there is no Q target, and by default the gradient goes
// through the whole last cycle.

func trmModules(m *Model) []Parameter { return stackParameters(m, lowLevel, m.Spec.Layers) }

func trmSegment(n *network, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	f := func(state *gorgonia.Node, inputs ...*gorgonia.Node) *gorgonia.Node {
		return n.stack(lowLevel, n.model.Spec.Layers, state, inputs...)
	}
	fL := func(zL, zH, e *gorgonia.Node) *gorgonia.Node { return f(zL, zH, e) }
	fH := func(zH, zL *gorgonia.Node) *gorgonia.Node { return f(zH, zL) }
	return n.twoLevels(fL, fH, z, e, read)
}
