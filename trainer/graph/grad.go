package graph

import (
	"fmt"
	"sync"

	"gorgonia.org/gorgonia"
)

// differentiating is held while Gorgonia differentiates: its constant one is in all graphs of the process, and is changed when
// the first asks for its hash.
var differentiating sync.Mutex

// Gradients differentiates the cost and returns a result "grad/<name>" for each leaf.
func (g *Graph) Gradients(cost *gorgonia.Node, leaves ...*gorgonia.Node) ([]Result, error) {
	if g.err != nil {
		return nil, g.err
	}
	differentiating.Lock()
	derivatives, err := gorgonia.Grad(cost, leaves...)
	differentiating.Unlock()
	if err != nil {
		return nil, fmt.Errorf("differentiate the cost: %w", err)
	}
	results := make([]Result, len(leaves))
	for i, leaf := range leaves {
		results[i] = Result{Name: "grad/" + g.leaves[leaf].name, Node: derivatives[i]}
	}
	return results, g.err
}
