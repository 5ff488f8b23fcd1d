package cuda_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/fakegpu"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
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
func newLearner(t *testing.T, d device.Device, s loop.Source, maxSegments int32, halting v1alpha1.Halting) learner {
	t.Helper()
	return newMember(t, d, s, maxSegments, halting, collective.Single{})
}

// newMember is newLearner of a rank.
func newMember(t *testing.T, d device.Device, s loop.Source, maxSegments int32, halting v1alpha1.Halting, group collective.Group) learner {
	t.Helper()
	spec := tinySpec()
	spec.ACT.MaxSteps, spec.ACT.Halting = maxSegments, halting
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
	trainer, err := loop.NewGroupTrainer(n, s, seqLen, loop.Hyperparameters{
		Batch: batch, TotalSteps: 100, LearningRate: 1e-3, MinLearningRateRatio: 0.1, WarmupSteps: 3, WeightDecay: 0.1, Beta1: 0.9, Beta2: 0.95, EMADecay: 0.9,
		PuzzleLearningRate: 1e-2, PuzzleWeightDecay: 0.1, MaxSegments: int(maxSegments), Exploration: 0.5, Seed: 1 << 40,
	}, group)
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
		halting     v1alpha1.Halting
	}{
		{"adaptive", segments, v1alpha1.HaltingQLearning}, {"halting at a right answer", segments, v1alpha1.HaltingQHalt},
		{"fixed segments", segments, v1alpha1.HaltingFixed}, {"a single segment", 1, v1alpha1.HaltingQLearning},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := anyGPU(t)
			ours := newLearner(t, d, newSource(), test.maxSegments, test.halting)
			theirs := newLearner(t, hostDecides{d}, newSource(), test.maxSegments, test.halting)
			for _, steps := range []int{1, 7, 4} {
				ours.steps(steps)
				theirs.steps(steps)
				if diff := cmp.Diff(theirs.window(), ours.window(), cmpopts.EquateApprox(1e-12, 0)); diff != "" {
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
	l := newLearner(t, open(t, c, options(t, c)), newSource(), segments, v1alpha1.HaltingQLearning)
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
	ours := newLearner(t, d, newSource(), segments, v1alpha1.HaltingQLearning)
	theirs := newLearner(t, d, newSource(), segments, v1alpha1.HaltingQLearning)
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
	l := newLearner(t, anyGPU(t), newSource(), segments, v1alpha1.HaltingQLearning)
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
	l := newLearner(t, anyGPU(t), strange{newSource()}, segments, v1alpha1.HaltingQLearning)
	err := errors.Join(l.trainer.Step(context.Background()), l.trainer.Settle())
	if err == nil || !strings.Contains(err.Error(), "step 1: a puzzle identifier is outside of the puzzle table") {
		t.Errorf("got %v", err)
	}
}

// TestStepper_ofTwoGPUsTrainsAsOneDoes gives one of them two rows of each batch, and the other one.
func TestStepper_ofTwoGPUsTrainsAsOneDoes(t *testing.T) {
	const steps = 6
	c := gpu(t)
	all := fakegpu.Devices(t, c, 2)
	windows, weights := make([]loop.Window, 2), make([]map[string]checkpoint.Tensor, 2)
	var wait sync.WaitGroup
	for i, member := range collective.Local(collective.Single{}, 2) {
		wait.Go(func() {
			var err error
			defer func() { _ = member.Close(err) }()
			var group collective.Group
			if group, err = collective.Linked(t.Context(), member, all[i], func(string) {}); err != nil {
				t.Error(err)
				return
			}
			l := newMember(t, all[i], newSource(), segments, v1alpha1.HaltingQLearning, group)
			for range steps {
				if err = l.trainer.Step(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
			if windows[i], err = l.trainer.TakeWindow(); err != nil {
				t.Error(err)
				return
			}
			weights[i], err = l.network.Weights()
			if err = errors.Join(err, l.trainer.Close(), group.Close(err)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	one := newLearner(t, all[0], newSource(), segments, v1alpha1.HaltingQLearning)
	one.steps(steps)
	if diff := cmp.Diff(windows[0], windows[1]); diff != "" {
		t.Errorf("figures at the two ranks:\n%s", diff)
	}
	if diff := cmp.Diff(one.window(), windows[0], cmpopts.EquateApprox(1e-3, 0)); diff != "" {
		t.Errorf("figures (-one GPU +two):\n%s", diff)
	}
	for name, x := range weights[0] {
		if !bytes.Equal(x.Data, weights[1][name].Data) {
			t.Errorf("%s differs between the ranks", name)
		}
	}
}
