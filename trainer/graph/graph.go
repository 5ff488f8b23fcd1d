// Package graph declares models as Gorgonia graphs of fused operations, lets gorgonia.Grad differentiate them, and
// translates the result to a flat device.Program with planned buffers.
//
// There is one file per operation, with its shape rule, its instruction and its derivative. Letters in shapes:
// B rows of the batch, T positions (prefix and tokens), S tokens, D hidden size, V vocabulary, F SwiGLU width, h heads.
package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Kind says how a value is stored by the program; in the Gorgonia graph all but Ints are float32.
type Kind uint8

// The kinds of values.
const (
	// Activation is stored in the program's activation type.
	Activation Kind = iota
	// Float is float32 whatever the activation type.
	Float
	// Int is int32.
	Int
)

// leaf is an input or a parameter of the graph.
type leaf struct {
	name string
	role device.Role
	kind Kind
}

// Graph is a model under construction. The first error sticks, and what is applied after it does nothing, so that a
// model reads as its equations; Err tells it.
type Graph struct {
	// Gorgonia is the graph itself, for gorgonia.Grad and the tape machine.
	Gorgonia *gorgonia.ExprGraph

	batch  int
	leaves map[*gorgonia.Node]leaf
	// terms are those whose sum a node's derivative is, in the order in which they were made.
	terms map[*gorgonia.Node]gorgonia.Nodes
	// known is how many nodes Gorgonia finds without a search.
	known int
	err   error
}

// New returns an empty graph for batches of so many rows. The number of rows matters to the tape machine only.
func New(batch int) *Graph {
	return &Graph{Gorgonia: gorgonia.NewGraph(), batch: batch, leaves: map[*gorgonia.Node]leaf{}, terms: map[*gorgonia.Node]gorgonia.Nodes{}}
}

// Err returns the first error of building.
func (g *Graph) Err() error { return g.err }

func (g *Graph) fail(format string, args ...any) *gorgonia.Node {
	if g.err == nil {
		g.err = fmt.Errorf(format, args...)
	}
	return nil
}

// Parameter declares weights that all rows share.
func (g *Graph) Parameter(name string, shape ...int) *gorgonia.Node {
	return g.leaf(leaf{name, device.Parameter, Float}, shape)
}

// Input declares a value with one block of shape per row.
func (g *Graph) Input(name string, kind Kind, shape ...int) *gorgonia.Node {
	return g.leaf(leaf{name, device.Input, kind}, append([]int{g.batch}, shape...))
}

func (g *Graph) leaf(l leaf, shape []int) *gorgonia.Node {
	for _, other := range g.leaves {
		if other.name == l.name {
			return g.fail("two leaves of the graph are called %s", l.name)
		}
	}
	dtype := tensor.Float32
	if l.kind == Int {
		dtype = tensor.Int32
	}
	n := gorgonia.NewTensor(g.Gorgonia, dtype, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(l.name))
	g.leaves[n] = l
	return n
}

// apply adds an operation to the graph. Its output is float32 of the given shape.
func (g *Graph) apply(o *op, shape tensor.Shape, inputs ...*gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	for i, in := range inputs {
		if in == nil {
			return g.fail("%s: input %d is missing", o.code, i)
		}
	}
	// The caller may go on to change a slice that it has passed.
	inputs = slices.Clone(inputs)
	g.index()
	o.graph, o.inputs, o.shape, o.id = g, inputs, shape, nextID.Add(1)
	n, err := gorgonia.ApplyOp(o, inputs...)
	if err != nil {
		return g.fail("%s: %w", o.code, err)
	}
	return n
}

// rowShape returns the shape of a node's block per row.
func rowShape(n *gorgonia.Node) []int { return n.Shape()[1:] }

// with returns the shape of n with its last dimension replaced.
func with(n *gorgonia.Node, last int) tensor.Shape {
	s := n.Shape().Clone()
	s[len(s)-1] = last
	return s
}
