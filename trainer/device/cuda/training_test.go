package cuda_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

const (
	batch, seqLen, vocabulary, puzzles = 3, 5, 7, 4
	segments                           = 3
)

// tinySpec is a model with two heads of 32 numbers, so that its attention is that of the tensor cores in bfloat16.
func tinySpec() v1alpha1.ModelSpec {
	return v1alpha1.ModelSpec{
		Architecture: v1alpha1.ArchitectureHRM, HiddenSize: 64, NumHeads: 2, Expansion: 1, HLayers: 1, LLayers: 1, HCycles: 1, LCycles: 2,
		PositionEncoding: v1alpha1.PositionEncodingRoPE, Loss: v1alpha1.LossStablemax, ACT: v1alpha1.ACTSpec{MaxSteps: segments, ExplorationProbability: "0.1"},
	}
}

func tiny(t *testing.T, precision v1alpha1.Precision) *model.Model {
	t.Helper()
	m, err := model.Build(tinySpec(), model.Shape{SeqLen: seqLen, VocabSize: vocabulary, NumPuzzleIdentifiers: puzzles}, precision, batch)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// source gives the same few random examples again and again, so that there is something to learn.
type source struct {
	batches []loop.Batch
	next    *int
}

func newSource() source {
	random := rand.New(rand.NewPCG(3, 4))
	s := source{batches: make([]loop.Batch, 4), next: new(int)}
	for n := range s.batches {
		b := loop.Batch{Inputs: make([]int32, batch*seqLen), Labels: make([]int32, batch*seqLen), Puzzles: make([]int32, batch)}
		for i := range b.Inputs {
			b.Inputs[i], b.Labels[i] = random.Int32N(vocabulary), random.Int32N(vocabulary)
		}
		for i := range b.Puzzles {
			b.Puzzles[i] = random.Int32N(puzzles)
		}
		s.batches[n] = b
	}
	return s
}

func (s source) Next() loop.Batch {
	*s.next++
	return s.batches[*s.next%len(s.batches)]
}
func (source) Position() ([]byte, error) { return nil, nil }
func (source) Seek([]byte) error         { return nil }

func newTrainer(n *loop.Network) (*loop.Trainer, error) {
	return loop.NewTrainer(n, newSource(), seqLen, loop.Hyperparameters{
		Batch: batch, TotalSteps: 100, LearningRate: 1e-3, MinLearningRateRatio: 1, WeightDecay: 0.1, Beta1: 0.9, Beta2: 0.95,
		PuzzleLearningRate: 1e-2, PuzzleWeightDecay: 0.1, MaxSegments: segments, Exploration: 0.1,
	})
}

// train makes steps and returns the sums of each, and all weights after them.
func train(d device.Device, m *model.Model, steps int) (windows []loop.Window, weights map[string]checkpoint.Tensor, err error) {
	n, err := loop.NewNetwork(d, m, true)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if e := n.Close(); err == nil {
			err = e
		}
	}()
	if err := n.Initialize(1); err != nil {
		return nil, nil, err
	}
	t, err := newTrainer(n)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	for range steps {
		if err := t.Step(context.Background()); err != nil {
			return nil, nil, err
		}
		w, err := t.TakeWindow()
		if err != nil {
			return nil, nil, err
		}
		windows = append(windows, w)
	}
	weights, err = n.Weights()
	return windows, weights, err
}

// TestTraining_hasTheLossesOfTheReference compares steps one by one until rounding has grown, and where a GPU makes 500 of
// them, what the last fifty have come to.
func TestTraining_hasTheLossesOfTheReference(t *testing.T) {
	const compared = 6
	for precision, tolerance := range map[v1alpha1.Precision]float64{v1alpha1.PrecisionFloat32: 1e-4, v1alpha1.PrecisionBFloat16: 2e-2} {
		t.Run(string(precision), func(t *testing.T) {
			steps := compared
			if hasGPU() {
				steps = 500
			}
			m := tiny(t, precision)
			got, _, err := train(anyGPU(t), m, steps)
			if err != nil {
				t.Fatal(err)
			}
			want, _, err := train(reference.New(), m, steps)
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			for i := range want[:compared] {
				for _, pair := range [][2]float64{{got[i].LM, want[i].LM}, {got[i].QHalt, want[i].QHalt}, {got[i].Took, want[i].Took}} {
					worst = max(worst, math.Abs(pair[0]-pair[1])/max(1, math.Abs(pair[1])))
				}
				// In the first step q_continue is its own target: its gradient is rounding, and the optimizer makes a whole step of it.
				if !(math.Abs(got[i].QContinue-want[i].QContinue) <= 0.01) {
					t.Errorf("step %d: the loss of q_continue is %g, on the reference device %g", i+1, got[i].QContinue, want[i].QContinue)
				}
			}
			if !(worst <= tolerance) {
				t.Errorf("losses differ by up to %.2g:\n%+v\nthe reference device has\n%+v", worst, got[:compared], want[:compared])
			}
			t.Logf("the largest difference of the first %d steps is %.2g", compared, worst)
			if steps < 100 {
				return
			}
			ours, theirs := meanLoss(got[steps-50:]), meanLoss(want[steps-50:])
			t.Logf("the loss begins at %.3f and ends at %.4f, on the reference device at %.4f", meanLoss(got[:1]), ours, theirs)
			if !(math.Abs(ours-theirs) <= 0.1*meanLoss(want[:1])) {
				t.Errorf("the loss ends at %g, on the reference device at %g", ours, theirs)
			}
		})
	}
}

