package cuda_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/fakegpu"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/fake"
)

// rank is what a test does at each GPU.
type rank func(ctx context.Context, i int, d *cuda.Device, l device.Link) error

// linked links devices and does something at each, side by side. What fails at one ends the others.
func linked(t *testing.T, all []*cuda.Device, do rank) []error {
	t.Helper()
	errs := make([]error, len(all))
	id, err := all[0].NewLinkID()
	if err != nil {
		errs[0] = err
		return errs
	}
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	var wait sync.WaitGroup
	for i, d := range all {
		wait.Go(func() {
			errs[i] = func() error {
				l, err := d.Link(ctx, id, i, len(all))
				if err != nil {
					return err
				}
				defer context.AfterFunc(ctx, func() { l.Abort(context.Cause(ctx)) })()
				if err := do(ctx, i, d, l); err != nil {
					return err
				}
				return l.Close()
			}()
			if errs[i] != nil {
				stop(fmt.Errorf("rank %d has failed: %w", i, errs[i]))
			}
		})
	}
	wait.Wait()
	return errs
}

func noErrors(t *testing.T, errs []error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Errorf("rank %d: %v", i, err)
		}
	}
}

// filled is an array with these contents.
func filled(d device.Device, x []float32) (device.Array, error) {
	a, err := d.NewArray(device.Float32, len(x))
	if err == nil {
		err = device.WriteFloats(a, 0, x)
	}
	return a, err
}

func TestLink_sumsToTheSameBitsAtEveryGPU(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		t.Run(fmt.Sprintf("%d GPUs", n), func(t *testing.T) {
			c := gpu(t)
			lengths := []int{3, 0, 70_001} // more than the fake library exchanges at once
			sums := make([][]float32, n)
			noErrors(t, linked(t, fakegpu.Devices(t, c, n), func(_ context.Context, i int, d *cuda.Device, l device.Link) error {
				var arrays []device.Array
				for _, length := range lengths {
					a, err := filled(d, numbers(i, length))
					if err != nil {
						return err
					}
					arrays = append(arrays, a)
				}
				if err := l.AllReduce(arrays); err != nil {
					return err
				}
				for _, a := range arrays {
					x, err := device.ReadFloats(a, 0, a.Len())
					if err != nil {
						return err
					}
					sums[i] = append(sums[i], x...)
				}
				return l.Err()
			}))
			var want []float32
			for _, length := range lengths {
				sum := make([]float32, length)
				for i := range n {
					for k, x := range numbers(i, length) {
						sum[k] += x
					}
				}
				want = append(want, sum...)
			}
			for i, x := range sums {
				if !slices.Equal(x, want) {
					t.Errorf("rank %d has other sums", i)
				}
			}
		})
	}
}

// numbers are those of a rank.
func numbers(rank, n int) []float32 {
	random := rand.New(rand.NewPCG(uint64(rank), uint64(n)))
	x := make([]float32, n)
	for i := range x {
		x[i] = random.Float32() - 0.5
	}
	return x
}

// anyGPUs opens all of the machine's GPUs if they are to be tested, else three fake ones.
func anyGPUs(t *testing.T) []*cuda.Device {
	t.Helper()
	if !hasGPU() {
		return fakegpu.Devices(t, gpu(t), 3)
	}
	infos, err := cuda.List(binding.SystemSearch())
	if err != nil {
		t.Fatal(err)
	}
	if len(infos) == 1 && infos[0].NoNCCL != "" {
		t.Skip(infos[0].NoNCCL)
	}
	var all []*cuda.Device
	for _, info := range infos {
		d, err := cuda.New(cuda.Options{Index: info.Index})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(d)
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		all = append(all, d)
	}
	return all
}

