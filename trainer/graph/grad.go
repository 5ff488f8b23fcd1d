package graph

import (
	"errors"
	"fmt"
	"sync"

	"gorgonia.org/gorgonia"
)

// differentiating is held while Gorgonia differentiates: its constant one is in all graphs of the process, and is changed when
// the first asks for its hash.
var differentiating sync.Mutex

// ErrMerged says that Gorgonia has taken two sums for one, since their 32-bit hashes are equal. The same graph built anew has other
// hashes.
var ErrMerged = errors.New("two sums of gradients have the same hash")

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
	if err := g.checkSums(); err != nil {
		return nil, err
	}
	results := make([]Result, len(leaves))
	for i, leaf := range leaves {
		results[i] = Result{Name: "grad/" + g.leaves[leaf].name, Node: derivatives[i]}
	}
	return results, g.err
}

// checkSums reports a derivative that is not the sum of its terms.
func (g *Graph) checkSums() error {
	for n, terms := range g.terms {
		sum := n.Deriv()
		if sum == nil {
			continue
		}
		for i := len(terms) - 1; i > 0; i-- {
			parts := children(sum)
			if _, fused := sum.Op().(*op); fused || len(parts) != 2 || parts[1] != terms[i] {
				return fmt.Errorf("differentiate %v: %w", n, ErrMerged)
			}
			sum = parts[0]
		}
		if sum != terms[0] {
			return fmt.Errorf("differentiate %v: %w", n, ErrMerged)
		}
	}
	return nil
}
