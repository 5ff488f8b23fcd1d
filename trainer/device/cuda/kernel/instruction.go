package kernel

import (
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// families say how each opcode is launched.
var families = map[device.Opcode]func(*call) error{
	device.OpEmbed:              embedTokens,
	device.OpEmbedGradWeight:    embedGradWeight,
	device.OpEmbedGradPuzzle:    embedGradPuzzle,
	device.OpEmbedGradPositions: embedGradPositions,
	device.OpReset:              reset,
	device.OpAdd:                add,
	device.OpAttention:          attention,
	device.OpAttentionGrad:      attentionGrad,
	device.OpAddRMSNorm:         addRMSNorm,
	device.OpAddRMSNormGrad:     addRMSNormGrad,
	device.OpSwiGLU:             swiGLU,
	device.OpSwiGLUGrad:         swiGLUGrad,
	device.OpDropPrefix:         dropPrefix,
	device.OpDropPrefixGrad:     dropPrefixGrad,
	device.OpQHead:              qHead,
	device.OpQHeadGradInput:     qHeadGradInput,
	device.OpQHeadGradWeight:    qHeadGradWeight,
	device.OpQHeadGradBias:      qHeadGradBias,
	device.OpLMLoss:             lmLoss,
	device.OpLMLossGrad:         lmLossGrad,
	device.OpTokenStats:         tokenStats,
	device.OpQTarget:            qTarget,
	device.OpQLoss:              qLoss,
	device.OpQLossGrad:          qLossGrad,
	device.OpFill:               fill,
	device.OpTranspose:          transpose,
	device.OpGate:               gate,
	device.OpGateGradGate:       gateGradGate,
	device.OpGateGradInput:      gateGradInput,
	device.OpSlice:              slice,
	device.OpSliceGrad:          sliceGrad,
	device.OpJoin:               join,
	device.OpActivate:           activate,
	device.OpActivateGrad:       activateGrad,
	device.OpMultiply:           multiply,
	device.OpBlend:              blend,
	device.OpBlendGradWeight:    blendGradWeight,
	device.OpTopK:               topK,
	device.OpUnpredicted:        unpredicted,
	device.OpNextTokens:         nextTokens,
	device.OpSquaredError:       squaredError,
	device.OpSquaredErrorGrad:   squaredErrorGrad,
	device.OpAppend:             appendState,
	device.OpRecall:             recall,
	device.OpRecallGradPast:     recallGradPast,
}

// For returns what computes an instruction over rows examples. Buffers of the arguments are indices into values.
//
// Like every device, kernels add to an Out that is a gradient; the host zeroes gradients before a program's first
// instruction. Parameters are read as the float32 masters and rounded where the activations are bfloat16.
func For(ins *device.Instruction, values []device.Value, rows int) (Work, error) {
	family, ok := families[ins.Op]
	if !ok {
		return Work{}, fmt.Errorf("%v has no kernel: products are computed by cuBLASLt", ins.Op)
	}
	c := &call{ins: ins, values: values, rows: rows}
	if err := family(c); err != nil {
		return Work{}, fmt.Errorf("%v: %w", ins.Op, err)
	}
	for i := range c.work.Launches {
		if err := c.work.Launches[i].check(); err != nil {
			return Work{}, fmt.Errorf("%v: %w", ins.Op, err)
		}
	}
	return c.work, nil
}

// call is one instruction whose launches are being described.
type call struct {
	ins    *device.Instruction
	values []device.Value
	rows   int
	work   Work
}

// has reports whether operand i is there.
func (c *call) has(i int) bool { return i < len(c.ins.In) && c.ins.In[i] != device.NoValue }

// in describes operand i.
func (c *call) in(i int) *device.Value { return &c.values[c.ins.In[i]] }

// out describes the result.
func (c *call) out() *device.Value { return &c.values[c.ins.Out] }

// arg is operand i as an argument, Null if it is not there.
func (c *call) arg(i int) Arg {
	if !c.has(i) {
		return Null{}
	}
	return Buffer(c.ins.In[i])
}

// result is the instruction's Out as an argument.
func (c *call) result() Arg { return Buffer(c.ins.Out) }

// aux is the side buffer as an argument.
func (c *call) aux() Arg { return Buffer(c.ins.Aux) }

// last returns the innermost dimension of a value.
func last(v *device.Value) int { return v.Shape[len(v.Shape)-1] }

// count returns the elements of a value over all rows.
func (c *call) count(v *device.Value) int {
	if v.Rows {
		return c.rows * v.Elements()
	}
	return v.Elements()
}

// launch adds a launch of a kernel for activations of type t.
func (c *call) launch(file, kernel string, t device.DType, grid, block [3]uint32, sharedBytes int, args ...Arg) {
	l := Launch{File: file, Kernel: kernel, Grid: grid, Block: block, SharedBytes: sharedBytes, Args: args}
	if t == device.BFloat16 {
		l.Defines = []string{"BFLOAT16"}
	}
	c.work.Launches = append(c.work.Launches, l)
}

// launchEach launches a kernel of a thread for every access of 16 bytes to the result, whose arguments are the operands, the result,
// its number of elements, and more.
func (c *call) launchEach(file, kernel string, more ...Arg) error {
	var args []Arg
	for i := range c.ins.In {
		args = append(args, c.arg(i))
	}
	out := c.out()
	n := c.count(out)
	args = append(append(args, c.result(), Int64(n)), more...)
	c.launch(file, kernel, out.DType, grid(n, threads*pack(out.DType)), block(threads), 0, args...)
	return nil
}

// pack is the number of elements of type t that one access of 16 bytes moves.
func pack(t device.DType) int { return 16 / t.Size() }
