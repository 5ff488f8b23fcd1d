package cuda_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/fake"
)

var control = sync.OnceValues(fake.Open)

// gpu returns the fake GPU, reset.
func gpu(t *testing.T) *fake.Control {
	t.Helper()
	if hasGPU() {
		t.Skip("this test is one of the fake GPU")
	}
	c, err := control()
	if err != nil {
		t.Fatal(err)
	}
	c.Reset()
	t.Cleanup(c.Reset)
	return c
}

// options are those of a device on the fake GPU whose notes become a test's log.
func options(t *testing.T, c *fake.Control) cuda.Options {
	return cuda.Options{Search: &binding.Search{Directories: []string{c.Dir}}, Cache: t.TempDir(), Note: func(note string) { t.Log(note) }}
}

// open opens a device; when the test ends it must have used the GPU rightly and freed everything.
func open(t *testing.T, c *fake.Control, o cuda.Options) *cuda.Device {
	t.Helper()
	d, err := cuda.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := c.CheckClosed(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// product is a program of one product: y [rows,2] = x [rows,3]·wᵀ.
func product(act device.DType) *device.Program {
	return &device.Program{Name: "product", Values: []device.Value{
		{Name: "x", Role: device.Input, DType: act, Rows: true, Shape: []int{3}},
		{Name: "w", Role: device.Parameter, Shape: []int{2, 3}},
		{Name: "y", Role: device.Output, DType: act, Rows: true, Shape: []int{2}},
	}, Instructions: []device.Instruction{{Op: device.OpLinear, In: []int{0, 1}, Out: 2, Aux: device.NoValue}}}
}

// arrays binds every value of a program, filled with ones.
func arrays(t *testing.T, d device.Device, p *device.Program, rows int) map[string]device.Array {
	t.Helper()
	bound := map[string]device.Array{}
	for i := range p.Values {
		v := &p.Values[i]
		n := v.Elements()
		if v.Rows {
			n *= rows
		}
		a, err := d.NewArray(v.DType, n)
		if err != nil {
			t.Fatal(err)
		}
		ones := make([]float32, n)
		for k := range ones {
			ones[k] = 1
		}
		if err := device.WriteFloats(a, 0, ones); err != nil {
			t.Fatal(err)
		}
		bound[v.Name] = a
	}
	return bound
}

func TestArrays_areZeroAndKeepWhatIsWritten(t *testing.T) {
	c := gpu(t)
	d := open(t, c, options(t, c))
	// More than passes through the staging memory at once.
	const n = 5 << 20
	a, err := d.NewArray(device.Float32, n)
	if err != nil {
		t.Fatal(err)
	}
	x, err := device.ReadFloats(a, 0, n)
	if err != nil {
		t.Fatal(err)
	}
	for i := range x {
		if x[i] != 0 {
			t.Fatalf("element %d is %g before it is written", i, x[i])
		}
		x[i] = float32(i)
	}
	if err := device.WriteFloats(a, 0, x); err != nil {
		t.Fatal(err)
	}
	clear(x)
	if err := device.ReadFloatsInto(x[:n-7], a, 7); err != nil {
		t.Fatal(err)
	}
	for i := range x[:n-7] {
		if x[i] != float32(i+7) {
			t.Fatalf("element %d is %g", i+7, x[i])
		}
	}
	if err := a.Write(n-1, make([]byte, 8)); err == nil {
		t.Error("a write past the end is no error")
	}
}

func TestProduct_readsTheWeightsAsTheyAreNow(t *testing.T) {
	for _, act := range []device.DType{device.Float32, device.BFloat16} {
		t.Run(act.String(), func(t *testing.T) {
			c := gpu(t)
			d := open(t, c, options(t, c))
			p := product(act)
			x, err := d.Compile(p)
			if err != nil {
				t.Fatal(err)
			}
			const rows = 4
			bound := arrays(t, d, p, rows)
			for _, w := range []float32{1, 2, 3, 4} {
				if err := device.WriteFloats(bound["w"], 0, []float32{w, w, w, 0, 0, w}); err != nil {
					t.Fatal(err)
				}
				if err := x.Run(context.Background(), rows, bound); err != nil {
					t.Fatal(err)
				}
				y, err := device.ReadFloats(bound["y"], 0, 2*rows)
				if err != nil {
					t.Fatal(err)
				}
				for i := range rows {
					if y[2*i] != 3*w || y[2*i+1] != w {
						t.Errorf("with weights of %g row %d is %v", w, i, y[2*i:2*i+2])
					}
				}
			}
			if n := c.Count("cuGraphLaunch"); n != 3 {
				t.Errorf("%d of 4 runs were graphs, want all but the first", n)
			}
		})
	}
}

func TestRun_launchesPieceByPieceWhereCaptureFails(t *testing.T) {
	for _, call := range []string{"cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"} {
		t.Run(call, func(t *testing.T) {
			c := gpu(t)
			o := options(t, c)
			var notes []string
			o.Note = func(note string) { notes = append(notes, note) }
			d := open(t, c, o)
			c.Fail(call)
			p := product(device.Float32)
			x, err := d.Compile(p)
			if err != nil {
				t.Fatal(err)
			}
			bound := arrays(t, d, p, 2)
			for range 3 {
				if err := x.Run(context.Background(), 2, bound); err != nil {
					t.Fatal(err)
				}
			}
			if len(notes) != 1 || !strings.Contains(notes[0], call) {
				t.Errorf("the notes are %q, want one that names %s", notes, call)
			}
		})
	}
}

func TestCompile_keepsKernelsOnDisk(t *testing.T) {
	c := gpu(t)
	o := options(t, c)
	compiled := func() int {
		t.Helper()
		before := c.Count("nvrtcCompileProgram")
		d, err := cuda.New(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Compile(product(device.BFloat16)); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		return c.Count("nvrtcCompileProgram") - before
	}
	if n := compiled(); n != 1 {
		t.Errorf("%d files were compiled at first, want 1", n)
	}
	if n := compiled(); n != 0 {
		t.Errorf("%d files were compiled again", n)
	}
	damage(t, o.Cache)
	if n := compiled(); n != 1 {
		t.Errorf("%d files were compiled after the kept one was damaged, want 1", n)
	}
	if n := compiled(); n != 0 {
		t.Errorf("%d files were compiled after the damaged one was replaced", n)
	}
}

func TestCompile_notesOnceThatKernelsCannotBeKept(t *testing.T) {
	c := gpu(t)
	o := options(t, c)
	var notes []string
	o.Note = func(note string) { notes = append(notes, note) }
	file := filepath.Join(o.Cache, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Cache = filepath.Join(file, "cache")
	d := open(t, c, o)
	for _, act := range []device.DType{device.BFloat16, device.Float32} {
		p := product(act)
		p.Values[2].DType, p.Instructions[0].Op = act, device.OpAdd
		p.Instructions[0].In = []int{0, 0}
		p.Values[2].Shape = p.Values[0].Shape
		if _, err := d.Compile(p); err != nil {
			t.Fatal(err)
		}
	}
	if len(notes) != 1 || !strings.Contains(notes[0], cuda.CacheVariable) {
		t.Errorf("the notes are %q, want one that names %s", notes, cuda.CacheVariable)
	}
}

func TestMemory_saysWhatWasAskedForAndWhatWouldFit(t *testing.T) {
	c := gpu(t)
	d := open(t, c, options(t, c))
	c.SetMemory(64 << 20)
	_, err := d.NewArray(device.Float32, 16<<20)
	for _, word := range []string{"67108864", "free", "CUDA_ERROR_OUT_OF_MEMORY", "smaller batch"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not mention %q", err, word)
		}
	}
	p := product(device.Float32)
	p.ArenaBytes = 1 << 20
	x, err := d.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	err = x.Run(context.Background(), 100, arrays(t, d, p, 100))
	var full *cuda.FullError
	if !errors.As(err, &full) || !strings.Contains(err.Error(), "about 31 rows would fit") {
		t.Errorf("%v does not say which batch would fit", err)
	}
	if err := x.Run(context.Background(), 31, arrays(t, d, p, 31)); err != nil {
		t.Errorf("the batch that would fit does not: %v", err)
	}
}

func TestAdamATan2_writesTheCopyThatProductsRead(t *testing.T) {
	c := gpu(t)
	d := open(t, c, options(t, c))
	p := product(device.BFloat16)
	x, err := d.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	bound := arrays(t, d, p, 1)
	gradient, m, v := arrays(t, d, p, 1)["w"], arrays(t, d, p, 1)["w"], arrays(t, d, p, 1)["w"]
	step := device.AdamATan2Step{LearningRate: 0.25, Beta1: 0.9, Beta2: 0.95, Step: 1}
	weights := []device.Dense{{Value: bound["w"], Gradient: gradient, M: m, V: v}}
	for range 3 {
		if err := x.Run(context.Background(), 1, bound); err != nil {
			t.Fatal(err)
		}
		if err := d.AdamATan2(weights, step); err != nil {
			t.Fatal(err)
		}
		step.Step++
	}
	if err := x.Run(context.Background(), 1, bound); err != nil {
		t.Fatal(err)
	}
	w, err := device.ReadFloats(bound["w"], 0, 6)
	if err != nil {
		t.Fatal(err)
	}
	y, err := device.ReadFloats(bound["y"], 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	if want := 3 * w[0]; w[0] == 1 || math.Abs(float64(y[0]-want)) > 0.02*math.Abs(float64(want)) {
		t.Errorf("the product is %g with weights of %g", y[0], w[0])
	}
	// One copy is made anew, of the weights that were written.
	if n := c.Count("cuLaunchKernel"); n != 1+3 {
		t.Errorf("%d kernels were launched, want one that rounds and three updates", n)
	}
}

func TestSignSGD_badRowsAreReportedWhenTheGPUIsWaitedForNext(t *testing.T) {
	d := anyGPU(t)
	table, err := d.NewArray(device.Float32, 6)
	if err != nil {
		t.Fatal(err)
	}
	x, err := d.Compile(&device.Program{
		Name: "fill", Values: []device.Value{{Name: "y", Role: device.Output, Shape: []int{2}}},
		Instructions: []device.Instruction{{Op: device.OpFill, Out: 0, Aux: device.NoValue}},
	})
	if err != nil {
		t.Fatal(err)
	}
	read := func() error { return table.Read(0, make([]byte, 4)) }
	run := func() error { return x.Run(context.Background(), 1, map[string]device.Array{"y": table}) }
	for name, wait := range map[string]func() error{"a read": read, "a program": run} {
		t.Run(name, func(t *testing.T) {
			if err := d.SignSGDUnchecked(table, []int32{3}, []float32{1, 1}); err != nil {
				t.Fatal(err)
			}
			if err := wait(); err == nil || !strings.Contains(err.Error(), "puzzle identifier") {
				t.Errorf("%v does not say that the row is bad", err)
			}
			for _, again := range []func() error{read, run, read} {
				if err := again(); err != nil {
					t.Errorf("after it was reported: %v", err)
				}
			}
		})
	}
}

func TestNew_refusesWhatCannotTrain(t *testing.T) {
	nowhere := t.TempDir()
	driverOnly := t.TempDir()
	const seen, unseen, maybeLater = "seen", "not seen", "maybe later"
	for _, test := range []struct {
		name   string
		change func(*fake.Control, *cuda.Options)
		says   string
		means  string
	}{
		{"an old GPU", func(c *fake.Control, _ *cuda.Options) { c.SetGPU(1, 7, 5, 12040) }, "compute capability 7.5", seen},
		{"a GPU that the compiler does not know", func(c *fake.Control, _ *cuda.Options) { c.SetGPU(1, 12, 0, 12040) }, "NVRTC 12.4", seen},
		{"an old driver", func(c *fake.Control, _ *cuda.Options) { c.SetGPU(1, 9, 0, 11080) }, "driver 525", seen},
		{"an image without CUDA's libraries", func(c *fake.Control, o *cuda.Options) {
			if err := os.Symlink(filepath.Join(c.Dir, fake.Names[0]), filepath.Join(driverOnly, "libcuda.so.1")); err != nil {
				t.Fatal(err)
			}
			o.Search = &binding.Search{Directories: []string{driverOnly}}
		}, "libnvrtc.so.12", seen},
		{"a GPU that is not there", func(_ *fake.Control, o *cuda.Options) { o.Index = 3 }, "no GPU 3", unseen},
		{"no GPU", func(c *fake.Control, _ *cuda.Options) { c.SetGPU(0, 9, 0, 12040) }, "CUDA_ERROR_NO_DEVICE", unseen},
		{"no driver", func(_ *fake.Control, o *cuda.Options) { o.Search = &binding.Search{Directories: []string{nowhere}} }, "libcuda.so.1", unseen},
		{"a driver that does not answer", func(c *fake.Control, _ *cuda.Options) { c.Fail("cuInit") }, "CUDA_ERROR_UNKNOWN", maybeLater},
		{"a context that cannot be made", func(c *fake.Control, _ *cuda.Options) { c.Fail("cuDevicePrimaryCtxRetain") }, "cuDevicePrimaryCtxRetain", maybeLater},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := gpu(t)
			o := options(t, c)
			test.change(c, &o)
			_, err := cuda.New(o)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v does not mention %q", err, test.says)
			}
			var unusable *device.UnusableError
			means := maybeLater
			switch {
			case errors.As(err, &unusable) && unusable.NotVisible:
				means = unseen
			case unusable != nil:
				means = seen
			}
			if means != test.means {
				t.Errorf("the GPU is %s, want %s: %v", means, test.means, err)
			}
			if err := c.CheckClosed(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNew_compilesForTheLatestCapabilityThatTheGPURuns(t *testing.T) {
	c := gpu(t)
	c.SetGPU(1, 8, 7, 12040) // the compiler knows 8.0, 8.6 and 8.9
	d := open(t, c, options(t, c))
	if _, err := d.Compile(product(device.BFloat16)); err != nil {
		t.Error(err)
	}
}

func TestList_saysWhyAGPUIsNotUsable(t *testing.T) {
	c := gpu(t)
	search := binding.Search{Directories: []string{c.Dir}}
	c.SetGPU(2, 9, 0, 12040)
	gpus, err := cuda.List(search)
	if err != nil {
		t.Fatal(err)
	}
	if len(gpus) != 2 || gpus[1].Name != "Fake GPU 1" || gpus[1].Unusable != "" || gpus[1].Capability != "9.0" || gpus[1].CuBLASLt != "12.4.5" || gpus[1].NVRTC != "12.4" || gpus[1].NCCL != "2.23.4" {
		t.Errorf("got %+v", gpus)
	}
	if n := c.Count("nvrtcVersion"); n != 1 {
		t.Errorf("the compiler was opened %d times for two GPUs, want once", n)
	}
	c.SetNCCL(21003)
	if gpus, err = cuda.List(search); err != nil || gpus[0].Unusable != "" || gpus[0].NCCL != "" || !strings.Contains(gpus[0].NoNCCL, "2.10.3") {
		t.Errorf("with an old NCCL: got %+v, %v", gpus, err)
	}
	c.SetGPU(1, 6, 1, 12040)
	if gpus, err = cuda.List(search); err != nil || len(gpus) != 1 || !strings.Contains(gpus[0].Unusable, "6.1") {
		t.Errorf("got %+v, %v", gpus, err)
	}
}
