package cuda_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// find returns the measurement of an operation and shape.
func find(t *testing.T, all []device.Measurement, operation, shape string) device.Measurement {
	t.Helper()
	i := slices.IndexFunc(all, func(m device.Measurement) bool { return m.Operation == operation && m.Shape == shape })
	if i < 0 {
		t.Fatalf("%s %s was not measured: %+v", operation, shape, all)
	}
	return all[i]
}

func TestProfile_measuresWhatIsLaunchedUntilItIsStopped(t *testing.T) {
	c := gpu(t)
	d := open(t, c, options(t, c))
	p := product(device.BFloat16)
	x, err := d.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	const rows, runs = 2, 3
	bound := arrays(t, d, p, rows)
	run := func() {
		t.Helper()
		for range runs {
			if err := x.Run(context.Background(), rows, bound); err != nil {
				t.Fatal(err)
			}
		}
	}
	run()
	d.StartProfile()
	run()
	all, err := d.StopProfile()
	if err != nil {
		t.Fatal(err)
	}
	m := find(t, all, "Linear", "3→2")
	if m.Seconds <= 0 || m.Launches != runs || m.Cost.FLOPs != runs*2*rows*3*2 || len(m.Kernels) != 1 || m.Kernels[0].Name != "cuBLASLt" || m.Kernels[0].Seconds != m.Seconds {
		t.Errorf("got %+v", m)
	}
	run()
	if all, err = d.StopProfile(); err != nil || len(all) != 0 {
		t.Errorf("when it is stopped again: %+v, %v", all, err)
	}
	d.StartProfile()
	if all, err = d.StopProfile(); err != nil || len(all) != 0 {
		t.Errorf("without a run: %+v, %v", all, err)
	}
}

func TestProfile_ofTrainingHasEveryLaunchAndChangesNothing(t *testing.T) {
	c := gpu(t)
	d := open(t, c, options(t, c))
	d.StartProfile()
	m := tiny(t, v1alpha1.PrecisionBFloat16)
	const steps = 2
	_, profiled, err := train(d, m, steps)
	if err != nil {
		t.Fatal(err)
	}
	all, err := d.StopProfile()
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Count("cuGraphLaunch"); n != 0 {
		t.Errorf("%d graphs were launched, in which nothing can be timed", n)
	}
	var total device.Cost
	kernels, products := 0, 0
	for _, m := range all {
		total.Add(m.Cost)
		for _, k := range m.Kernels {
			switch k.Name {
			case "cuBLASLt":
				products += k.Launches
			case "memset", "memcpy":
			default:
				kernels += k.Launches
			}
		}
	}
	if kernels != c.Count("cuLaunchKernel") || products != c.Count("cublasLtMatmul") {
		t.Errorf("%d kernels and %d products were measured, %d and %d launched", kernels, products, c.Count("cuLaunchKernel"), c.Count("cublasLtMatmul"))
	}
	if want := steps * m.Train.Cost(batch).FLOPs; total.FLOPs != want {
		t.Errorf("%g floating-point operations, want those of the program, %g", total.FLOPs, want)
	}
	for _, operation := range []string{device.AdamATan2Operation, device.SignSGDOperation} {
		if m := find(t, all, operation, ""); m.Seconds <= 0 || m.Cost.Bytes <= 0 {
			t.Errorf("got %+v", m)
		}
	}
	if embed := find(t, all, "EmbedGradWeight", "7×64"); len(embed.Kernels) != 2 || embed.Launches != 2*steps {
		t.Errorf("of an operation of two kernels: %+v", embed)
	}
	_, plain, err := train(d, m, steps)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range plain {
		if !bytes.Equal(x.Data, profiled[name].Data) {
			t.Errorf("%s has other bits than when it is not profiled", name)
		}
	}
}
