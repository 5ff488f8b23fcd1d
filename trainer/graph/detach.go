package graph

import "gorgonia.org/gorgonia"

// Detach returns x without its derivative: the one-step gradient ends here.
func (g *Graph) Detach(x *gorgonia.Node) *gorgonia.Node {
	if x == nil {
		return nil
	}
	return g.apply(&op{special: detached, operands: 1, wrt: []bool{false}}, x.Shape(), x)
}
