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
	if a.DType() != BFloat16 {
		return a.Write(offset, Bytes(src))
	}
	rounded := make([]uint16, len(src))
	for i, x := range src {
		rounded[i] = RoundBFloat16(x)
	}
	return a.Write(offset, Bytes(rounded))
}

// ReadFloats returns n elements of a from offset on, widened to float32.
func ReadFloats(a Array, offset, n int) ([]float32, error) {
	out := make([]float32, n)
	if err := ReadFloatsInto(out, a, offset); err != nil {
		return nil, err
	}
	return out, nil
}

// ReadFloatsInto fills dst with the elements of a from offset on, widened to float32.
func ReadFloatsInto(dst []float32, a Array, offset int) error {
	raw := Bytes(dst)
	if a.DType() != BFloat16 {
		return a.Read(offset, raw)
	}
	// Narrow elements are read into the second half of dst: widened from the front, none is overwritten before its turn.
	raw = raw[len(raw)/2:]
	if err := a.Read(offset, raw); err != nil {
		return err
	}
	for i := range dst {
		dst[i] = FromBFloat16(binary.LittleEndian.Uint16(raw[2*i:]))
	}
	return nil
}

// WriteInts stores src at element offset of an Int32 array.
func WriteInts(a Array, offset int, src []int32) error { return a.Write(offset, Bytes(src)) }

// ReadInts returns n elements of an Int32 array from offset on.
func ReadInts(a Array, offset, n int) ([]int32, error) {
	out := make([]int32, n)
	if err := a.Read(offset, Bytes(out)); err != nil {
		return nil, err
	}
	return out, nil
}
