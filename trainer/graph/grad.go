package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// Gradients differentiates the cost and returns a result "grad/<name>" for each leaf.
func (g *Graph) Gradients(cost *gorgonia.Node, leaves ...*gorgonia.Node) ([]Result, error) {
	if g.err != nil {
		return nil, g.err
	}
	derivatives, err := gorgonia.Grad(cost, leaves...)
	if err != nil {
		return nil, fmt.Errorf("differentiate the cost: %w", err)
	}
	results := make([]Result, len(leaves))
	for i, leaf := range leaves {
		results[i] = Result{Name: "grad/" + g.leaves[leaf].name, Node: derivatives[i]}
	}
	return results, g.err
}
