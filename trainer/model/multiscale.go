package model

import (
	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

// The hierarchical multiscale recurrent network (arXiv 1609.01704): levels of LSTM cells c with states h, each of which but the highest
// finds boundaries b in what it reads (the paper's z, which is another letter here). At a boundary it hands its state to the level above
// and begins anew. With b the level's own boundary at the position before, and b' that of the level below now:
//
//	UPDATE  b=0, b'=1:  c = f·c + i·g,  h = o·tanh(c)
//	COPY    b=0, b'=0:  c and h stay
//	FLUSH   b=1:        c = i·g,        h = o·tanh(c)
//
// The gates f, i, o, the candidate g and the boundary come from the level's own state, from that of the level above where b=1, and from
// that of the level below where b'=1; the lowest reads the input, always. A boundary is a step whose gradient is that of a hard sigmoid.
// The answer is read off all levels, each weighted by a gate.
//
// From segment to segment go, beside the answer z, the cells; a level then begins with h = tanh(c) and no boundary.

const (
	boundary = 1
	// gates is how many times as wide as a level f, i, o and g are together.
	gates = 4
)

func multiscaleModules(m *Model) []Parameter {
	d, width, levels := int(m.Spec.HiddenSize), m.levelWidth(), int(m.Spec.Levels)
	out := []Parameter{linear(recurrentModule+"output.gate.weight", levels, d)}
	for l := range levels {
		rows := gates*width + boundary
		if l == levels-1 {
			rows = gates * width
		}
		from := width
		if l == 0 {
			from = d
		}
		out = append(out, linear(groupModule(l)+"below.weight", rows, from), linear(groupModule(l)+"state.weight", rows, width))
		if l < levels-1 {
			out = append(out, linear(groupModule(l)+"above.weight", rows, width))
		}
	}
	return append(out, gateParameters(m, recurrentModule)...)
}

// cell is a level at a position: cell and state [B,1,width], and the boundary [B,1,1] that it has found, nil if it has none.
type cell struct{ c, h, boundary *gorgonia.Node }

func multiscaleSegment(n *network, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node {
	levels := int(n.model.Spec.Levels)
	wx := n.weighted(n.combine(recurrentModule, z[0], e), groupModule(0)+"below.weight")
	before := n.beforeFirst(z[1])
	now := make([]cell, levels)
	cs, hs := make([][]*gorgonia.Node, levels), make([][]*gorgonia.Node, levels)
	for l := range now {
		c := n.columns(before, l)
		now[l] = cell{c: c, h: n.tanh(c)}
	}
	for t := range n.model.Positions() {
		input := n.position(wx, t)
		for l := range now {
			now[l] = n.multiscaleCell(l, now, input)
			cs[l], hs[l] = append(cs[l], now[l].c), append(hs[l], now[l].h)
		}
	}
	return n.readOnce([]*gorgonia.Node{n.gatedLevels(hs), n.joinLevels(cs)}, read)
}

// multiscaleCell returns level l at a position: those below are at that position already, this and those above at the one before. input is the product of
// what the lowest level reads.
func (n *network) multiscaleCell(l int, at []cell, input *gorgonia.Node) cell {
	width, last := n.model.levelWidth(), at[l]
	terms := []*gorgonia.Node{input, n.weighted(last.h, groupModule(l)+"state.weight")}
	if l > 0 {
		terms[0] = n.weighted(n.Multiply(at[l-1].h, at[l-1].boundary), groupModule(l)+"below.weight")
	}
	if last.boundary != nil {
		terms = append(terms, n.weighted(n.Multiply(at[l+1].h, last.boundary), groupModule(l)+"above.weight"))
	}
	sum := n.Add(terms...)
	s := n.Activate(device.Sigmoid, n.Slice(sum, graph.Columns, 0, 3*width))
	f, i, o := n.columns(s, 0), n.columns(s, 1), n.columns(s, 2)
	g := n.tanh(n.columns(sum, 3))
	ig := n.Multiply(g, i)
	next := cell{c: n.Add(n.Multiply(last.c, f), ig)}
	if last.boundary != nil {
		next.c = n.Blend(last.boundary, ig, next.c)
	}
	next.h = n.Multiply(n.tanh(next.c), o)
	if l > 0 {
		next.c, next.h = n.unlessCopied(l, at, next.c, last.c), n.unlessCopied(l, at, next.h, last.h)
	}
	if l < len(at)-1 {
		next.boundary = n.Activate(device.Step, n.Slice(sum, graph.Columns, gates*width, boundary))
	}
	return next
}

// unlessCopied is next where level l has had a boundary before, or the level below has one now; else it is last.
func (n *network) unlessCopied(l int, at []cell, next, last *gorgonia.Node) *gorgonia.Node {
	x := n.Blend(at[l-1].boundary, next, last)
	if at[l].boundary != nil {
		x = n.Blend(at[l].boundary, next, x)
	}
	return x
}

// gatedLevels is [B,T,D] of the states of all levels at all positions, each level weighted by a number that is made of all of them.
func (n *network) gatedLevels(states [][]*gorgonia.Node) *gorgonia.Node {
	all := n.joinLevels(states)
	gate := n.Activate(device.Sigmoid, n.weighted(all, recurrentModule+"output.gate.weight"))
	columns := make([]*gorgonia.Node, len(states))
	for l := range columns {
		columns[l] = n.Multiply(n.columns(all, l), n.Slice(gate, graph.Columns, l, 1))
	}
	return n.Join(graph.Columns, columns...)
}
