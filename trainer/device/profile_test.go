package device

import (
	"reflect"
	"testing"
)

func TestProfile_addsUpByOperationAndShape(t *testing.T) {
	var p Profile
	for _, m := range []Measurement{
		{Operation: "Add", Shape: "4", Seconds: 1, Launches: 1, Cost: Cost{Bytes: 8}},
		{Operation: "Linear", Shape: "2→4", Seconds: 1, Launches: 2, Cost: Cost{FLOPs: 16, Bytes: 1}, Kernels: []KernelMeasurement{{"small", 0.25, 1}, {"large", 0.75, 1}}},
		{Operation: "Linear", Shape: "2→4", Seconds: 1, Launches: 1, Cost: Cost{FLOPs: 16, Bytes: 1}, Kernels: []KernelMeasurement{{"large", 1, 1}}},
		{Operation: "Linear", Shape: "4→2", Seconds: 3, Launches: 1},
	} {
		p.Add(m)
	}
	want := []Measurement{
		{Operation: "Linear", Shape: "4→2", Seconds: 3, Launches: 1},
		{Operation: "Linear", Shape: "2→4", Seconds: 2, Launches: 3, Cost: Cost{FLOPs: 32, Bytes: 2}, Kernels: []KernelMeasurement{{"large", 1.75, 2}, {"small", 0.25, 1}}},
		{Operation: "Add", Shape: "4", Seconds: 1, Launches: 1, Cost: Cost{Bytes: 8}},
	}
	if got := p.Measurements(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestProfile_thatNobodyAskedForMeasuresNothing(t *testing.T) {
	var p *Profile
	ran := false
	p.Time("Add", "", Cost{}, func() { ran = true })
	if !ran || p.Measurements() != nil {
		t.Errorf("ran %v, measured %+v", ran, p.Measurements())
	}
}
