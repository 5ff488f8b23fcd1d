package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// The axes of a value [B,T,D] along which it is cut and joined.
const (
	Positions = 0
	Columns   = 1
)

// Slice returns n positions [B,n,D] or columns [B,T,n] of x [B,T,D], those from index from on.
func (g *Graph) Slice(x *gorgonia.Node, axis, from, n int) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	shape := x.Shape().Clone()
	if from < 0 || n < 1 || from+n > shape[1+axis] {
		return g.fail("%d from index %d on are not in a value %v along axis %d", n, from, shape[1:], axis)
	}
	shape[1+axis] = n
	attr := device.Attributes{Axis: axis, From: from}
	grad := func(_ *op, _, grad *gorgonia.Node) gorgonia.Nodes {
		return gorgonia.Nodes{g.apply(&op{code: device.OpSliceGrad, operands: 1, attr: attr}, x.Shape(), grad)}
	}
	return g.apply(&op{code: device.OpSlice, operands: 1, attr: attr, wrt: []bool{true}, diff: grad}, shape, x)
}

// Join returns the values [B,T,D] one behind the other along an axis, in all other dimensions of one size: what they are slices of.
func (g *Graph) Join(axis int, xs ...*gorgonia.Node) *gorgonia.Node {
	if g.err != nil {
		return nil
	}
	if len(xs) == 1 {
		return xs[0]
	}
	shape := xs[0].Shape().Clone()
	size := 0
	wrt := make([]bool, len(xs))
	for i, x := range xs {
		if x.Shape()[2-axis] != shape[2-axis] {
			return g.fail("values %v and %v do not join along axis %d", shape[1:], x.Shape()[1:], axis)
		}
		size += x.Shape()[1+axis]
		wrt[i] = true
	}
	shape[1+axis] = size
	grad := func(o *op, _, grad *gorgonia.Node) gorgonia.Nodes { return g.split(grad, axis, o.inputs) }
	return g.apply(&op{code: device.OpJoin, operands: len(xs), attr: device.Attributes{Axis: axis}, wrt: wrt, diff: grad}, shape, xs...)
}

// split cuts what is joined like the values into slices of their sizes.
func (g *Graph) split(joined *gorgonia.Node, axis int, like []*gorgonia.Node) gorgonia.Nodes {
	out := make(gorgonia.Nodes, len(like))
	from := 0
	for i, x := range like {
		n := x.Shape()[1+axis]
		out[i] = g.Slice(joined, axis, from, n)
		from += n
	}
	return out
}
