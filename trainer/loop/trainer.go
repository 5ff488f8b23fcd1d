package loop

import (
	"context"
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/model"
	"github.com/hrm-operator/hrm-operator/trainer/optim"
)

// Hyperparameters are the numbers of a training run.
type Hyperparameters struct {
	Batch      int
	TotalSteps int64

	LearningRate, MinLearningRateRatio float64
	WarmupSteps                        int64
	WeightDecay, Beta1, Beta2          float64
	// EMADecay is that of the averages of the weights; 0 has none.
	EMADecay                              float64
	PuzzleLearningRate, PuzzleWeightDecay float64
	MaxSegments                           int
	Exploration                           float64
	Seed                                  uint64
}

// NotFiniteError says that training has diverged: a loss is NaN or infinite, and the weights were left as they were.
type NotFiniteError struct{ Step int64 }

func (e *NotFiniteError) Error() string {
	return fmt.Sprintf("the loss of step %d is not a finite number; the last checkpoint is from before it, and going on from there comes to the same: lower spec.training.learningRate or lengthen spec.training.warmupSteps", e.Step)
}

// carry is what stays with a row from segment to segment, for all rows of the global batch; the states stay on the
// device of the process that has the row.
type carry struct {
	tokens, labels, puzzles []int32
	steps                   []int32
	halted                  []bool
}

// Trainer is the state of a training run between two steps.
//
// In a group, every rank holds the same Trainer but for the device arrays of the states, which hold the rows [from, to) of
// the global batch that the rank computes. What else a step needs of the other rows (their losses, their q, their
// gradients) is gathered in the order of the rows, so that every rank takes every decision for itself and comes to the
// same one, and a row's course does not depend on how many ranks there are.
type Trainer struct {
	network  *Network
	hyper    Hyperparameters
	source   Source
	adam     *optim.DeviceAdamATan2
	sign     *optim.SparseSignSGD
	group    collective.Group
	from, to int
	// gradients are the dense ones, in the order in which they are summed.
	gradients []device.Array
	watch     *stopwatch
	// ahead is there if the device makes steps by itself.
	ahead *ahead
	// windowEnds says after which steps a new window begins. Where it is there, made collects the steps that are done.
	windowEnds func(step int64) bool
	made       []made

	arrays map[string]device.Array
	carry  carry
	step   int64
	window Window

	// Memory that every step uses again. The outcome and the gradients of the puzzle rows [batch, dim] are those of the
	// whole batch; packed is what this rank tells the others of them; halted and last are inputs of its own rows.
	outcome        *Outcome
	puzzleGradient []float32
	packed         []float32
	halted, last   []int32
}

// NewTrainer returns the trainer of a single process at step 0: zero moments, and every row of the carry waiting for its
// first example.
func NewTrainer(n *Network, source Source, seqLen int, h Hyperparameters) (*Trainer, error) {
	return newTrainer(n, source, seqLen, h, collective.Single{}, nil)
}

// NewGroupTrainer returns the trainer of a rank at step 0, as [NewTrainer] does. All ranks must have the same weights.
func NewGroupTrainer(n *Network, source Source, seqLen int, h Hyperparameters, group collective.Group) (*Trainer, error) {
	return newTrainer(n, source, seqLen, h, group, nil)
}

// newTrainer returns a trainer of its rank's rows. watch may be nil.
func newTrainer(n *Network, source Source, seqLen int, h Hyperparameters, group collective.Group, watch *stopwatch) (*Trainer, error) {
	t := &Trainer{network: n, hyper: h, source: source, group: group, watch: watch}
	t.from, t.to = collective.Share(h.Batch, group.Rank(), group.Size())
	var err error
	if t.arrays, err = n.bind(n.Model.Train, t.rows()); err != nil {
		return nil, err
	}
	if h.EMADecay > 0 {
		if err := n.average(); err != nil {
			return nil, err
		}
	}
	var dense []optim.Parameter
	for _, p := range n.trainable() {
		gradient, ok := n.gradients["grad/"+p.Name]
		if !ok {
			return nil, fmt.Errorf("the training program computes no gradient of %s", p.Name)
		}
		dense = append(dense, optim.Parameter{Name: p.Name, Value: n.parameters[p.Name], Gradient: gradient, Average: n.averages[p.Name]})
		t.gradients = append(t.gradients, gradient)
	}
	t.adam, err = optim.NewDeviceAdamATan2(n.Device, dense, optim.Hyperparameters{WeightDecay: h.WeightDecay, Beta1: h.Beta1, Beta2: h.Beta2, EMADecay: h.EMADecay})
	if err != nil {
		return nil, err
	}
	if dim := n.puzzleDim(); dim > 0 {
		t.sign = &optim.SparseSignSGD{Device: n.Device, Table: n.parameters[model.PuzzleTable], Dim: dim, WeightDecay: h.PuzzleWeightDecay}
	}
	t.carry = newCarry(h.Batch, seqLen)
	if t.ahead, err = newAhead(t); err != nil {
		return nil, err
	}
	if t.ahead == nil {
		t.outcome, t.puzzleGradient = newOutcome(h.Batch), make([]float32, h.Batch*n.puzzleDim())
	}
	return t, t.writeCarry()
}

// newCarry returns a carry whose rows all wait for their first example.
func newCarry(batch, seqLen int) carry {
	c := carry{
		tokens: make([]int32, batch*seqLen), labels: make([]int32, batch*seqLen), puzzles: make([]int32, batch),
		steps: make([]int32, batch), halted: make([]bool, batch),
	}
	for i := range c.halted {
		c.halted[i] = true
	}
	return c
}

// rows is how many rows of the batch this rank computes.
func (t *Trainer) rows() int { return t.to - t.from }

