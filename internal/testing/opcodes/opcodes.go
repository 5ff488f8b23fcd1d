// Package opcodes holds instructions that the tests of every device run, with operands of any sizes.
package opcodes

import "github.com/hrm-operator/hrm-operator/trainer/device"

// Sizes are those of the operands: positions before the tokens S, columns D, vocabulary V, and a width F.
type Sizes struct{ Prefix, S, D, V, F int }

// T is the number of all positions.
func (z Sizes) T() int { return z.Prefix + z.S }

// Builder makes operands, each of which it returns as a number, and instructions on them.
type Builder struct {
	// In and Out are of the activation type, Floats and OutF of Float32, OutInts of Int32. Mask is an In of zeros and ones.
	In, Out, Floats, OutF, OutInts, Mask func(shape ...int) int
	// Tokens are S numbers below V.
	Tokens func() int
	Do     func(op device.Opcode, a device.Attributes, out int, in ...int)
}

// Cases are instructions that go together, by name.
var Cases = map[string]func(b Builder, z Sizes){
	"Transpose": func(b Builder, z Sizes) {
		b.Do(device.OpTranspose, device.Attributes{}, b.Out(z.D, z.T()), b.In(z.T(), z.D))
	},
	"TopK": func(b Builder, z Sizes) {
		half := device.Attributes{Count: (z.T() + 1) / 2}
		b.Do(device.OpTopK, half, b.Out(z.T(), 1), b.In(z.T(), 1))
		b.Do(device.OpTopK, half, b.Out(z.T(), 1), b.Mask(z.T(), 1), device.NoValue)
		b.Do(device.OpTopK, device.Attributes{Count: 2}, b.Out(z.T(), 1), b.In(z.T(), 1), b.Mask(z.T(), 1))
	},
	"Unpredicted": func(b Builder, z Sizes) {
		b.Do(device.OpUnpredicted, device.Attributes{Prefix: z.Prefix}, b.Out(z.T(), 1), b.In(z.S, z.V), b.Tokens())
	},
	"NextTokens": func(b Builder, z Sizes) {
		b.Do(device.OpNextTokens, device.Attributes{}, b.OutInts(z.S), b.Tokens())
		b.Do(device.OpNextTokens, device.Attributes{Prefix: z.Prefix}, b.OutInts(z.S), b.Tokens(), b.Mask(z.T(), 1))
	},
	"SquaredError and its gradient": func(b Builder, z Sizes) {
		x, y := b.In(z.T(), z.D), b.In(z.T(), z.D)
		b.Do(device.OpSquaredError, device.Attributes{}, b.OutF(), x, y)
		b.Do(device.OpSquaredErrorGrad, device.Attributes{}, b.Out(z.T(), z.D), x, y, b.Floats())
	},
	"Append": func(b Builder, z Sizes) {
		past := b.Out(z.T(), z.D)
		for i := range z.T() {
			b.Do(device.OpAppend, device.Attributes{From: i}, past, b.In(1, z.D))
		}
	},
	"Recall and its gradients": func(b Builder, z Sizes) {
		past, query, d, sum := b.In(z.T(), z.D), b.In(1, z.D), b.In(1, z.D), b.Out(z.T(), z.D)
		a := device.Attributes{Count: (z.T() + 1) / 2, Scale: 0.5, Decay: 0.75}
		b.Do(device.OpRecall, a, b.Out(1, z.D), past, query)
		b.Do(device.OpRecallGradPast, a, sum, past, query, d)
		a.Accumulate, a.Count = true, 1
		b.Do(device.OpRecallGradPast, a, sum, past, query, d)
	},
	"Gate": func(b Builder, z Sizes) {
		b.Do(device.OpGate, device.Attributes{}, b.Out(z.T(), z.D), b.In(z.T(), z.D), b.In(z.T(), z.D), b.In(z.T(), z.D))
	},
	"Gradients of a gate": func(b Builder, z Sizes) {
		gate, d := b.In(z.T(), z.D), b.In(z.T(), z.D)
		b.Do(device.OpGateGradGate, device.Attributes{}, b.Out(z.T(), z.D), gate, b.In(z.T(), z.D), b.In(z.T(), z.D), d)
		b.Do(device.OpGateGradInput, device.Attributes{Scale: 1}, b.Out(z.T(), z.D), gate, d)
		b.Do(device.OpGateGradInput, device.Attributes{Scale: -1}, b.Out(z.T(), z.D), gate, d)
	},
	"Slice and its gradient": func(b Builder, z Sizes) {
		for axis, size := range []int{z.T(), z.D} {
			a := device.Attributes{Axis: axis, From: size / 3}
			part := []int{z.T(), z.D}
			part[axis] = (size + 2) / 3
			d, whole := b.In(part...), b.Out(z.T(), z.D)
			b.Do(device.OpSlice, a, b.Out(part...), b.In(z.T(), z.D))
			b.Do(device.OpSliceGrad, a, whole, d)
			a.Accumulate = true
			b.Do(device.OpSliceGrad, a, whole, d)
		}
	},
	"Join": func(b Builder, z Sizes) {
		x := b.In(z.T(), z.D)
		b.Do(device.OpJoin, device.Attributes{}, b.Out(3*z.T()+1, z.D), x, b.In(1, z.D), x, b.In(z.T(), z.D))
		b.Do(device.OpJoin, device.Attributes{Axis: 1}, b.Out(z.T(), 2*z.D+z.F+z.V+1), x, b.In(z.T(), z.F), b.In(z.T(), 1), b.In(z.T(), z.V), x)
	},
	"Activate and its gradient": func(b Builder, z Sizes) {
		x, d := b.In(z.T(), z.D), b.In(z.T(), z.D)
		for _, f := range []device.Activation{device.Tanh, device.Sigmoid, device.Step} {
			a := device.Attributes{Activation: f, Scale: 1.5}
			b.Do(device.OpActivate, a, b.Out(z.T(), z.D), x)
			b.Do(device.OpActivateGrad, a, b.Out(z.T(), z.D), x, d)
		}
	},
	"Multiply, blend and gradients of the weight": func(b Builder, z Sizes) {
		d, x, y := b.In(z.T(), z.D), b.In(z.T(), z.D), b.In(z.T(), z.D)
		for _, width := range []int{z.D, 1} {
			w := b.In(z.T(), width)
			b.Do(device.OpMultiply, device.Attributes{}, b.Out(z.T(), z.D), x, w)
			b.Do(device.OpMultiply, device.Attributes{Complement: true}, b.Out(z.T(), z.D), x, w)
			b.Do(device.OpBlend, device.Attributes{}, b.Out(z.T(), z.D), w, x, y)
			b.Do(device.OpBlendGradWeight, device.Attributes{}, b.Out(z.T(), width), d, x, y)
			b.Do(device.OpBlendGradWeight, device.Attributes{}, b.Out(z.T(), width), d, x)
		}
	},
}
