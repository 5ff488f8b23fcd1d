// Package checkpoint owns what a checkpoint is: safetensors under the official names, a manifest that seals them, the
// pointers latest.json and best.json, and the rules by which checkpoints are written, trusted, and removed.
package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DType is an element type as safetensors spells it.
type DType string

// The element types that checkpoints and recordings use, and those of other programs' files.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U8   DType = "U8"
	BOOL DType = "BOOL"
)

// Size returns the bytes of one element, 0 for a type that is not known.
func (t DType) Size() int {
	switch t {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16, I16:
		return 2
	case I8, U8, BOOL:
		return 1
	}
	return 0
}

// Tensor is an array in host memory: little-endian elements, last dimension fastest.
type Tensor struct {
	DType DType
	Shape []int
	Data  []byte
}

// Check reports a type that is not known, a negative dimension, or data whose length is not the shape's.
func (t Tensor) Check() error {
	n, err := byteSize(t.DType, t.Shape)
	if err == nil && n != int64(len(t.Data)) {
		err = fmt.Errorf("%s%v takes %d bytes, but there are %d", t.DType, t.Shape, n, len(t.Data))
	}
	return err
}

// byteSize returns what a tensor takes, refusing sizes that overflow.
func byteSize(t DType, shape []int) (int64, error) {
	n := int64(t.Size())
	if n == 0 {
		return 0, fmt.Errorf("element type %q is not supported", t)
	}
	for _, d := range shape {
		if d < 0 || (d > 0 && n > math.MaxInt64/int64(d)) {
			return 0, fmt.Errorf("shape %v is not possible", shape)
		}
		n *= int64(d)
	}
	return n, nil
}

// Elements is the number of elements that the data holds.
func (t Tensor) Elements() int { return len(t.Data) / max(1, t.DType.Size()) }

// Float32Tensor encodes x.
func Float32Tensor(x []float32, shape ...int) Tensor {
	data := make([]byte, 4*len(x))
	for i, v := range x {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
	}
	return Tensor{DType: F32, Shape: shape, Data: data}
}

// Int32Tensor encodes x.
func Int32Tensor(x []int32, shape ...int) Tensor {
	data := make([]byte, 4*len(x))
	for i, v := range x {
		binary.LittleEndian.PutUint32(data[4*i:], uint32(v))
	}
	return Tensor{DType: I32, Shape: shape, Data: data}
}

// Float32s decodes a tensor of floating-point numbers. Only those of F64 are rounded.
func (t Tensor) Float32s() ([]float32, error) {
	out := make([]float32, t.Elements())
	for i := range out {
		switch t.DType {
		case F32:
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.Data[4*i:]))
		case BF16:
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(t.Data[2*i:])) << 16)
		case F16:
			out[i] = half(binary.LittleEndian.Uint16(t.Data[2*i:]))
		case F64:
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:])))
		default:
			return nil, fmt.Errorf("tensor is %s, want one of floating-point numbers", t.DType)
		}
	}
	return out, nil
}

// half decodes an IEEE 754 binary16 number: a sign, five bits of exponent, ten of fraction.
func half(bits uint16) float32 {
	sign, exponent, fraction := uint32(bits>>15)<<31, uint32(bits>>10&31), uint32(bits&1023)
	switch exponent {
	case 0: // zero, or a number below 2^-14 without a leading 1
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	case 31: // an infinity, or no number
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}

// Int32s decodes an I32 tensor.
func (t Tensor) Int32s() ([]int32, error) {
	if t.DType != I32 {
		return nil, fmt.Errorf("tensor is %s, want I32", t.DType)
	}
	out := make([]int32, len(t.Data)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(t.Data[4*i:]))
	}
	return out, nil
}
