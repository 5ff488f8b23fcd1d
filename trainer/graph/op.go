package graph

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"sync/atomic"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

// nextID tells operations apart: Gorgonia merges nodes whose 32-bit hashes are equal.
var nextID atomic.Uint64

// special operations exist in the graph only.
type special uint8

const (
	// ordinary operations become an instruction.
	ordinary special = iota
	// detached is its input, but no gradient passes it. The program has no copy of it.
	detached
	// summed is the scalar cost, which the program does not need.
	summed
)

// side is what a backward instruction needs of its forward one besides values of the graph, for example the
// log-sum-exp of attention. Both share it.
type side struct {
	shape  []int
	values *device.HostArray
}

// op is one fused operation: a gorgonia.SDOp that knows its instruction.
type op struct {
	code    device.Opcode
	attr    device.Attributes
	special special
	kind    Kind
	// operands is how many of the inputs the instruction takes; the rest only orders or sizes.
	operands int
	// absent has bit i set if operand i of the instruction is NoValue; inputs fill the others in order.
	absent uint
	// within says that the output is the first input with something written into it: the program has one value for both, which is
	// no operand of the instruction.
	within bool
	// gradient says that the output is the gradient of a parameter, summed over rows.
	gradient bool
	side     *side
	// wrt says which inputs have a derivative; diff makes them.
	wrt  []bool
	diff func(o *op, output, grad *gorgonia.Node) gorgonia.Nodes

	graph  *Graph
	inputs []*gorgonia.Node
	shape  tensor.Shape
	id     uint64
}

// Arity returns the number of inputs.
func (o *op) Arity() int { return len(o.inputs) }

// Type is the operation's type: concrete, since every operation belongs to one node.
func (o *op) Type() hm.Type {
	types := make([]hm.Type, 0, len(o.inputs)+1)
	for _, in := range o.inputs {
		types = append(types, typeOf(in.Dtype(), in.Dims()))
	}
	dtype := tensor.Float32
	if o.kind == Int {
		dtype = tensor.Int32
	}
	return hm.NewFnType(append(types, typeOf(dtype, len(o.shape)))...)
}

func typeOf(dtype tensor.Dtype, dims int) hm.Type {
	if dims == 0 {
		return dtype
	}
	return gorgonia.TensorType{Dims: dims, Of: dtype}
}

// InferShape returns the output's shape.
func (o *op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return o.shape.Clone(), nil }

// ReturnsPtr says that the output is memory of its own.
func (o *op) ReturnsPtr() bool { return true }

// CallsExtern is false: true would allocate per operation.
func (o *op) CallsExtern() bool { return false }

// OverwritesInput is -1: no input is touched.
func (o *op) OverwritesInput() int { return -1 }

// WriteHash writes what no other operation writes.
func (o *op) WriteHash(h hash.Hash) {
	_ = binary.Write(h, binary.LittleEndian, o.id)
	_, _ = h.Write([]byte(o.String()))
}

// Hashcode returns the operation's hash.
func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// String names the operation.
func (o *op) String() string {
	switch o.special {
	case detached:
		return "Detach"
	case summed:
		return "Cost"
	}
	return o.code.String()
}

// DiffWRT says which inputs have a derivative.
func (o *op) DiffWRT(inputs int) []bool {
	if o.wrt == nil {
		return make([]bool, inputs)
	}
	return o.wrt
}

// SymDiff applies the operations that compute the derivatives.
func (o *op) SymDiff(_ gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	out := o.diff(o, output, grad)
	for i, in := range o.inputs {
		if o.wrt[i] {
			o.graph.terms[in] = append(o.graph.terms[in], out[i])
		}
	}
	return out, o.graph.err
}