// Step makes one optimizer step: one segment for every row of the batch. The weights are not touched if a loss is not
// finite, at whichever rank. A device that makes steps by itself may be some steps behind; Settle waits for it.
func (t *Trainer) Step(ctx context.Context) error {
	if t.ahead != nil {
		return t.stepAhead(ctx)
	}
	t.carry.admit(t.source.Next())
	if err := t.load(); err != nil {
		return fmt.Errorf("step %d: %w", t.step+1, err)
	}
	t.watch.lap(partData)
	if err := t.network.train.Run(ctx, t.rows(), t.arrays); err != nil {
		return fmt.Errorf("step %d: %w", t.step+1, cause(ctx, err))
	}
	t.watch.lap(partCompute)
	if err := t.gather(ctx); err != nil {
		return fmt.Errorf("step %d: %w", t.step+1, err)
	}
	if !t.outcome.finite() {
		return &NotFiniteError{Step: t.step + 1}
	}
	if err := t.group.AllReduce(ctx, t.gradients); err != nil {
		return fmt.Errorf("step %d: gradients: %w", t.step+1, err)
	}
	t.watch.lap(partAllReduce)
	t.step++
	t.halt(t.outcome)
	t.window.add(t.outcome, t.carry.halted, t.carry.steps)
	defer t.watch.lap(partCompute)
	if err := t.update(); err != nil {
		return err
	}
	t.count(t.step)
	return nil
}

// cause is the reason of an error that came because ctx has ended.
func cause(ctx context.Context, err error) error {
	if reason := context.Cause(ctx); reason != nil {
		return reason
	}
	return err
}

// gather fills in the outcome and the gradients of the puzzle rows, those of the whole batch.
func (t *Trainer) gather(ctx context.Context) error {
	if err := t.outcome.read(t.arrays, t.from, t.to); err != nil {
		return err
	}
	dim := t.network.puzzleDim()
	own := t.puzzleGradient[t.from*dim : t.to*dim]
	if dim > 0 {
		if err := device.ReadFloatsInto(own, t.arrays["grad/puzzle"], 0); err != nil {
			return fmt.Errorf("gradient of the puzzle rows: %w", err)
		}
	}
	if t.group.Size() == 1 {
		return nil
	}
	fields := t.outcome.fields()
	t.packed = t.packed[:0]
	for _, field := range fields {
		t.packed = append(t.packed, field[t.from:t.to]...)
	}
	t.packed = append(t.packed, own...)
	all, err := t.group.AllGather(ctx, device.Bytes(t.packed))
	if err != nil {
		return fmt.Errorf("losses: %w", err)
	}
	for rank, raw := range all {
		from, to := collective.Share(t.hyper.Batch, rank, t.group.Size())
		if have, n := len(raw)/device.Float32.Size(), to-from; have != n*(len(fields)+dim) {
			return fmt.Errorf("rank %d sent %d numbers for %d rows: it runs another version", rank, have, n)
		}
		for _, field := range fields {
			raw = raw[copy(device.Bytes(field[from:to]), raw):]
		}
		copy(device.Bytes(t.puzzleGradient[from*dim:to*dim]), raw)
	}
	return nil
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

// load writes this rank's rows of the carry to the device. Rows that had halted are reset there, by the program.
func (t *Trainer) load() error {
	c, width := &t.carry, len(t.carry.tokens)/t.hyper.Batch
	t.halted, t.last = t.halted[:0], t.last[:0]
	for i := t.from; i < t.to; i++ {
		t.halted = append(t.halted, bit(c.halted[i]))
		t.last = append(t.last, bit(int(c.steps[i]) >= t.hyper.MaxSegments))
	}
	for _, in := range [...]struct {
		name string
		x    []int32
	}{
		{"tokens", c.tokens[t.from*width : t.to*width]}, {"labels", c.labels[t.from*width : t.to*width]},
		{"halted", t.halted}, {"last", t.last},
	} {
		if err := writeInput(t.arrays, in.name, in.x); err != nil {
			return err
		}
	}
	return t.network.gatherPuzzles(t.arrays, c.puzzles[t.from:t.to])
}

// halt decides which rows are done with their example, in the step that is being counted.
func (t *Trainer) halt(o *Outcome) {
	segments, rule := int32(t.hyper.MaxSegments), t.network.Model.Halting()
	for i := range t.carry.halted {
		minimum := model.ExplorationMinimum(t.hyper.Seed, t.step, i, segments, t.hyper.Exploration)
		t.carry.halted[i] = model.Halted(rule, t.carry.steps[i], segments, o.QHalt[i], o.QContinue[i], minimum)
	}
}

// update changes the weights by the gradients of the step that has just been counted.
func (t *Trainer) update() error {
	if err := t.adam.Step(t.learningRate(t.step, t.hyper.LearningRate)); err != nil {
		return fmt.Errorf("step %d: %w", t.step, err)
	}
	if t.sign == nil {
		return nil
	}
	if err := t.sign.Step(t.carry.puzzles, t.puzzleGradient, t.learningRate(t.step, t.hyper.PuzzleLearningRate)); err != nil {
		return fmt.Errorf("step %d: %w", t.step, err)
	}
	return nil
}

// learningRate is the rate of a step, of an optimizer whose base is given.
func (t *Trainer) learningRate(step int64, base float64) float64 {
	return optim.LearningRate(step, base, t.hyper.WarmupSteps, t.hyper.TotalSteps, t.hyper.MinLearningRateRatio)
}

// bit is a flag as programs and checkpoints have it.
func bit(set bool) int32 {
	if set {
		return 1
	}
	return 0
}

// bits are flags as programs and checkpoints have them.
func bits(flags []bool) []int32 {
	out := make([]int32, len(flags))
	for i, set := range flags {
		out[i] = bit(set)
	}
	return out
}
