package reference

import (
	"fmt"
	"math"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// operation says how an opcode is computed and which operands it takes.
type operation struct {
	do       func(*call)
	min, max int
	// optional has bit i set if operand i may be NoValue.
	optional uint
	// aux says that the operation reads or writes a side buffer.
	aux bool
}

var operations = map[device.Opcode]operation{
	device.OpEmbed:              {do: embed, min: 2, max: 4, optional: 1<<2 | 1<<3},
	device.OpEmbedGradWeight:    {do: embedGradWeight, min: 2, max: 2},
	device.OpEmbedGradPuzzle:    {do: embedGradPuzzle, min: 1, max: 1},
	device.OpEmbedGradPositions: {do: embedGradPositions, min: 1, max: 1},
	device.OpReset:              {do: reset, min: 3, max: 3},
	device.OpAdd:                {do: add, min: 2, max: 3},
	device.OpLinear:             {do: linear, min: 2, max: 2},
	device.OpLinearGradInput:    {do: linearGradInput, min: 2, max: 2},
	device.OpLinearGradWeight:   {do: linearGradWeight, min: 2, max: 2},
	device.OpAttention:          {do: attention, min: 1, max: 1, aux: true},
	device.OpAttentionGrad:      {do: attentionGrad, min: 3, max: 3, aux: true},
	device.OpAddRMSNorm:         {do: addRMSNorm, min: 2, max: 2, aux: true},
	device.OpAddRMSNormGrad:     {do: addRMSNormGrad, min: 2, max: 2, aux: true},
	device.OpSwiGLU:             {do: swiGLU, min: 1, max: 1},
	device.OpSwiGLUGrad:         {do: swiGLUGrad, min: 2, max: 2},
	device.OpDropPrefix:         {do: dropPrefix, min: 1, max: 1},
	device.OpDropPrefixGrad:     {do: dropPrefixGrad, min: 1, max: 1},
	device.OpQHead:              {do: qHead, min: 3, max: 3},
	device.OpQHeadGradInput:     {do: qHeadGradInput, min: 2, max: 2},
	device.OpQHeadGradWeight:    {do: qHeadGradWeight, min: 2, max: 2},
	device.OpQHeadGradBias:      {do: qHeadGradBias, min: 1, max: 1},
	device.OpLMLoss:             {do: lmLoss, min: 2, max: 2},
	device.OpLMLossGrad:         {do: lmLossGrad, min: 3, max: 3},
	device.OpTokenStats:         {do: tokenStats, min: 2, max: 2},
	device.OpQTarget:            {do: qTarget, min: 2, max: 2},
	device.OpQLoss:              {do: qLoss, min: 2, max: 3, optional: 1 << 2},
	device.OpQLossGrad:          {do: qLossGrad, min: 3, max: 4, optional: 1 << 3},
	device.OpFill:               {do: fill, min: 0, max: 0},
	device.OpTranspose:          {do: transpose, min: 1, max: 1},
	device.OpGate:               {do: gate, min: 3, max: 3},
	device.OpGateGradGate:       {do: gateGradGate, min: 4, max: 4},
	device.OpGateGradInput:      {do: gateGradInput, min: 2, max: 2},
	device.OpSlice:              {do: slice, min: 1, max: 1},
	device.OpSliceGrad:          {do: sliceGrad, min: 1, max: 1},
	device.OpJoin:               {do: join, min: 1, max: math.MaxInt},
	device.OpActivate:           {do: activate, min: 1, max: 1},
	device.OpActivateGrad:       {do: activateGrad, min: 2, max: 2},
	device.OpMultiply:           {do: multiply, min: 2, max: 2},
	device.OpBlend:              {do: blend, min: 3, max: 3},
	device.OpBlendGradWeight:    {do: blendGradWeight, min: 2, max: 3, optional: 1 << 2},
	device.OpTopK:               {do: topK, min: 1, max: 2, optional: 1 << 1},
	device.OpUnpredicted:        {do: unpredicted, min: 2, max: 2},
	device.OpNextTokens:         {do: nextTokens, min: 1, max: 2, optional: 1 << 1},
	device.OpSquaredError:       {do: squaredError, min: 2, max: 2},
	device.OpSquaredErrorGrad:   {do: squaredErrorGrad, min: 3, max: 3},
	device.OpAppend:             {do: appendState, min: 1, max: 1},
	device.OpRecall:             {do: recall, min: 2, max: 2},
	device.OpRecallGradPast:     {do: recallGradPast, min: 3, max: 3},
}

// Execute computes one instruction over the whole batch. arrays are indexed like values; only those that the
// instruction names need to be there. If Out is a Gradient, or the instruction accumulates, the result is added to it.
func Execute(ins *device.Instruction, values []device.Value, rows int, arrays []device.Array) error {
	if err := checkInstruction(ins, values); err != nil {
		return err
	}
	c := &call{ins: ins, values: values, rows: rows, arrays: arrays}
	operations[ins.Op].do(c)
	if c.err != nil {
		return fmt.Errorf("%v: %w", ins.Op, c.err)
	}
	return nil
}

// call is one instruction being executed. Its first error sticks; after it, operands read as zeros.
type call struct {
	ins    *device.Instruction
	values []device.Value
	rows   int
	arrays []device.Array
	err    error
}

func (c *call) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// has reports whether operand i is there.
func (c *call) has(i int) bool { return i < len(c.ins.In) && c.ins.In[i] != device.NoValue }

// in describes operand i.
func (c *call) in(i int) *device.Value { return &c.values[c.ins.In[i]] }

// out describes the result.
func (c *call) out() *device.Value { return &c.values[c.ins.Out] }

// floats returns operand i, widened to float32.
func (c *call) floats(i int) []float32 { return c.read(c.ins.In[i]) }

// weights returns parameter i, rounded to bfloat16 if the activations are.
func (c *call) weights(i int, act device.DType) []float32 {
	w := c.floats(i)
	if act == device.BFloat16 {
		for j, x := range w {
			w[j] = device.FromBFloat16(device.RoundBFloat16(x))
		}
	}
	return w
}

// aux returns the side buffer.
func (c *call) aux() []float32 { return c.read(c.ins.Aux) }

func (c *call) read(v int) []float32 {
	n := c.values[v].Count(c.rows)
	x, err := device.ReadFloats(c.arrays[v], 0, n)
	if err != nil {
		c.fail(fmt.Errorf("read %s: %w", c.values[v].Name, err))
		return make([]float32, n)
	}
	return x
}

// ints returns operand i, which is Int32.
func (c *call) ints(i int) []int32 {
	v := c.ins.In[i]
	n := c.values[v].Count(c.rows)
	x, err := device.ReadInts(c.arrays[v], 0, n)
	if err != nil {
		c.fail(fmt.Errorf("read %s: %w", c.values[v].Name, err))
		return make([]int32, n)
	}
	return x
}

// result returns a zeroed slice for the instruction's Out.
func (c *call) result() []float64 { return make([]float64, c.out().Count(c.rows)) }

// store rounds x into Out, or adds it to what is there.
func (c *call) store(x []float64) {
	if c.out().Role == device.Gradient || c.ins.Attr.Accumulate {
		for i, old := range c.read(c.ins.Out) {
			x[i] += float64(old)
		}
	}
	c.write(c.ins.Out, x)
}

// storeAux rounds x into the side buffer.
func (c *call) storeAux(x []float64) { c.write(c.ins.Aux, x) }

func (c *call) write(v int, x []float64) {
	if c.err != nil {
		return
	}
	narrow := make([]float32, len(x))
	for i := range x {
		narrow[i] = float32(x[i])
	}
	if err := device.WriteFloats(c.arrays[v], 0, narrow); err != nil {
		c.fail(fmt.Errorf("write %s: %w", c.values[v].Name, err))
	}
}
