package model

import (
	"maps"

	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// The Hierarchical Reasoning Model (arXiv 2506.21734). Letters are the paper's: zH and zL are the states of the high- and the
// low-level module, e the embedded input.

func hrmStates(spec *v1alpha1.ModelSpec) []State {
	if spec.TwoLevels() {
		return twoStates(spec)
	}
	return oneState(spec)
}

func hrmModules(m *Model) []Parameter {
	out := stackParameters(m, highLevel, m.Spec.HLayers)
	if m.Spec.TwoLevels() {
		out = append(out, stackParameters(m, lowLevel, m.Spec.LLayers)...)
	}
	return out
}

func hrmSegment(n *network, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	// zL = f_L(zL, zH + e) and zH = f_H(zH, zL).
	fL := func(zL, zH, e *gorgonia.Node) *gorgonia.Node {
		return n.stack(lowLevel, n.model.Spec.LLayers, zL, zH, e)
	}
	fH := func(zH, zL *gorgonia.Node) *gorgonia.Node { return n.stack(highLevel, n.model.Spec.HLayers, zH, zL) }
	if n.model.Spec.TwoLevels() {
		return n.twoLevels(fL, fH, z, e, read)
	}
	return n.oneLevel(fH, z, e, read)
}

// twoLevels runs hCycles times lCycles updates of zL by fL, each cycle followed by one of zH by fH. The gradient goes back
// through the last of them only (paper, section "Approximate gradient"): by default through one of each.
//
// In between, an answer is read off as if the high-level module had its turn then: f_H(zH, zL) (paper, section "Visualization
// of intermediate timesteps").
func (n *network) twoLevels(fL func(zL, zH, e *gorgonia.Node) *gorgonia.Node, fH func(zH, zL *gorgonia.Node) *gorgonia.Node,
	z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	spec := &n.model.Spec
	cycles, steps := int(spec.HCycles), int(spec.LCycles)
	rest := cycles * (steps + 1)
	reach := reachOf(spec, rest, 2, steps+1)
	turn := func() {
		if rest == reach {
			z = n.detach(z)
		}
		rest--
	}
	for cycle := range cycles {
		for step := range steps {
			turn()
			z = []*gorgonia.Node{z[0], fL(z[1], z[0], e)}
			if read != nil && step < steps-1 {
				qkv := maps.Clone(n.qkv)
				read(reading{cycle + 1, step + 1, fH(z[0], z[1]), z, false, qkv})
			}
		}
		turn()
		z = []*gorgonia.Node{fH(z[0], z[1]), z[1]}
		if read != nil {
			read(reading{cycle + 1, steps, z[0], z, true, maps.Clone(n.qkv)})
		}
	}
	return z
}

// oneLevel runs hCycles updates z = f(z, e) of the only state.
func (n *network) oneLevel(f func(z, e *gorgonia.Node) *gorgonia.Node, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	cycles := int(n.model.Spec.HCycles)
	reach := reachOf(&n.model.Spec, cycles, 1, 1)
	for cycle := range cycles {
		if cycles-cycle == reach {
			z = n.detach(z)
		}
		z = []*gorgonia.Node{f(z[0], e)}
		if read != nil {
			read(reading{cycle + 1, 1, z[0], z, true, maps.Clone(n.qkv)})
		}
	}
	return z
}

// reachOf is through how many of a segment's last updates the gradient goes: of all there are, those of one step, or those of
// one cycle.
func reachOf(spec *v1alpha1.ModelSpec, all, oneStep, cycle int) int {
	switch spec.Gradient {
	case v1alpha1.GradientFull:
		return all
	case v1alpha1.GradientLastCycle:
		return cycle
	case v1alpha1.GradientOneStep:
		return oneStep
	case v1alpha1.GradientSteps:
		return min(all, int(spec.GradientSteps))
	}
	if spec.Architecture == v1alpha1.ArchitectureTRM {
		return cycle
	}
	return oneStep
}
