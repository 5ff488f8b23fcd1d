package device

import (
	"slices"
	"testing"
)

func TestReadFloatsIntoGivesWhatWasWritten(t *testing.T) {
	for _, dtype := range []DType{Float32, BFloat16} {
		t.Run(dtype.String(), func(t *testing.T) {
			a, want := NewHostArray(dtype, 9), []float32{1, -2, 0.5, 384, -0.0078125}
			if err := WriteFloats(a, 3, want); err != nil {
				t.Fatal(err)
			}
			got := slices.Repeat([]float32{7}, len(want))
			if err := ReadFloatsInto(got, a, 3); err != nil || !slices.Equal(got, want) {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
			if err := ReadFloatsInto(got, a, 5); err == nil {
				t.Error("elements beyond the end are read")
			}
		})
	}
}