// On a machine with one GPU this shows that NCCL is found and adds to its stream, on one with several that they are linked.
func TestLink_sumsTakesMinimaAndGathers(t *testing.T) {
	all := anyGPUs(t)
	n := len(all)
	noErrors(t, linked(t, all, func(_ context.Context, i int, d *cuda.Device, l device.Link) error {
		// Sums of integers are exact in any order.
		const length = 1 << 20
		x, err := filled(d, slices.Repeat([]float32{float32(i + 1)}, length))
		if err != nil {
			return err
		}
		flags, err := d.NewArray(device.Int32, 2)
		if err != nil {
			return err
		}
		if err := flags.Write(0, device.Bytes([]int32{1, int32(i)})); err != nil {
			return err
		}
		gathered, err := d.NewArray(device.Float32, 2*n)
		if err != nil {
			return err
		}
		own, err := filled(d, []float32{float32(i), 10 * float32(i)})
		if err != nil {
			return err
		}
		if err := errors.Join(l.AllReduce([]device.Array{x, flags}), l.AllGather(own, gathered)); err != nil {
			return err
		}
		sums, err := device.ReadFloats(x, 0, length)
		if err != nil {
			return err
		}
		if want := slices.Repeat([]float32{float32(n * (n + 1) / 2)}, length); !slices.Equal(sums, want) {
			t.Errorf("rank %d: a sum of %v is none", i, sums[0])
		}
		minima, err := device.ReadInts(flags, 0, 2)
		if err != nil {
			return err
		}
		if !slices.Equal(minima, []int32{1, 0}) {
			t.Errorf("rank %d: the minima are %v", i, minima)
		}
		var want []float32
		for rank := range n {
			want = append(want, float32(rank), 10*float32(rank))
		}
		if got, err := device.ReadFloats(gathered, 0, 2*n); err != nil || !slices.Equal(got, want) {
			t.Errorf("rank %d has gathered %v, %v, want %v", i, got, err, want)
		}
		return l.Err()
	}))
}

func TestLink_keepsProductsFromReadingOldWeights(t *testing.T) {
	c := gpu(t)
	noErrors(t, linked(t, fakegpu.Devices(t, c, 2), func(ctx context.Context, i int, d *cuda.Device, l device.Link) error {
		p := product(device.BFloat16)
		x, err := d.Compile(p)
		if err != nil {
			return err
		}
		bound := arrays(t, d, p, 1)
		for run := 1; run <= 3; run++ {
			if err := x.Run(ctx, 1, bound); err != nil {
				return err
			}
			y, err := device.ReadFloats(bound["y"], 0, 1)
			if err != nil {
				return err
			}
			if want := []float32{3, 6, 12}[run-1]; y[0] != want {
				t.Errorf("rank %d: the product is %g in run %d, want %g", i, y[0], run, want)
			}
			if err := l.AllReduce([]device.Array{bound["w"]}); err != nil {
				return err
			}
		}
		return x.Close()
	}))
}

// A GPU whose peer does not come waits until it is told that it need not.
func TestLink_isAbortedWhereverItWaits(t *testing.T) {
	gone := errors.New("rank 1 is gone")
	t.Run("for a sum", func(t *testing.T) {
		c := gpu(t)
		errs := linked(t, fakegpu.Devices(t, c, 2), func(_ context.Context, i int, d *cuda.Device, l device.Link) error {
			a, err := filled(d, []float32{1})
			if err != nil {
				return err
			}
			c.BreakNCCL(6)
			if err := l.AllReduce([]device.Array{a}); err != nil {
				return err
			}
			if i == 1 {
				return gone
			}
			if _, err := device.ReadFloats(a, 0, 1); err != nil {
				t.Errorf("the read that had to wait ends with %v", err)
			}
			return l.Err()
		})
		for i, err := range errs {
			if !errors.Is(err, gone) {
				t.Errorf("rank %d ends with %v", i, err)
			}
		}
	})
	t.Run("for others to launch", func(t *testing.T) {
		c := gpu(t)
		errs := linked(t, fakegpu.Devices(t, c, 2), func(_ context.Context, i int, d *cuda.Device, l device.Link) error {
			if i == 1 {
				return gone
			}
			a, err := filled(d, []float32{1})
			if err != nil {
				return err
			}
			return l.AllReduce([]device.Array{a})
		})
		for i, err := range errs {
			if !errors.Is(err, gone) {
				t.Errorf("rank %d ends with %v", i, err)
			}
		}
	})
	t.Run("to be linked", func(t *testing.T) {
		c := gpu(t)
		d := fakegpu.Devices(t, c, 2)[0]
		id, err := d.NewLinkID()
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancelCause(t.Context())
		stop(gone)
		if _, err := d.Link(ctx, id, 0, 2); !errors.Is(err, gone) {
			t.Errorf("linking ends with %v", err)
		}
	})
}