// Do computes the operation for the tape machine, which serves the tests as an oracle: by the reference device.
func (o *op) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	switch o.special {
	case detached:
		return gorgonia.CloneValue(inputs[0])
	case summed:
		return o.sum(inputs), nil
	}
	values, arrays, err := o.bind(inputs)
	if err != nil {
		return nil, err
	}
	ins := o.instruction(func(i int) int { return i }, len(o.inputs))
	ins.Aux = len(o.inputs) + 1
	if err := reference.Execute(&ins, values, o.graph.batch, arrays); err != nil {
		return nil, err
	}
	var out any
	if o.kind == Int {
		out, err = device.ReadInts(arrays[len(o.inputs)], 0, o.shape.TotalSize())
	} else {
		out, err = device.ReadFloats(arrays[len(o.inputs)], 0, o.shape.TotalSize())
	}
	if err != nil {
		return nil, err
	}
	return tensor.New(tensor.WithShape(o.shape...), tensor.WithBacking(out)), nil
}

// bind describes the inputs, then the output, then the side buffer, as the reference device wants them.
func (o *op) bind(inputs []gorgonia.Value) ([]device.Value, []device.Array, error) {
	var values []device.Value
	var arrays []device.Array
	for i, in := range inputs {
		v := o.graph.value(o.inputs[i], device.Float32)
		array := device.NewHostArray(v.DType, in.Size())
		var err error
		if ints, ok := in.Data().([]int32); ok {
			err = device.WriteInts(array, 0, ints)
		} else if floats, ok := in.Data().([]float32); ok {
			err = device.WriteFloats(array, 0, floats)
		} else {
			err = fmt.Errorf("%s: input %d is %T", o, i, in.Data())
		}
		if err != nil {
			return nil, nil, err
		}
		values, arrays = append(values, v), append(arrays, array)
	}
	out := o.output(device.Float32)
	values, arrays = append(values, out), append(arrays, device.NewHostArray(out.DType, o.shape.TotalSize()))
	if o.within {
		copy(arrays[len(o.inputs)].(*device.HostArray).Bytes(), arrays[0].(*device.HostArray).Bytes())
	}
	if o.side != nil {
		v := o.sideValue()
		if o.side.values == nil {
			o.side.values = device.NewHostArray(device.Float32, v.Elements()*o.graph.batch)
		}
		values, arrays = append(values, v), append(arrays, o.side.values)
	}
	return values, arrays, nil
}

// instruction returns the instruction with operands named by place(input) and the output by out.
func (o *op) instruction(place func(int) int, out int) device.Instruction {
	ins := device.Instruction{Op: o.code, Attr: o.attr, Out: out, Aux: device.NoValue}
	first := 0
	if o.within {
		first = 1
	}
	for operand, input := 0, first; input < first+o.operands; operand++ {
		if o.absent&(1<<operand) != 0 {
			ins.In = append(ins.In, device.NoValue)
			continue
		}
		ins.In = append(ins.In, place(input))
		input++
	}
	return ins
}

// output describes the value that the operation makes.
func (o *op) output(act device.DType) device.Value {
	if o.gradient {
		return device.Value{Role: device.Gradient, DType: device.Float32, Shape: o.shape}
	}
	return device.Value{Name: o.String(), DType: o.kind.dtype(act), Rows: true, Shape: o.shape[1:]}
}

func (o *op) sideValue() device.Value {
	return device.Value{Name: o.String() + ".side", DType: device.Float32, Rows: true, Shape: o.side.shape}
}

func (k Kind) dtype(act device.DType) device.DType {
	switch k {
	case Int:
		return device.Int32
	case Float:
		return device.Float32
	}
	return act
}

// value describes the value of any node.
func (g *Graph) value(n *gorgonia.Node, act device.DType) device.Value {
	if l, ok := g.leaves[n]; ok {
		v := device.Value{Name: l.name, Role: l.role, DType: l.kind.dtype(act), Shape: n.Shape()}
		if l.role == device.Input {
			v.Rows, v.Shape = true, rowShape(n)
		}
		return v
	}
	if o, ok := n.Op().(*op); ok {
		return o.output(act)
	}
	// Gorgonia's own sum of two gradients.
	return device.Value{Name: "sum", DType: act, Rows: true, Shape: rowShape(n)}
}
