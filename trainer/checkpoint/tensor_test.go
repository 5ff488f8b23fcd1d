package checkpoint

import (
	"encoding/binary"
	"math"
	"testing"
)

func TestFloat32s_decodesHalfPrecision(t *testing.T) {
	for bits, want := range map[uint16]float32{
		0x0000: 0, 0x3c00: 1, 0xc000: -2, 0x3555: 0.333251953125, 0x7bff: 65504, 0x0400: 1.0 / (1 << 14),
		0x0001: 1.0 / (1 << 24), 0x83ff: -1023.0 / (1 << 24), 0x7c00: float32(math.Inf(1)), 0xfc00: float32(math.Inf(-1)),
	} {
		x := Tensor{F16, []int{1}, binary.LittleEndian.AppendUint16(nil, bits)}
		if got, err := x.Float32s(); err != nil || got[0] != want {
			t.Errorf("%#04x is %v, %v, want %v", bits, got, err, want)
		}
	}
	if got, _ := (Tensor{F16, []int{1}, []byte{1, 0x7c}}).Float32s(); got[0] == got[0] {
		t.Errorf("what is no number is %v", got)
	}
	if got, _ := (Tensor{F16, []int{1}, []byte{0, 0x80}}).Float32s(); !math.Signbit(float64(got[0])) {
		t.Error("negative zero lost its sign")
	}
}

func TestFloat32s_roundsDoublePrecisionAndRefusesWholeNumbers(t *testing.T) {
	x := Tensor{F64, []int{1}, binary.LittleEndian.AppendUint64(nil, math.Float64bits(1+1e-12))}
	if got, err := x.Float32s(); err != nil || got[0] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, dtype := range []DType{I64, I32, I16, I8, U8, BOOL} {
		if got, err := (Tensor{dtype, []int{8 / dtype.Size()}, make([]byte, 8)}).Float32s(); err == nil {
			t.Errorf("%s was decoded as %v", dtype, got)
		}
	}
}
