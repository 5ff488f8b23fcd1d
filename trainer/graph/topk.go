package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// TopK returns a mask [B,T,1]: 1 at the count positions of the largest scores [B,T,1], of those where the mask among is 1, and 0
// elsewhere. Without among it is of all. No gradient passes it.
func (g *Graph) TopK(scores, among *gorgonia.Node, count int) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	inputs := []*gorgonia.Node{scores}
	if among != nil {
		inputs = append(inputs, among)
	}
	return g.apply(&op{code: device.OpTopK, operands: len(inputs), attr: device.Attributes{Count: count}}, scores.Shape(), inputs...)
}
