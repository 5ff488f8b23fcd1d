package graph

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Result names a node whose value the program is to deliver. The derivative of a parameter is delivered by its own
// gradient instructions, which add to one Gradient value.
type Result struct {
	Name string
	Node *gorgonia.Node
}

// step is one instruction to be, between the graph and the program. Values are numbers into compiler.values.
type step struct {
	node *gorgonia.Node
	ins  device.Instruction
}

// compiler holds a program under translation.
type compiler struct {
	graph   *Graph
	act     device.DType
	values  []device.Value
	numbers map[*gorgonia.Node]int
	sides   map[*side]int
	// gradients are the derivatives of parameters, and the sums on the way to them.
	gradients map[*gorgonia.Node]bool
	steps     []step
}

// Compile translates what the results need of the graph to a program whose activations are stored as act.
func (g *Graph) Compile(name string, act device.DType, results []Result) (*device.Program, error) {
	if g.err != nil {
		return nil, g.err
	}
	c := &compiler{graph: g, act: act, numbers: map[*gorgonia.Node]int{}, sides: map[*side]int{}, gradients: map[*gorgonia.Node]bool{}}
	order, err := c.order(results)
	if err != nil {
		return nil, fmt.Errorf("program %s: %w", name, err)
	}
	if err := c.name(results); err != nil {
		return nil, fmt.Errorf("program %s: %w", name, err)
	}
	c.list(order)
	c.accumulate()
	c.narrow()
	p := &device.Program{Name: name, ArenaBytes: c.plan(), Values: c.values}
	for _, s := range c.steps {
		p.Instructions = append(p.Instructions, s.ins)
	}
	return p, p.Check()
}

// children returns what a node is computed from; a detached node is its input.
func children(n *gorgonia.Node) []*gorgonia.Node {
	if o, ok := n.Op().(*op); ok {
		return o.inputs
	}
	var out []*gorgonia.Node
	for it := n.Graph().From(n.ID()); it != nil && it.Next(); {
		out = append(out, it.Node().(*gorgonia.Node))
	}
	return out
}

// order returns the nodes that the results need, in the order in which the model and its derivative were written, which
// puts every node behind what it is computed from.
func (c *compiler) order(results []Result) ([]*gorgonia.Node, error) {
	needed := map[*gorgonia.Node]bool{}
	var visit func(n *gorgonia.Node)
	visit = func(n *gorgonia.Node) {
		if needed[n] {
			return
		}
		needed[n] = true
		for _, child := range children(n) {
			visit(child)
		}
	}
	for _, r := range results {
		if r.Node == nil {
			return nil, fmt.Errorf("result %s has no node", r.Name)
		}
		visit(r.Node)
	}
	var out []*gorgonia.Node
	position := map[*gorgonia.Node]int{}
	for _, n := range c.graph.Gorgonia.AllNodes() {
		if !needed[n] {
			continue
		}
		position[n] = len(out)
		out = append(out, n)
		for _, child := range children(n) {
			if _, ok := position[child]; !ok {
				return nil, fmt.Errorf("%v comes before %v, which it is computed from", n, child)
			}
		}
	}
	return out, nil
}

// name gives the results their values. The terms of a parameter's derivative share one: they add to it.
func (c *compiler) name(results []Result) error {
	for _, r := range results {
		n := resolve(r.Node)
		if _, ok := c.numbers[n]; ok {
			return fmt.Errorf("%s is a result already", r.Name)
		}
		term := firstTerm(n)
		if o, ok := term.Op().(*op); !ok || !o.gradient {
			v := c.graph.value(n, c.act)
			v.Name, v.Role = r.Name, device.Output
			c.numbers[n] = c.add(v)
			continue
		}
		c.nameTerms(n, c.add(device.Value{Name: r.Name, Role: device.Gradient, DType: device.Float32, Shape: term.Shape()}))
	}
	return nil
}

// firstTerm is the first of those whose sum Gorgonia has made n.
func firstTerm(n *gorgonia.Node) *gorgonia.Node {
	for {
		terms := children(n)
		if _, fused := n.Op().(*op); fused || len(terms) == 0 {
			return n
		}
		n = terms[0]
	}
}

