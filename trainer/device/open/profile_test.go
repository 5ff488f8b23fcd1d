package open

import (
	"context"
	"slices"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/fakegpu"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cpu"
)

// eachDevice runs a test on every device that this program has, the GPU being the fake one.
func eachDevice(t *testing.T, test func(t *testing.T, d device.Device)) {
	names := []string{"reference", "cuda"}
	if cpu.Available() == nil {
		names = append(names, "cpu")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			fakegpu.Install(t)
			d, _, err := Open(name, Options{Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}()
			test(t, d)
		})
	}
}

// TestProfile_measuresInstructionsAndOptimizersUntilItIsStopped is what every device owes.
func TestProfile_measuresInstructionsAndOptimizersUntilItIsStopped(t *testing.T) {
	const rows, runs = 4, 3
	p := &device.Program{Name: "two", ArenaBytes: 64, Values: []device.Value{
		{Name: "x", Role: device.Input, Rows: true, Shape: []int{3}}, {Name: "w", Role: device.Parameter, Shape: []int{2, 3}},
		{Rows: true, Shape: []int{2}}, {Name: "y", Role: device.Output, Rows: true, Shape: []int{2}},
	}, Instructions: []device.Instruction{
		{Op: device.OpLinear, In: []int{0, 1}, Out: 2, Aux: device.NoValue},
		{Op: device.OpAdd, In: []int{2, 2}, Out: 3, Aux: device.NoValue},
	}}
	eachDevice(t, func(t *testing.T, d device.Device) {
		x, err := d.Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		array := func(n int) device.Array {
			a, err := d.NewArray(device.Float32, n)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		w := array(6)
		gradient, m, v := array(6), array(6), array(6)
		bound := map[string]device.Array{"x": array(3 * rows), "w": w, "y": array(2 * rows)}
		work := func() {
			t.Helper()
			for i := range runs {
				if err := x.Run(context.Background(), rows, bound); err != nil {
					t.Fatal(err)
				}
				if err := d.AdamATan2([]device.Dense{{Value: w, Gradient: gradient, M: m, V: v}}, device.AdamATan2Step{Beta1: 0.9, Beta2: 0.9, Step: int64(i + 1)}); err != nil {
					t.Fatal(err)
				}
				if err := d.SignSGD(w, []int32{1}, []float32{1, 1, 1}, 0.1, 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		work()
		d.StartProfile()
		work()
		all, err := d.StopProfile()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []device.Measurement{
			{Operation: "Linear", Shape: "3→2", Cost: device.Cost{FLOPs: runs * rows * 2 * 3 * 2, Bytes: runs * 4 * (3*rows + 6 + 2*rows)}},
			{Operation: "Add", Shape: "2", Cost: device.Cost{Bytes: runs * 4 * 2 * 2 * rows}},
			{Operation: device.AdamATan2Operation, Cost: device.Cost{Bytes: runs * 4 * 7 * 6}},
			{Operation: device.SignSGDOperation, Cost: device.Cost{Bytes: runs * 4 * 3 * 3}},
		} {
			i := slices.IndexFunc(all, func(m device.Measurement) bool { return m.Operation == want.Operation && m.Shape == want.Shape })
			if i < 0 {
				t.Errorf("%s %s was not measured: %+v", want.Operation, want.Shape, all)
				continue
			}
			if got := all[i]; got.Cost != want.Cost || got.Seconds <= 0 || got.Launches < runs {
				t.Errorf("got %+v, want the cost %+v, time, and %d launches or more", got, want.Cost, runs)
			}
		}
		work()
		if all, err := d.StopProfile(); err != nil || len(all) != 0 {
			t.Errorf("after it was stopped: %+v, %v", all, err)
		}
	})
}
