package optim

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

func TestLearningRate(t *testing.T) {
	cases := map[string]struct {
		step, warmup, total int64
		ratio, want         float64
	}{
		"the first step has one share of the warm-up":     {1, 2000, 26041, 1, 0.0005},
		"half of the warm-up":                             {1000, 2000, 26041, 1, 0.5},
		"the warm-up ends at the base":                    {2000, 2000, 26041, 1, 1},
		"a ratio of 1 stays there":                        {26041, 2000, 26041, 1, 1},
		"the middle of the cosine is halfway":             {150, 100, 200, 0.1, 0.55},
		"the end of the cosine is the minimum":            {200, 100, 200, 0.1, 0.1},
		"steps after the end stay at the minimum":         {300, 100, 200, 0.1, 0.1},
		"without warm-up the cosine begins at once":       {0, 0, 100, 0.1, 1},
		"a warm-up that fills the training never divides": {5, 5, 5, 0.5, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := LearningRate(c.step, 1, c.warmup, c.total, c.ratio); math.Abs(got-c.want) > 1e-12 {
				t.Errorf("rate is %g, want %g", got, c.want)
			}
		})
	}
}

// Batches follow each other in the same memory: nothing of one is left in the next.
func TestSparseSignSGDSumsRepeatedIDs(t *testing.T) {
	s := &SparseSignSGD{Dim: 2}
	for _, c := range []struct {
		ids             []int32
		gradients, sums []float32
		rows            []int32
	}{
		{ids: []int32{7, 2, 7}, gradients: []float32{1, 2, 3, 4, 10, 20}, rows: []int32{2, 7}, sums: []float32{3, 4, 11, 22}},
		{ids: []int32{9, 1, 5}, gradients: []float32{1, 2, 3, 4, 5, 6}, rows: []int32{1, 5, 9}, sums: []float32{3, 4, 5, 6, 1, 2}},
		{ids: []int32{4, 4, 4}, gradients: []float32{1, 2, 1, 2, 1, 2}, rows: []int32{4}, sums: []float32{3, 6}},
	} {
		s.group(c.ids, c.gradients)
		if diff := cmp.Diff(c.rows, s.rows); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(c.sums, s.sums); diff != "" {
			t.Error(diff)
		}
	}
}

func array(t *testing.T, x ...float32) device.Array {
	t.Helper()
	a := device.NewHostArray(device.Float32, len(x))
	if err := device.WriteFloats(a, 0, x); err != nil {
		t.Fatal(err)
	}
	return a
}

func floats(t *testing.T, a device.Array) []float32 {
	t.Helper()
	x, err := device.ReadFloats(a, 0, a.Len())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func near(tolerance float64) cmp.Option {
	return cmp.Comparer(func(a, b float32) bool { return math.Abs(float64(a-b)) <= tolerance*(1+math.Abs(float64(b))) })
}

// Opposite gradients of one id cancel: no sign, only decay.
func TestSparseSignSGDTakesTheSignOfTheSum(t *testing.T) {
	table := array(t, 1, 2, 3)
	s := &SparseSignSGD{Device: reference.New(), Table: table, Dim: 1, WeightDecay: 0.5}
	if err := s.Step([]int32{0, 2, 0, 2}, []float32{5, 1, -5, 1}, 0.1); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float32{0.95, 2, 2.75}, floats(t, table), near(1e-6)); diff != "" {
		t.Error(diff)
	}
	if err := s.Step([]int32{0}, []float32{1, 2}, 0.1); err == nil {
		t.Error("gradients that do not fit the ids are no error")
	}
}

var hyper = Hyperparameters{WeightDecay: 0.1, Beta1: 0.9, Beta2: 0.95}