// nameTerms gives a parameter's derivative and all its terms their value.
func (c *compiler) nameTerms(n *gorgonia.Node, number int) {
	c.numbers[n], c.gradients[n] = number, true
	if _, fused := n.Op().(*op); fused {
		return
	}
	for _, term := range children(n) {
		c.nameTerms(term, number)
	}
}

// resolve follows detached nodes to what they are copies of, and what was written into another value to that one.
func resolve(n *gorgonia.Node) *gorgonia.Node {
	for {
		o, ok := n.Op().(*op)
		if !ok || o.special != detached && !o.within {
			return n
		}
		n = o.inputs[0]
	}
}

func (c *compiler) add(v device.Value) int {
	c.values = append(c.values, v)
	return len(c.values) - 1
}

func (c *compiler) number(n *gorgonia.Node) int {
	n = resolve(n)
	if i, ok := c.numbers[n]; ok {
		return i
	}
	i := c.add(c.graph.value(n, c.act))
	c.numbers[n] = i
	return i
}

// list writes a step for every node that computes something.
func (c *compiler) list(order []*gorgonia.Node) {
	for _, n := range order {
		if _, leaf := c.graph.leaves[n]; leaf {
			continue
		}
		o, fused := n.Op().(*op)
		switch {
		case fused && o.special == ordinary:
			ins := o.instruction(func(i int) int { return c.number(o.inputs[i]) }, c.number(n))
			if o.side != nil {
				ins.Aux = c.side(o)
			}
			c.steps = append(c.steps, step{n, ins})
		case !fused && len(children(n)) == 2 && !c.gradients[n]:
			a, b := children(n)[0], children(n)[1]
			ins := device.Instruction{Op: device.OpAdd, In: []int{c.number(a), c.number(b)}, Out: c.number(n), Aux: device.NoValue}
			c.steps = append(c.steps, step{n, ins})
		}
	}
}

func (c *compiler) side(o *op) int {
	if i, ok := c.sides[o.side]; ok {
		return i
	}
	c.sides[o.side] = c.add(o.sideValue())
	return c.sides[o.side]
}

// interval is a temporary's life, from the step that first writes it to the last that reads it.
type interval struct {
	value, from, to, bytes int
}

const alignment = 64

// lives returns the lives of all temporaries, in order of their beginning.
func (c *compiler) lives() []interval {
	byValue := map[int]*interval{}
	for i, s := range c.steps {
		for _, v := range append([]int{s.ins.Out, s.ins.Aux}, s.ins.In...) {
			if v == device.NoValue || c.values[v].Role != device.Temporary {
				continue
			}
			if byValue[v] == nil {
				size := c.values[v].Elements() * c.values[v].DType.Size()
				byValue[v] = &interval{value: v, from: i, bytes: (size + alignment - 1) / alignment * alignment}
			}
			byValue[v].to = i
		}
	}
	out := make([]interval, 0, len(byValue))
	for _, life := range byValue {
		out = append(out, *life)
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].from != out[j].from {
			return out[i].from < out[j].from
		}
		return out[i].value < out[j].value
	})
	return out
}

// plan places the temporaries in the arena and returns its bytes per row: each goes to the lowest gap between those
// that live at the same time.
func (c *compiler) plan() int {
	// alive are in order of their places, ended are by the step that is their last.
	var alive []interval
	ended := map[int][]interval{}
	size, step := 0, 0
	for _, life := range c.lives() {
		for ; step < life.from; step++ {
			for _, other := range ended[step] {
				i := c.placed(alive, c.values[other.value].Offset)
				alive = slices.Delete(alive, i, i+1)
			}
		}
		at := 0
		for _, other := range alive {
			begin := c.values[other.value].Offset
			if at+life.bytes <= begin {
				break
			}
			at = max(at, begin+other.bytes)
		}
		c.values[life.value].Offset = at
		size = max(size, at+life.bytes)
		alive = slices.Insert(alive, c.placed(alive, at), life)
		ended[life.to] = append(ended[life.to], life)
	}
	return size
}

// placed returns the index of the first of the living that begins at an offset or behind it.
func (c *compiler) placed(alive []interval, offset int) int {
	i, _ := slices.BinarySearchFunc(alive, offset, func(life interval, offset int) int { return cmp.Compare(c.values[life.value].Offset, offset) })
	return i
}
