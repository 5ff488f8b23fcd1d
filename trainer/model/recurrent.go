package model

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

// Networks that are recurrent over the positions read the sequence once in a segment, from the first position to the last. Their input
// at a position is x_t = z_t + e_t, or what the gate makes of both; before the first position they are in the state that the last segment
// left at the last one. In a segment they know nothing of later positions; in the next they do. The gradient goes back through all
// positions of a segment.

// recurrentModule is the only module of a network that has no layers.
const recurrentModule = "recurrent."

// groupModule is where the weights of a group or level of columns are.
func groupModule(i int) string { return fmt.Sprintf("%slevels.%d.", recurrentModule, i) }

// inputGain makes the product of the input small beside that of the state at first, in networks of tanh alone: where tanh is nearly
// linear, the gradient comes through more positions.
const inputGain = 0.2

// inputWeights are those of such a product.
func inputWeights(name string, out, in int) Parameter {
	p := linear(name, out, in)
	p.Std *= inputGain
	return p
}

// levelWidth is how many columns each of the levels has.
func (m *Model) levelWidth() int { return int(m.Spec.HiddenSize / m.Spec.Levels) }

// periods are how many positions lie between two updates of each level: period^level.
func (m *Model) periods() []int {
	out := make([]int, m.Spec.Levels)
	for i, period := 0, 1; i < len(out); i++ {
		out[i] = period
		// What is longer than all sequences is long enough.
		period = min(period*int(m.Spec.Period), m.Positions())
	}
	return out
}

// position is x [B,1,D] at a position of x [B,T,D].
func (n *network) position(x *gorgonia.Node, t int) *gorgonia.Node {
	return n.Slice(x, graph.Positions, t, 1)
}

// beforeFirst is the state [B,1,D] at the last position of the last segment's z [B,T,D].
func (n *network) beforeFirst(z *gorgonia.Node) *gorgonia.Node {
	return n.position(z, n.model.Positions()-1)
}

// columns are as many columns of x [B,T,…] as a level has, behind i times as many.
func (n *network) columns(x *gorgonia.Node, i int) *gorgonia.Node {
	width := n.model.levelWidth()
	return n.Slice(x, graph.Columns, i*width, width)
}

// tanh is tanh(Σ terms).
func (n *network) tanh(terms ...*gorgonia.Node) *gorgonia.Node {
	sum := terms[0]
	if len(terms) > 1 {
		sum = n.Add(terms...)
	}
	return n.Activate(device.Tanh, sum)
}

// weighted is x·Wᵀ.
func (n *network) weighted(x *gorgonia.Node, weight string) *gorgonia.Node {
	return n.Linear(x, n.parameters[weight])
}

// readOnce shows the only moment of a segment at which all positions have an answer.
func (n *network) readOnce(z []*gorgonia.Node, read func(reading)) []*gorgonia.Node {
	if read != nil {
		read(reading{cycle: 1, step: 1, answer: z[0], z: z, whole: true})
	}
	return z
}