// meanLoss is the mean loss per row of the tokens.
func meanLoss(windows []loop.Window) float64 {
	sum, rows := 0.0, 0.0
	for _, w := range windows {
		sum, rows = sum+w.LM, rows+w.Rows
	}
	return sum / rows
}

func TestTraining_givesTheSameBitsAgain(t *testing.T) {
	var runs []map[string]checkpoint.Tensor
	for _, name := range []string{"first", "again"} {
		t.Run(name, func(t *testing.T) {
			_, weights, err := train(anyGPU(t), tiny(t, v1alpha1.PrecisionBFloat16), 3)
			if err != nil {
				t.Fatal(err)
			}
			runs = append(runs, weights)
		})
	}
	if len(runs) != 2 {
		return
	}
	for name, x := range runs[0] {
		if !bytes.Equal(x.Data, runs[1][name].Data) {
			t.Errorf("%s has other bits the second time", name)
		}
	}
}

func TestTraining_waitsForNoCompilerOnceItsProgramsAreCompiled(t *testing.T) {
	c := gpu(t)
	d := open(t, c, options(t, c))
	n, err := loop.NewNetwork(d, tiny(t, v1alpha1.PrecisionBFloat16), true)
	if err != nil {
		t.Fatal(err)
	}
	compiled, loaded := c.Count("nvrtcCompileProgram"), c.Count("cuModuleLoadData")
	trainer, err := newTrainer(n)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := trainer.Step(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if err := trainer.Settle(); err != nil {
		t.Fatal(err)
	}
	if more := c.Count("nvrtcCompileProgram") - compiled; more != 0 {
		t.Errorf("%d kernel files were compiled in the first steps", more)
	}
	if more := c.Count("cuModuleLoadData") - loaded; more != 0 {
		t.Errorf("%d kernel files were loaded in the first steps", more)
	}
}

// trainOnce opens a device, trains three steps, which capture a graph unless they are profiled, and closes the device.
func trainOnce(o cuda.Options, m *model.Model, profile bool) error {
	d, err := cuda.New(o)
	if err != nil {
		return err
	}
	if profile {
		d.StartProfile()
	}
	_, _, err = train(d, m, 3)
	if _, e := d.StopProfile(); err == nil {
		err = e
	}
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}

// TestTraining_survivesTheFailureOfEveryCall makes every call of a short training fail once: what failed is named, everything
// is freed, and nothing is used that should not be.
func TestTraining_survivesTheFailureOfEveryCall(t *testing.T) {
	// What profiling adds is a call for every instruction: a part of them will do.
	for profile, stride := range map[bool]int{false: 1, true: 11} {
		if testing.Short() {
			stride *= 11
		}
		t.Run(fmt.Sprintf("profile %v", profile), func(t *testing.T) {
			c := gpu(t)
			m := tiny(t, v1alpha1.PrecisionBFloat16)
			fail := func(n int) {
				t.Helper()
				o := options(t, c)
				var notes []string
				o.Note = func(note string) { notes = append(notes, note) }
				c.Reset()
				c.SetIdle(true)
				c.FailAt(n)
				err := trainOnce(o, m, profile)
				said := strings.Join(notes, "\n")
				if err != nil {
					said += err.Error()
				}
				if name := c.Failed(); !strings.Contains(said, name) || name == "" && said != "" {
					t.Errorf("call %d, %s, failed, and that says: %q", n, name, said)
				}
				if err := c.CheckClosed(); err != nil {
					t.Fatalf("call %d, %s, failed: %v", n, c.Failed(), err)
				}
			}
			fail(0)
			calls := c.Calls()
			t.Logf("a training makes %d calls", calls)
			for n := 1; n <= calls; n += stride {
				fail(n)
			}
		})
	}
}
