//go:build onednn && cgo && linux

package cpu

// #include <stdlib.h>
// #include "kernels.h"
// #include "products.h"
import "C"

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// halfRoot is 1/sqrt(2) as the official code writes it.
const halfRoot = 0.707106781

// sliceProductRows is how many rows the products of a slice should have: enough that reading the weights, and adding to
// their gradients, is little beside the arithmetic, and few enough that activations stay near the core.
const sliceProductRows = 328

// maxSliceRows bounds slices of tiny models.
const maxSliceRows = 16

// operands says how many operands an opcode takes, and which may be missing.
type operands struct {
	min, max int
	optional uint
	aux      bool
}

var operandsOf = map[device.Opcode]operands{
	device.OpEmbed:              {min: 2, max: 4, optional: 1<<2 | 1<<3},
	device.OpEmbedGradWeight:    {min: 2, max: 2},
	device.OpEmbedGradPuzzle:    {min: 1, max: 1},
	device.OpEmbedGradPositions: {min: 1, max: 1},
	device.OpReset:              {min: 3, max: 3},
	device.OpAdd:                {min: 2, max: 3},
	device.OpLinear:             {min: 2, max: 2},
	device.OpLinearGradInput:    {min: 2, max: 2},
	device.OpLinearGradWeight:   {min: 2, max: 2},
	device.OpAttention:          {min: 1, max: 1, aux: true},
	device.OpAttentionGrad:      {min: 3, max: 3, aux: true},
	device.OpAddRMSNorm:         {min: 2, max: 2, aux: true},
	device.OpAddRMSNormGrad:     {min: 2, max: 2, aux: true},
	device.OpSwiGLU:             {min: 1, max: 1},
	device.OpSwiGLUGrad:         {min: 2, max: 2},
	device.OpDropPrefix:         {min: 1, max: 1},
	device.OpDropPrefixGrad:     {min: 1, max: 1},
	device.OpQHead:              {min: 3, max: 3},
	device.OpQHeadGradInput:     {min: 2, max: 2},
	device.OpQHeadGradWeight:    {min: 2, max: 2},
	device.OpQHeadGradBias:      {min: 1, max: 1},
	device.OpLMLoss:             {min: 2, max: 2},
	device.OpLMLossGrad:         {min: 3, max: 3},
	device.OpTokenStats:         {min: 2, max: 2},
	device.OpQTarget:            {min: 2, max: 2},
	device.OpQLoss:              {min: 2, max: 3, optional: 1 << 2},
	device.OpQLossGrad:          {min: 3, max: 4, optional: 1 << 3},
	device.OpFill:               {},
	device.OpTranspose:          {min: 1, max: 1},
	device.OpGate:               {min: 3, max: 3},
	device.OpGateGradGate:       {min: 4, max: 4},
	device.OpGateGradInput:      {min: 2, max: 2},
	device.OpSlice:              {min: 1, max: 1},
	device.OpSliceGrad:          {min: 1, max: 1},
	device.OpJoin:               {min: 1, max: math.MaxInt},
	device.OpActivate:           {min: 1, max: 1},
	device.OpActivateGrad:       {min: 2, max: 2},
	device.OpMultiply:           {min: 2, max: 2},
	device.OpBlend:              {min: 3, max: 3},
	device.OpBlendGradWeight:    {min: 2, max: 3, optional: 1 << 2},
	device.OpTopK:               {min: 1, max: 2, optional: 1 << 1},
	device.OpUnpredicted:        {min: 2, max: 2},
	device.OpNextTokens:         {min: 1, max: 2, optional: 1 << 1},
	device.OpSquaredError:       {min: 2, max: 2},
	device.OpSquaredErrorGrad:   {min: 3, max: 3},
	device.OpAppend:             {min: 1, max: 1},
	device.OpRecall:             {min: 2, max: 2},
	device.OpRecallGradPast:     {min: 3, max: 3},
}

