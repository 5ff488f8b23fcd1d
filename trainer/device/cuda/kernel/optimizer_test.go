package kernel_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel/emulate"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/optim"
)

// run emulates work under several seeds, which must come to the same bits, and returns the buffers.
func run(t *testing.T, buffers [][]byte, work ...kernel.Work) [][]byte {
	t.Helper()
	var first [][]byte
	for seed := range uint64(3) {
		job := &emulate.Job{Seed: seed, Buffers: clone(buffers)}
		if err := emulated(t).Run(job, work...); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := kernel.FaultError(job.Fault); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = job.Buffers
		}
		for i := range first {
			if !bytes.Equal(first[i], job.Buffers[i]) {
				t.Fatalf("buffer %d depends on the order of threads: seeds 0 and %d differ", i, seed)
			}
		}
	}
	return first
}

func raw[T int32 | float32 | uint16](x ...T) []byte { return bytes.Clone(device.Bytes(x)) }

// normal returns n numbers of the normal distribution.
func normal(random *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(random.NormFloat64())
	}
	return x
}

func TestAdamATan2_updatesAllTensorsAsTheReferenceDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 0))
	h := device.AdamATan2Step{LearningRate: 1e-2, WeightDecay: 0.5, Beta1: 0.9, Beta2: 0.95, EMADecay: 0.8, Step: 7}
	scalars, err := kernel.AdamScalars(h)
	if err != nil {
		t.Fatal(err)
	}
	buffers := [][]byte{scalars, raw[int32](1)}
	var tensors []kernel.Tensor
	for i, n := range []int{1, 1023, 1024, 4100, 7} {
		at := len(buffers)
		tensor := kernel.Tensor{P: at, G: at + 1, M: at + 2, V: at + 3, Average: at + 4, Copy: at + 5, N: n}
		v := normal(random, n)
		for k := range v {
			v[k] *= v[k]
		}
		buffers = append(buffers, raw(normal(random, n)...), raw(normal(random, n)...), raw(normal(random, n)...), raw(v...))
		if i == 2 {
			tensor.Average, tensor.Copy = -1, at+4
		} else {
			buffers = append(buffers, raw(normal(random, n)...))
		}
		if i == 1 {
			tensor.Copy = -1
		} else {
			buffers = append(buffers, make([]byte, 2*n))
		}
		tensors = append(tensors, tensor)
	}
	work, err := kernel.AdamATan2("test", tensors, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, want := run(t, buffers, work), clone(buffers)
	for _, tensor := range tensors {
		array := func(i int) device.Array { return device.HostArrayOver(device.Float32, want[i]) }
		dense, results := device.Dense{Value: array(tensor.P), Gradient: array(tensor.G), M: array(tensor.M), V: array(tensor.V)}, map[string]int{"p": tensor.P, "m": tensor.M, "v": tensor.V}
		if tensor.Average >= 0 {
			dense.Average, results["average"] = array(tensor.Average), tensor.Average
		}
		if err := reference.New().AdamATan2([]device.Dense{dense}, h); err != nil {
			t.Fatal(err)
		}
		for name, i := range results {
			compare(t, fmt.Sprintf("%s of %d", name, tensor.N), floats(t, device.Float32, got[i]), floats(t, device.Float32, want[i]), 1e-6)
		}
		if tensor.Copy < 0 {
			continue
		}
		rounded := device.NewHostArray(device.BFloat16, tensor.N)
		if err := device.WriteFloats(rounded, 0, floats(t, device.Float32, got[tensor.P])); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(rounded.Bytes(), got[tensor.Copy]) {
			t.Errorf("the copy of %d numbers is not the parameter rounded", tensor.N)
		}
	}
	copy(buffers[1], raw[int32](0))
	for i, b := range run(t, buffers, work) {
		if !bytes.Equal(b, buffers[i]) {
			t.Errorf("buffer %d changes after a loss that is not finite", i)
		}
	}
}

func TestSignSGD_sumsRepeatedRowsAsTheOptimizerDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 0))
	for _, c := range []struct{ rows, dim, size int }{{1, 1, 1}, {7, 64, 3}, {40, 300, 9}} {
		ids := make([]int32, c.rows)
		for i := range ids {
			ids[i] = random.Int32N(int32(c.size))
		}
		table, gradients := normal(random, c.size*c.dim), normal(random, c.rows*c.dim)
		// A sum of zero has no sign.
		gradients[0] = 0
		buffers := [][]byte{raw(table...), raw(ids...), raw(gradients...), kernel.SignScalars(1e-2, 0.5), raw[int32](1)}
		work, err := kernel.SignSGD(kernel.SignBuffers{Table: 0, IDs: 1, Gradients: 2, Scalars: 3, Finite: 4}, c.rows, c.dim, c.size)
		if err != nil {
			t.Fatal(err)
		}
		got := run(t, buffers, work)
		want := device.HostArrayOver(device.Float32, buffers[0])
		sign := optim.SparseSignSGD{Device: reference.New(), Table: want, Dim: c.dim, WeightDecay: 0.5}
		if err := sign.Step(ids, gradients, 1e-2); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got[0], want.Bytes()) {
			t.Errorf("%d rows of %d in a table of %d: the table differs", c.rows, c.dim, c.size)
		}
	}
}

func TestSignSGD_reportsARowOutsideOfTheTable(t *testing.T) {
	buffers := [][]byte{raw[float32](1, 2), raw[int32](2), raw[float32](1), kernel.SignScalars(1, 0), raw[int32](1)}
	work, err := kernel.SignSGD(kernel.SignBuffers{Table: 0, IDs: 1, Gradients: 2, Scalars: 3, Finite: 4}, 1, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	job := &emulate.Job{Buffers: buffers}
	if err := emulated(t).Run(job, work); err != nil {
		t.Fatal(err)
	}
	if kernel.FaultError(job.Fault) == nil {
		t.Error("no fault")
	}
}