func newAdam(t *testing.T, p, g device.Array) *DeviceAdamATan2 {
	t.Helper()
	o, err := NewDeviceAdamATan2(reference.New(), []Parameter{{Name: "w", Value: p, Gradient: g}}, hyper)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func step(t *testing.T, o interface{ Step(float64) error }, rate float64) {
	t.Helper()
	if err := o.Step(rate); err != nil {
		t.Fatal(err)
	}
}

// Training that is exported, imported and continued ends where training in one go ends, bit for bit.
func TestImportContinuesWhatExportLeft(t *testing.T) {
	whole, g := array(t, 1, -2), array(t, 0.5, 3)
	o := newAdam(t, whole, g)
	for range 5 {
		step(t, o, 0.01)
	}
	half := array(t, 1, -2)
	first := newAdam(t, half, g)
	step(t, first, 0.01)
	step(t, first, 0.01)
	state, err := first.Export()
	if err != nil {
		t.Fatal(err)
	}
	second := newAdam(t, half, g)
	if err := second.Import(state); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		step(t, second, 0.01)
	}
	if diff := cmp.Diff(floats(t, whole), floats(t, half)); diff != "" {
		t.Error(diff)
	}
}

func TestImportRefusesAnotherModel(t *testing.T) {
	o := newAdam(t, array(t, 1, 2), array(t, 1, 2))
	for name, moments := range map[string]map[string][]float32{
		"another name": {"m.w": {0, 0}, "v.x": {0, 0}},
		"another size": {"m.w": {0, 0}, "v.w": {0}},
		"too few":      {"m.w": {0, 0}},
	} {
		if err := o.Import(AdamATan2State{Step: 9, Moments: moments}); err == nil || !strings.Contains(err.Error(), "another model") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	if s, _ := o.Export(); s.Step != 0 {
		t.Error("a refused state changed the step")
	}
}

// valueGrad is a parameter as Gorgonia's solvers see one.
type valueGrad struct{ value, grad gorgonia.Value }

func (v valueGrad) Value() gorgonia.Value         { return v.value }
func (v valueGrad) Grad() (gorgonia.Value, error) { return v.grad, nil }

func TestSolverDoesWhatTheDeviceDoes(t *testing.T) {
	p, g := []float32{1, -2, 0.5}, []float32{0.1, 3, 0}
	onDevice := array(t, p...)
	o := newAdam(t, onDevice, array(t, g...))
	dense := tensor.New(tensor.WithShape(3), tensor.WithBacking(append([]float32{}, p...)))
	s := &AdamATan2{LearningRate: 0.01, Hyperparameters: hyper}
	for range 3 {
		step(t, o, 0.01)
		if err := s.Step([]gorgonia.ValueGrad{valueGrad{dense, tensor.New(tensor.WithShape(3), tensor.WithBacking(g))}}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(floats(t, onDevice), dense.Data().([]float32)); diff != "" {
		t.Error(diff)
	}
}

// The recording holds the parameters before the first step, their gradients, and the parameters after it.
func TestFirstStepEqualsTheRecording(t *testing.T) {
	recording, _, err := checkpoint.ReadSafetensors("../../../shared/golden/hrm_small.safetensors")
	if err != nil {
		t.Skipf("no recording: %v", err)
	}
	get := func(name string) []float32 {
		x, err := recording[name].Float32s()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return x
	}
	compared := 0
	for name := range recording {
		parameter, ok := strings.CutPrefix(name, "step0/grad/")
		if !ok {
			continue
		}
		compared++
		if parameter == "model.inner.puzzle_emb.local_weights" {
			continue
		}
		p := array(t, get("init/"+parameter)...)
		step(t, newAdam(t, p, array(t, get(name)...)), 1e-3)
		if diff := cmp.Diff(get("step0/after/"+parameter), floats(t, p), near(1e-6)); diff != "" {
			t.Errorf("%s: %s", parameter, fmt.Sprintf("%.300s", diff))
		}
	}
	if compared < 13 {
		t.Errorf("the recording has only %d gradients", compared)
	}
	ids, err := recording["step0/batch/puzzle_identifiers"].Int32s()
	if err != nil {
		t.Fatal(err)
	}
	table := array(t, get("init/model.inner.puzzle_emb.weights")...)
	s := &SparseSignSGD{Device: reference.New(), Table: table, Dim: 32, WeightDecay: 0.1}
	if err := s.Step(ids, get("step0/grad/model.inner.puzzle_emb.local_weights"), 1e-2); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(get("step0/after/model.inner.puzzle_emb.weights"), floats(t, table), near(1e-6)); diff != "" {
		t.Errorf("puzzle table: %.300s", diff)
	}
}