func checkInstruction(ins *device.Instruction, values []device.Value) error {
	o, ok := operandsOf[ins.Op]
	if !ok {
		return fmt.Errorf("%v is no opcode of the cpu device", ins.Op)
	}
	if len(ins.In) < o.min || len(ins.In) > o.max {
		return fmt.Errorf("%v has %d operands, want %d to %d", ins.Op, len(ins.In), o.min, o.max)
	}
	for i, v := range ins.In {
		if v == device.NoValue && o.optional&(1<<i) == 0 {
			return fmt.Errorf("%v does not work without operand %d", ins.Op, i)
		}
	}
	if o.aux && (ins.Aux < 0 || ins.Aux >= len(values)) {
		return fmt.Errorf("%v needs a side buffer, but names value %d of %d", ins.Op, ins.Aux, len(values))
	}
	if ins.Attr.Accumulate && !ins.Op.Accumulates() {
		return fmt.Errorf("%v does not accumulate on the cpu device", ins.Op)
	}
	if weighs(ins.Op) && values[ins.In[1]].Role != device.Parameter {
		return fmt.Errorf("%v wants a parameter as weight, not %s", ins.Op, values[ins.In[1]].Name)
	}
	return nil
}

func checkValue(v *device.Value, arena int) error {
	switch v.Role {
	case device.Temporary:
		if size := v.Elements() * v.DType.Size(); v.Offset < 0 || v.Offset+size > arena {
			return fmt.Errorf("bytes %d to %d lie outside of an arena of %d", v.Offset, v.Offset+size, arena)
		}
	case device.Parameter, device.Gradient:
		if v.DType != device.Float32 || v.Rows {
			return fmt.Errorf("parameters and gradients are float32 and shared by all rows")
		}
	}
	return nil
}

// weighs says whether an opcode multiplies by a parameter, in packed form.
func weighs(o device.Opcode) bool { return o == device.OpLinear || o == device.OpLinearGradInput }

// productRows is how many rows a product has on average, per row of the batch.
func productRows(p *device.Program) int {
	rows, products := 0, 0
	for i := range p.Instructions {
		if ins := &p.Instructions[i]; ins.Op.IsProduct() {
			a := &p.Values[ins.In[0]]
			rows += a.Elements() / a.Last()
			products++
		}
	}
	return rows / max(products, 1)
}

func check(p *device.Program) error {
	if err := p.Check(); err != nil {
		return err
	}
	for i := range p.Instructions {
		if err := checkInstruction(&p.Instructions[i], p.Values); err != nil {
			return fmt.Errorf("program %s: instruction %d: %w", p.Name, i, err)
		}
	}
	for i := range p.Values {
		if err := checkValue(&p.Values[i], p.ArenaBytes); err != nil {
			return fmt.Errorf("program %s: value %d (%s): %w", p.Name, i, p.Values[i].Name, err)
		}
	}
	return nil
}

// Compile checks the program and translates it for the C side.
func (d *Device) Compile(p *device.Program) (device.Executable, error) {
	if err := check(p); err != nil {
		return nil, err
	}
	x := &executable{device: d, program: p, plans: map[int]*plan{}, gradients: make([]int, len(p.Values))}
	x.sliceRows = d.options.SliceRows
	if x.sliceRows == 0 {
		x.sliceRows = min(max(sliceProductRows/max(productRows(p), 1), 1), maxSliceRows)
	}
	x.c = (*C.hrm_program)(x.allocate(int(unsafe.Sizeof(C.hrm_program{}))))
	x.c.kernels = d.kernels
	x.translateValues()
	x.translateInstructions()
	x.findLives()
	x.newWorkers()
	x.runTask, x.sumTask, x.packTask = x.runShare, x.sumShare, x.packShare
	return x, nil
}

// allocate returns zeroed C memory that lives as long as the executable.
func (x *executable) allocate(bytes int) unsafe.Pointer {
	p := alignedZeros(bytes)
	x.owned = append(x.owned, p)
	return p
}

