package device

import (
	"encoding/binary"
	"math"
)

// RoundBFloat16 returns the bfloat16 bits nearest to x, ties to even.
func RoundBFloat16(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + (b>>16)&1) >> 16)
}

// FromBFloat16 widens bfloat16 bits.
func FromBFloat16(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// WriteFloats stores src at element offset of a, rounding to a's type.
func WriteFloats(a Array, offset int, src []float32) error {
	return a.Write(offset, EncodeFloats(a.DType(), src))
}

// ReadFloats returns n elements of a from offset on, widened to float32.
func ReadFloats(a Array, offset, n int) ([]float32, error) {
	raw := make([]byte, n*a.DType().Size())
	if err := a.Read(offset, raw); err != nil {
		return nil, err
	}
	return DecodeFloats(a.DType(), raw), nil
}

// WriteInts stores src at element offset of an Int32 array.
func WriteInts(a Array, offset int, src []int32) error {
	raw := make([]byte, 4*len(src))
	for i, x := range src {
		binary.LittleEndian.PutUint32(raw[4*i:], uint32(x))
	}
	return a.Write(offset, raw)
}

// ReadInts returns n elements of an Int32 array from offset on.
func ReadInts(a Array, offset, n int) ([]int32, error) {
	raw := make([]byte, 4*n)
	if err := a.Read(offset, raw); err != nil {
		return nil, err
	}
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out, nil
}

// EncodeFloats returns src as little-endian elements of type t (Float32 or BFloat16).
func EncodeFloats(t DType, src []float32) []byte {
	raw := make([]byte, len(src)*t.Size())
	for i, x := range src {
		if t == BFloat16 {
			binary.LittleEndian.PutUint16(raw[2*i:], RoundBFloat16(x))
		} else {
			binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(x))
		}
	}
	return raw
}

// DecodeFloats widens little-endian elements of type t (Float32 or BFloat16).
func DecodeFloats(t DType, raw []byte) []float32 {
	out := make([]float32, len(raw)/t.Size())
	for i := range out {
		if t == BFloat16 {
			out[i] = FromBFloat16(binary.LittleEndian.Uint16(raw[2*i:]))
		} else {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	}
	return out
}