// A connection that fails is noticed, though the GPU only waits.
func TestLink_noticesAConnectionThatFails(t *testing.T) {
	c := gpu(t)
	errs := linked(t, fakegpu.Devices(t, c, 2), func(_ context.Context, _ int, d *cuda.Device, l device.Link) error {
		a, err := filled(d, []float32{1})
		if err != nil {
			return err
		}
		c.BreakNCCL(6)
		if err := l.AllReduce([]device.Array{a}); err != nil {
			return err
		}
		if _, err := device.ReadFloats(a, 0, 1); err != nil {
			return err
		}
		return l.Err()
	})
	said := fmt.Sprint(errs)
	if errs[0] == nil || errs[1] == nil || !strings.Contains(said, "ncclCommGetAsyncError: ncclRemoteError") {
		t.Errorf("the ranks end with %v", said)
	}
}

func TestLink_refusesWhatIsNotItsOwn(t *testing.T) {
	c := gpu(t)
	all := fakegpu.Devices(t, c, 2)
	other, err := filled(all[1], []float32{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	noErrors(t, linked(t, all[:1], func(_ context.Context, _ int, d *cuda.Device, l device.Link) error {
		half, err := d.NewArray(device.BFloat16, 2)
		if err != nil {
			return err
		}
		for name, err := range map[string]error{
			"another device's":      l.AllReduce([]device.Array{other}),
			"bfloat16":              l.AllReduce([]device.Array{half}),
			"of another length":     l.AllGather(half, other),
			"not NCCL's identifier": func() error { _, err := d.Link(t.Context(), []byte("id"), 0, 1); return err }(),
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		return nil
	}))
}

func TestLink_isMissedWithoutNCCL(t *testing.T) {
	c := gpu(t)
	d := open(t, c, options(t, c))
	t.Setenv(cuda.NCCLVariable, "off")
	if _, err := d.LinkKind(); err == nil || !strings.Contains(err.Error(), cuda.NCCLVariable) {
		t.Errorf("switched off: %v", err)
	}
	t.Setenv(cuda.NCCLVariable, "")
	c.SetNCCL(21003)
	if _, err := d.LinkKind(); err == nil || !strings.Contains(err.Error(), "2.10.3") || !strings.Contains(err.Error(), "nvidia-nccl-cu12") {
		t.Errorf("an old version: %v", err)
	}
	c.SetNCCL(22703)
	if kind, err := d.LinkKind(); err != nil || kind != "nccl 2.27.3" {
		t.Errorf("got %q, %v", kind, err)
	}
}

// Every call of two GPUs that add up fails once: no thread hangs, what failed is named, and everything is freed.
func TestLink_survivesTheFailureOfEveryCall(t *testing.T) {
	c := gpu(t)
	once := func(n int) (failed, said string) {
		t.Helper()
		c.Reset()
		c.SetGPU(2, 9, 0, 12040)
		c.FailAt(n)
		if err := sumOnTwo(t, c); err != nil {
			said = err.Error()
		}
		if err := c.CheckClosed(); err != nil {
			t.Fatalf("call %d, %s, failed: %v", n, c.Failed(), err)
		}
		return c.Failed(), said
	}
	fail := func(n int) {
		t.Helper()
		failed, said := once(n)
		// What joined a link in vain may be left behind by the failure before, and take this one upon itself.
		for try := 0; try < 3 && failed != "" && said == ""; try++ {
			failed, said = once(n)
		}
		if !strings.Contains(said, failed) || failed == "" && said != "" {
			t.Errorf("call %d, %s, failed, and that says: %q", n, failed, said)
		}
	}
	fail(0)
	calls := c.Calls()
	t.Logf("two sums make %d calls", calls)
	for n := 1; n <= calls; n++ {
		fail(n)
	}
}

// sumOnTwo opens two GPUs, adds arrays up twice, and closes everything.
func sumOnTwo(t *testing.T, c *fake.Control) (failed error) {
	var all []*cuda.Device
	for i := range 2 {
		o := options(t, c)
		o.Index = i
		d, err := cuda.New(o)
		if err != nil {
			return err
		}
		defer func() { failed = errors.Join(failed, d.Close()) }()
		all = append(all, d)
	}
	return errors.Join(linked(t, all, func(_ context.Context, _ int, d *cuda.Device, l device.Link) error {
		a, err := filled(d, []float32{1, 2})
		if err != nil {
			return err
		}
		b, err := filled(d, []float32{3})
		if err != nil {
			return err
		}
		for range 2 {
			if err := l.AllReduce([]device.Array{a, b}); err != nil {
				return err
			}
		}
		if _, err := device.ReadFloats(a, 0, 2); err != nil {
			return err
		}
		return l.Err()
	})...)
}