// pointers returns room for n C pointers.
func pointers[T any](x *executable, n int) []*T {
	return unsafe.Slice((**T)(x.allocate(8*n)), n)
}

func (x *executable) translateValues() {
	n := len(x.program.Values)
	x.values = unsafe.Slice((*C.hrm_value)(x.allocate(n*int(unsafe.Sizeof(C.hrm_value{})))), n)
	for i := range x.program.Values {
		v := &x.program.Values[i]
		c := &x.values[i]
		c.role, c._type, c.last = C.int(v.Role), C.int(v.DType), C.int(v.Last())
		if v.Rows {
			c.rows = 1
		}
		c.elements, c.bytes, c.place = C.long(v.Elements()), C.long(v.Elements()*v.DType.Size()), C.long(v.Offset)
		if v.Role == device.Gradient {
			x.gradients[i] = x.gradientBytes
			x.gradientBytes += (v.Elements()*4 + 63) / 64 * 64
		}
	}
	x.bound = pointers[C.char](x, n)
	x.arrays = make([]*array, n)
	x.shadow = unsafe.Slice((*C.long)(x.allocate(8*n)), n)
	x.c.value_count, x.c.values, x.c.bound, x.c.shadow = C.int(n), unsafe.SliceData(x.values), unsafe.SliceData(x.bound), unsafe.SliceData(x.shadow)
}

func (x *executable) translateInstructions() {
	n := len(x.program.Instructions)
	x.instructions = unsafe.Slice((*C.hrm_instruction)(x.allocate(n*int(unsafe.Sizeof(C.hrm_instruction{})))), n)
	x.scratchBytes = 4 * C.HRM_BLOCK
	ropes := map[[2]float64]*C.float{}
	for i := range x.program.Instructions {
		ins := &x.program.Instructions[i]
		c := &x.instructions[i]
		c.op, c.out, c.aux, c.weight = C.int(ins.Op), C.int(ins.Out), C.int(ins.Aux), -1
		x.translateOperands(ins, c)
		a := ins.Attr
		c.prefix, c.heads, c.softmax, c.epsilon, c.scale = C.int(a.Prefix), C.int(a.Heads), C.int(a.Loss), C.float(a.Epsilon), C.float(x.scale(ins))
		c.function, c.axis, c.from = C.int(a.Activation), C.int(a.Axis), C.int(a.From)
		c.accumulate, c.complement = cBool(a.Accumulate), cBool(a.Complement)
		c.count, c.decay = C.int(a.Count), C.float(a.Decay)
		if weighs(ins.Op) {
			c.weight = C.int(x.weightCount)
			x.weightCount++
		}
		// Embeddings round two rows of up to prefix*D weights, q heads sum D floats, a recall takes three times D.
		x.scratchBytes = max(x.scratchBytes, 4*max(a.Prefix, 3)*x.program.Values[ins.Out].Last()+64)
		if ins.Op == device.OpAttention || ins.Op == device.OpAttentionGrad {
			x.translateAttention(ins, c, ropes)
		}
	}
	x.c.instruction_count, x.c.instructions = C.int(n), unsafe.SliceData(x.instructions)
}

// translateOperands lists an instruction's operands, and that there are no others up to the most that an opcode counts on.
func (x *executable) translateOperands(ins *device.Instruction, c *C.hrm_instruction) {
	const fewest = 4
	in := unsafe.Slice((*C.int)(x.allocate(int(unsafe.Sizeof(C.int(0)))*max(fewest, len(ins.In)))), max(fewest, len(ins.In)))
	for k := range in {
		in[k] = device.NoValue
		if k < len(ins.In) {
			in[k] = C.int(ins.In[k])
		}
	}
	c.in, c.in_count = unsafe.SliceData(in), C.int(len(ins.In))
}

