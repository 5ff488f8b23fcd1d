package model

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// The Mixture-of-Recursions (arXiv 2507.10524) passes through its layers f again and again, at ever fewer positions: before recursion
// r of N a router scores the positions of the recursion before, and the (N-r+1)/N of all that have the best scores go on (expert
// choice with hierarchical filtering). Of these, h becomes h + g·f(h) with g = σ(score), as in the paper, and is normed, as all sums
// are here. The others keep their state, and are seen by those that go on. All tokens are there from the beginning, so that the
// choice looks at nothing to come, and needs none of the paper's auxiliary losses. f is computed at all positions nevertheless.

const recursiveLevel = "R_level."

func routerOf(recursion int32) string {
	return fmt.Sprintf("%srouters.%d.weight", recursiveLevel, recursion)
}

func mixtureModules(m *Model) []Parameter {
	out := stackParameters(m, recursiveLevel, m.Spec.Layers)
	for r := range m.Spec.Recursions {
		out = append(out, linear(routerOf(r), 1, int(m.Spec.HiddenSize)))
	}
	return out
}

func mixtureSegment(n *network, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	h := n.combine(recursiveLevel, z[0], e)
	spec, positions := &n.model.Spec, n.model.Positions()
	all := int(spec.Recursions)
	var chosen *gorgonia.Node
	for r := range all {
		scores := n.Linear(h, n.parameters[routerOf(int32(r))])
		weight := n.Activate(device.Sigmoid, scores)
		if r > 0 {
			chosen = n.TopK(scores, chosen, (positions*(all-r)+all-1)/all)
			weight = n.Multiply(weight, chosen)
		}
		f := n.pass(h, spec.Layers, layersOf(recursiveLevel), nil)
		h = n.AddRMSNorm(h, n.Multiply(f, weight), rmsEpsilon)
		if read != nil {
			read(n.wholeReading(1, r+1, h))
		}
	}
	return []*gorgonia.Node{h}
}
