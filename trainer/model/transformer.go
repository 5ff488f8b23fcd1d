package model

import "gorgonia.org/gorgonia"

// The Transformer (arXiv 1706.03762, encoder) predicts directly: z = f(z, e), one pass through its layers. With act.maxSteps 1
// that is all; with more, its state is refined in as many segments under deep supervision, as the official code's baseline is.

func transformerModules(m *Model) []Parameter { return stackParameters(m, highLevel, m.Spec.Layers) }

func transformerSegment(n *network, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	return []*gorgonia.Node{n.pass(n.combine(highLevel, z[0], e), n.model.Spec.Layers, layersOf(highLevel), read)}
}