// scale is the constant that the kernel multiplies by.
func (x *executable) scale(ins *device.Instruction) float64 {
	learned := ins.Attr.LearnedPositions
	switch ins.Op {
	case device.OpEmbed:
		learned = len(ins.In) > 3 && ins.In[3] != device.NoValue
	case device.OpEmbedGradPositions:
		learned = true
	case device.OpFill:
		learned = false
	}
	if learned {
		return ins.Attr.Scale * halfRoot
	}
	return ins.Attr.Scale
}

func (x *executable) translateAttention(ins *device.Instruction, c *C.hrm_instruction, ropes map[[2]float64]*C.float) {
	qkv := &x.program.Values[ins.In[0]]
	t, dim := qkv.Shape[0], qkv.Last()/3/ins.Attr.Heads
	shape := C.hrm_attention_shape{positions: C.int(t), queries: C.int(t), width: C.int(qkv.Last() / 3), heads: C.int(ins.Attr.Heads)}
	x.scratchBytes = max(x.scratchBytes, int(C.hrm_attention_scratch(&shape)))
	if ins.Attr.RoPETheta == 0 {
		return
	}
	key := [2]float64{ins.Attr.RoPETheta, float64(t)*1e6 + float64(dim)}
	if ropes[key] == nil {
		ropes[key] = x.rotations(ins.Attr.RoPETheta, t, dim/2)
	}
	c.rope = ropes[key]
}

// rotations returns cos and then sin of t*theta^(-i/half), each [t, half].
func (x *executable) rotations(theta float64, t, half int) *C.float {
	table := unsafe.Slice((*float32)(x.allocate(8*t*half)), 2*t*half)
	for p := range t {
		for i := range half {
			angle := float64(p) * math.Pow(theta, -float64(i)/float64(half))
			table[p*half+i], table[(t+p)*half+i] = float32(math.Cos(angle)), float32(math.Sin(angle))
		}
	}
	return (*C.float)(unsafe.Pointer(unsafe.SliceData(table)))
}

// findLives notes for each value when it is first written and last read, to know which inputs an output may replace.
func (x *executable) findLives() {
	x.firstWrite, x.lastRead = make([]int, len(x.values)), make([]int, len(x.values))
	for i := len(x.program.Instructions) - 1; i >= 0; i-- {
		x.firstWrite[x.program.Instructions[i].Out] = 2 * i
	}
	for i, ins := range x.program.Instructions {
		at := 2*i + 1
		// These read an element before they write it, and no other after it.
		if ins.Op == device.OpReset || ins.Op == device.OpAdd {
			at = 2*i - 1
		}
		for _, v := range ins.In {
			if v != device.NoValue {
				x.lastRead[v] = max(x.lastRead[v], at)
			}
		}
	}
}

// newWorkers prepares each worker's memory, but for the arena, whose size depends on the rows.
func (x *executable) newWorkers() {
	t := x.device.options.Threads
	x.parts = pointers[C.float](x, t-1)
	for w := range t {
		c := (*C.hrm_worker)(x.allocate(int(unsafe.Sizeof(C.hrm_worker{}))))
		x.workers = append(x.workers, c)
		c.index = C.int(w)
		c.scratch = (*C.float)(x.allocate(x.scratchBytes))
		c.seconds = (*C.double)(x.allocate(8 * len(x.program.Instructions)))
		c.gradients = unsafe.SliceData(pointers[C.char](x, len(x.values)))
		if w > 0 {
			x.placeGradients(w)
		}
	}
	x.failures = make([]C.int, t)
}

// placeGradients gives a worker after the first memory for its sums.
func (x *executable) placeGradients(w int) {
	base := x.allocate(x.gradientBytes)
	x.parts[w-1] = (*C.float)(base)
	at := unsafe.Slice(x.workers[w].gradients, len(x.values))
	for v := range x.program.Values {
		if x.program.Values[v].Role == device.Gradient {
			at[v] = (*C.char)(unsafe.Add(base, x.gradients[v]))
		}
	}
}
