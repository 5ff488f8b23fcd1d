package loop

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/model"
	"github.com/hrm-operator/hrm-operator/trainer/optim"
)

// Hyperparameters are the numbers of a training run.
type Hyperparameters struct {
	Batch      int
	TotalSteps int64

	LearningRate, MinLearningRateRatio    float64
	WarmupSteps                           int64
	WeightDecay, Beta1, Beta2             float64
	PuzzleLearningRate, PuzzleWeightDecay float64
	MaxSegments                           int
	Exploration                           float64
	Seed                                  uint64
}

// NotFiniteError says that training has diverged: a loss is NaN or infinite, and the weights were left as they were.
type NotFiniteError struct{ Step int64 }

func (e *NotFiniteError) Error() string {
	return fmt.Sprintf("the loss of step %d is not a finite number; the last checkpoint is from before it: lower spec.training.learningRate or lengthen spec.training.warmupSteps", e.Step)
}

// carry is what stays with a row from segment to segment; the states zH and zL stay on the device.
type carry struct {
	tokens, labels, puzzles []int32
	steps                   []int32
	halted                  []bool
}

// Trainer is the state of a training run between two steps.
type Trainer struct {
	network *Network
	hyper   Hyperparameters
	source  Source
	adam    *optim.DeviceAdamATan2
	sign    *optim.SparseSignSGD

	arrays map[string]device.Array
	carry  carry
	random *rand.PCG
	step   int64
	window Window
}

// NewTrainer returns a trainer at step 0: zero moments, and every row of the carry waiting for its first example.
func NewTrainer(n *Network, source Source, seqLen int, h Hyperparameters) (*Trainer, error) {
	arrays, err := n.bind(n.Model.Train, h.Batch)
	if err != nil {
		return nil, err
	}
	var dense []optim.Parameter
	for _, p := range n.trainable() {
		gradient, ok := n.gradients["grad/"+p.Name]
		if !ok {
			return nil, fmt.Errorf("the training program computes no gradient of %s", p.Name)
		}
		dense = append(dense, optim.Parameter{Name: p.Name, Value: n.parameters[p.Name], Gradient: gradient})
	}
	adam, err := optim.NewDeviceAdamATan2(n.Device, dense, optim.Hyperparameters{WeightDecay: h.WeightDecay, Beta1: h.Beta1, Beta2: h.Beta2})
	if err != nil {
		return nil, err
	}
	t := &Trainer{network: n, hyper: h, source: source, adam: adam, arrays: arrays, random: rand.NewPCG(h.Seed, explorationStream)}
	if dim := n.puzzleDim(); dim > 0 {
		t.sign = &optim.SparseSignSGD{Device: n.Device, Table: n.parameters[model.PuzzleTable], Dim: dim, WeightDecay: h.PuzzleWeightDecay}
	}
	t.carry = carry{
		tokens: make([]int32, h.Batch*seqLen), labels: make([]int32, h.Batch*seqLen), puzzles: make([]int32, h.Batch),
		steps: make([]int32, h.Batch), halted: make([]bool, h.Batch),
	}
	for i := range t.carry.halted {
		t.carry.halted[i] = true
	}
	return t, nil
}

// explorationStream keeps the random numbers of exploration apart from those of the sampler and the weights.
const explorationStream = 0x61637421

// Step makes one optimizer step: one segment for every row of the batch. The weights are not touched if a loss is not
// finite.
func (t *Trainer) Step(ctx context.Context) error {
	t.carry.admit(t.source.Next())
	if err := t.load(); err != nil {
		return fmt.Errorf("step %d: %w", t.step+1, err)
	}
	if err := t.network.train.Run(ctx, t.hyper.Batch, t.arrays); err != nil {
		return fmt.Errorf("step %d: %w", t.step+1, err)
	}
	outcome, err := readOutcome(t.arrays, t.hyper.Batch)
	if err != nil {
		return fmt.Errorf("step %d: %w", t.step+1, err)
	}
	if !outcome.finite() {
		return &NotFiniteError{Step: t.step + 1}
	}
	t.halt(outcome)
	t.step++
	t.window.add(outcome, t.carry.halted, t.carry.steps)
	return t.update()
}

// admit gives the rows that have halted their row of a new batch, and counts the segment that is about to run.
func (c *carry) admit(b Batch) {
	width := len(c.tokens) / len(c.halted)
	for i, fresh := range c.halted {
		if fresh {
			copy(c.tokens[i*width:(i+1)*width], b.Inputs[i*width:])
			copy(c.labels[i*width:(i+1)*width], b.Labels[i*width:])
			c.puzzles[i] = b.Puzzles[i]
			c.steps[i] = 0
		}
		c.steps[i]++
	}
}

// load writes the carry to the device. Rows that had halted are reset there, by the program.
func (t *Trainer) load() error {
	last := make([]bool, t.hyper.Batch)
	for i, steps := range t.carry.steps {
		last[i] = int(steps) >= t.hyper.MaxSegments
	}
	for name, x := range map[string][]int32{
		"tokens": t.carry.tokens, "labels": t.carry.labels, "halted": flags(t.carry.halted), "last": flags(last),
	} {
		// A program of one segment needs no "last".
		if a, ok := t.arrays[name]; ok {
			if err := device.WriteInts(a, 0, x); err != nil {
				return fmt.Errorf("write %s: %w", name, err)
			}
		}
	}
	return t.network.gatherPuzzles(t.arrays, t.carry.puzzles)
}

// halt decides which rows are done with their example. Random numbers are drawn for every row, whether it needs them
// or not, so that one row's course does not move another's.
func (t *Trainer) halt(o Outcome) {
	random := rand.New(t.random)
	for i := range t.carry.halted {
		minimum := model.ExplorationMinimum(random.Float64(), random.IntN(max(1, t.hyper.MaxSegments-1)), t.hyper.Exploration)
		t.carry.halted[i] = model.Halted(t.carry.steps[i], int32(t.hyper.MaxSegments), o.QHalt[i], o.QContinue[i], minimum)
	}
}

// update changes the weights by the gradients of the step that has just been counted.
func (t *Trainer) update() error {
	if err := t.adam.Step(t.learningRate(t.hyper.LearningRate)); err != nil {
		return fmt.Errorf("step %d: %w", t.step, err)
	}
	if t.sign == nil {
		return nil
	}
	gradient, err := device.ReadFloats(t.arrays["grad/puzzle"], 0, t.hyper.Batch*t.sign.Dim)
	if err != nil {
		return fmt.Errorf("step %d: gradient of the puzzle rows: %w", t.step, err)
	}
	if err := t.sign.Step(t.carry.puzzles, gradient, t.learningRate(t.hyper.PuzzleLearningRate)); err != nil {
		return fmt.Errorf("step %d: %w", t.step, err)
	}
	return nil
}

// learningRate is the rate of the step that was counted last, of an optimizer whose base is given.
func (t *Trainer) learningRate(base float64) float64 {
	return optim.LearningRate(t.step, base, t.hyper.WarmupSteps, t.hyper.TotalSteps, t.hyper.MinLearningRateRatio)
}

func flags(b []bool) []int32 {
	out := make([]int32, len(b))
	for i, set := range b {
		if set {
			out[i] = 1
		}
	}
	return out
}
