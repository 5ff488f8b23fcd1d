package cuda_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// hostDecides is a device of which the host does not see that it makes steps by itself.
type hostDecides struct{ device.Device }

// learner is a tiny model in training.
type learner struct {
	*testing.T
	network *loop.Network
	trainer *loop.Trainer
}

// newLearner builds a model with up to maxSegments segments, half of whose rows explore.
func newLearner(t *testing.T, d device.Device, s loop.Source, maxSegments int32, fixed bool) learner {
	t.Helper()
	spec := tinySpec()
	spec.ACT.MaxSteps = maxSegments
	m, err := model.Build(spec, model.Shape{SeqLen: seqLen, VocabSize: vocabulary, NumPuzzleIdentifiers: puzzles}, v1alpha1.PrecisionBFloat16, batch)
	if err != nil {
		t.Fatal(err)
	}
	n, err := loop.NewNetwork(d, m, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Initialize(1); err != nil {
		t.Fatal(err)
	}
	trainer, err := loop.NewTrainer(n, s, seqLen, loop.Hyperparameters{
		Batch: batch, TotalSteps: 100, LearningRate: 1e-3, MinLearningRateRatio: 0.1, WarmupSteps: 3, WeightDecay: 0.1, Beta1: 0.9, Beta2: 0.95,
		PuzzleLearningRate: 1e-2, PuzzleWeightDecay: 0.1, MaxSegments: int(maxSegments), FixedSegments: fixed, Exploration: 0.5, Seed: 1 << 40,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(trainer.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	})
	return learner{t, n, trainer}
}

func (l learner) steps(n int) {
	l.Helper()
	for range n {
		if err := l.trainer.Step(context.Background()); err != nil {
			l.Fatal(err)
		}
	}
}

func (l learner) window() loop.Window {
	l.Helper()
	w, err := l.trainer.TakeWindow()
	if err != nil {
		l.Fatal(err)
	}
	return w
}

func (l learner) weights() map[string]checkpoint.Tensor {
	l.Helper()
	w, err := l.network.Weights()
	if err != nil {
		l.Fatal(err)
	}
	return w
}

// TestStepper_comesToTheBitsOfTheHost lets the same steps be decided on the GPU and on the host.
func TestStepper_comesToTheBitsOfTheHost(t *testing.T) {
	for _, test := range []struct {
		name        string
		maxSegments int32
		fixed       bool
	}{{"adaptive", segments, false}, {"fixed segments", segments, true}, {"a single segment", 1, false}} {
		t.Run(test.name, func(t *testing.T) {
			d := anyGPU(t)
			ours := newLearner(t, d, newSource(), test.maxSegments, test.fixed)
			theirs := newLearner(t, hostDecides{d}, newSource(), test.maxSegments, test.fixed)
			for _, steps := range []int{1, 7, 4} {
				ours.steps(steps)
				theirs.steps(steps)
				if diff := cmp.Diff(theirs.window(), ours.window()); diff != "" {
					t.Errorf("figures (-host +GPU):\n%s", diff)
				}
			}
			want := theirs.weights()
			for name, x := range ours.weights() {
				if !bytes.Equal(x.Data, want[name].Data) {
					t.Errorf("%s has other bits", name)
				}
			}
		})
	}
}

func TestStepper_neitherWaitsNorAllocatesNorLaunchesPieceByPiece(t *testing.T) {
	const steps = 10
	c := gpu(t)
	l := newLearner(t, open(t, c, options(t, c)), newSource(), segments, false)
	l.steps(4)
	counted := []string{"cuStreamSynchronize", "cuEventSynchronize", "cuMemAlloc_v2", "cuMemAllocHost_v2", "cuGraphLaunch", "cuLaunchKernel"}
	before := map[string]int{}
	for _, name := range counted {
		before[name] = c.Count(name)
	}
	l.steps(steps)
	got := map[string]int{}
	for _, name := range counted {
		got[name] = c.Count(name) - before[name]
	}
	// It waits for the step of three before, gives rows their examples, and launches the graph of the rest.
	want := map[string]int{
		"cuStreamSynchronize": 0, "cuEventSynchronize": steps, "cuMemAlloc_v2": 0, "cuMemAllocHost_v2": 0, "cuGraphLaunch": steps, "cuLaunchKernel": steps,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls of %d steps (-want +got):\n%s", steps, diff)
	}
}

func TestStepper_goesOnAfterAnEvaluationHasMovedItsMemory(t *testing.T) {
	c := gpu(t)
	d := open(t, c, options(t, c))
	ours := newLearner(t, d, newSource(), segments, false)
	theirs := newLearner(t, d, newSource(), segments, false)
	ours.steps(5)
	if err := ours.trainer.Settle(); err != nil {
		t.Fatal(err)
	}
	const rows = 40 * batch
	e, err := loop.NewEvaluator(ours.network, rows, seqLen, 1)
	if err != nil {
		t.Fatal(err)
	}
	b := loop.Batch{Inputs: make([]int32, rows*seqLen), Labels: make([]int32, rows*seqLen), Puzzles: make([]int32, rows)}
	if _, err := e.Predict(context.Background(), b, rows); err != nil {
		t.Fatal(err)
	}
	ours.steps(5)
	theirs.steps(10)
	if diff := cmp.Diff(theirs.window(), ours.window()); diff != "" {
		t.Errorf("figures (-without an evaluation +with one):\n%s", diff)
	}
}

func TestStepper_changesNothingAfterALossThatIsNotFinite(t *testing.T) {
	l := newLearner(t, anyGPU(t), newSource(), segments, false)
	l.steps(2)
	if err := l.trainer.Settle(); err != nil {
		t.Fatal(err)
	}
	weights := l.weights()
	weights["lm_head.weight"].Data[3], weights["lm_head.weight"].Data[2] = 0x7f, 0xc0 // NaN
	if err := l.network.SetWeights(weights); err != nil {
		t.Fatal(err)
	}
	var err error
	for n := 0; n < 10 && err == nil; n++ {
		err = l.trainer.Step(context.Background())
	}
	var failed *loop.NotFiniteError
	if !errors.As(err, &failed) || failed.Step != 3 {
		t.Errorf("got %v, want that the loss of step 3 is not finite", err)
	}
	for name, x := range l.weights() {
		if !bytes.Equal(x.Data, weights[name].Data) {
			t.Errorf("%s has changed", name)
		}
	}
}

// strange gives a puzzle that the table does not have.
type strange struct{ source }

func (s strange) Next() loop.Batch {
	b := s.source.Next()
	b.Puzzles = []int32{0, puzzles, math.MaxInt32}
	return b
}

func TestStepper_namesAStepWhosePuzzlesAreNotInTheTable(t *testing.T) {
	l := newLearner(t, anyGPU(t), strange{newSource()}, segments, false)
	err := errors.Join(l.trainer.Step(context.Background()), l.trainer.Settle())
	if err == nil || !strings.Contains(err.Error(), "step 1: a puzzle identifier is outside of the puzzle table") {
		t.Errorf("got %v", err)
	}
}
