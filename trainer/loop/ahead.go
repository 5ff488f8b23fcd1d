package loop

import (
	"context"
	"fmt"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// ahead makes the steps of a trainer by a device that decides by itself which rows halt. The carry is on the device, the
// trainer's own is only right after Settle, and of its own rank's rows. Figures of a step are known some steps later.
type ahead struct {
	stepper device.Stepper
	// puzzles and segments are the parts of the carry that the program does not know.
	puzzles, segments device.Array
}

// newAhead returns nil if the device leaves it to the host to decide, or cannot add up the gradients of the group by itself.
func newAhead(t *Trainer) (*ahead, error) {
	d, ok := t.network.Device.(device.StepDevice)
	link := collective.DeviceLink(t.group)
	if !ok || t.group.Size() > 1 && link == nil {
		return nil, nil
	}
	a := &ahead{}
	for _, x := range []*device.Array{&a.puzzles, &a.segments} {
		var err error
		if *x, err = t.network.Device.NewArray(device.Int32, t.rows()); err != nil {
			return nil, fmt.Errorf("allocate the carry: %w", err)
		}
	}
	s := device.Steps{
		Program: t.network.train, Bindings: t.arrays, Puzzles: a.puzzles, Segments: a.segments, Parameters: t.adam.Dense(),
		Link: link, Batch: t.hyper.Batch, Rows: t.rows(), First: t.from, MaxSegments: t.hyper.MaxSegments, Halting: t.network.Model.Halting(),
		Exploration: t.hyper.Exploration, Seed: t.hyper.Seed,
	}
	if t.sign != nil {
		s.Table, s.TableDim = t.network.parameters[model.PuzzleTable], t.network.puzzleDim()
	}
	var err error
	a.stepper, err = d.NewStepper(s)
	return a, err
}

// stepAhead hands the next step over to the device.
func (t *Trainer) stepAhead(ctx context.Context) error {
	b, width := t.source.Next(), len(t.carry.tokens)/t.hyper.Batch
	t.step++
	in := device.StepInput{
		Step: t.step, Tokens: b.Inputs[t.from*width : t.to*width], Labels: b.Labels[t.from*width : t.to*width], Puzzles: b.Puzzles[t.from:t.to],
		Adam:               t.adam.Next(t.learningRate(t.step, t.hyper.LearningRate)),
		PuzzleLearningRate: t.learningRate(t.step, t.hyper.PuzzleLearningRate), PuzzleWeightDecay: t.hyper.PuzzleWeightDecay,
	}
	t.watch.lap(partData)
	results, err := t.ahead.stepper.Step(ctx, in)
	t.watch.lap(partCompute)
	if err != nil {
		return fmt.Errorf("step %d: %w", t.step, collective.Verdict(t.group, cause(ctx, err)))
	}
	return t.hear(ctx, results)
}

// hear takes the results of steps that are done: all ranks have those of the same ones.
func (t *Trainer) hear(ctx context.Context, results []device.StepResult) error {
	for _, r := range results {
		if !r.Finite {
			return &NotFiniteError{Step: r.Step}
		}
		if err := t.addOfAll(ctx, r.Sums); err != nil {
			return fmt.Errorf("step %d: %w", r.Step, err)
		}
		t.count(r.Step)
	}
	return nil
}

// addOfAll adds the figures of a step to the window: those of all ranks, in their order.
func (t *Trainer) addOfAll(ctx context.Context, own device.StepSums) error {
	raw, err := t.group.AllGather(ctx, encodeSums(windowOf(own).values()))
	if err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	for rank, sums := range raw {
		var w Window
		if err := decodeSums(sums, w.values()); err != nil {
			return fmt.Errorf("figures of rank %d: %w", rank, err)
		}
		for i, x := range w.values() {
			*t.window.values()[i] += *x
		}
	}
	return nil
}

// Settle waits until all steps are done, and the trainer's carry and window are those after the last one.
func (t *Trainer) Settle() error {
	if t.ahead == nil {
		return nil
	}
	results, err := t.ahead.stepper.Wait()
	if err != nil {
		return fmt.Errorf("step %d: %w", t.step, collective.Verdict(t.group, err))
	}
	if err := t.hear(t.group.Context(), results); err != nil {
		return err
	}
	return t.readCarry()
}

// onDevice lists the parts of this rank's rows that a device which decides by itself has.
func (t *Trainer) onDevice() []carryPart {
	c, width := &t.carry, len(t.carry.tokens)/t.hyper.Batch
	return []carryPart{
		{"tokens", t.arrays["tokens"], c.tokens[t.from*width : t.to*width]}, {"labels", t.arrays["labels"], c.labels[t.from*width : t.to*width]},
		{"puzzles", t.ahead.puzzles, c.puzzles[t.from:t.to]}, {"steps", t.ahead.segments, c.steps[t.from:t.to]},
	}
}

type carryPart struct {
	name  string
	array device.Array
	host  []int32
}

// readCarry copies this rank's rows from the device.
func (t *Trainer) readCarry() error {
	for _, p := range t.onDevice() {
		x, err := device.ReadInts(p.array, 0, len(p.host))
		if err != nil {
			return fmt.Errorf("read %s: %w", p.name, err)
		}
		copy(p.host, x)
	}
	halted, err := device.ReadInts(t.arrays["halted"], 0, t.rows())
	if err != nil {
		return fmt.Errorf("read halted: %w", err)
	}
	for i, h := range halted {
		t.carry.halted[t.from+i] = h != 0
	}
	return nil
}

// writeCarry copies this rank's rows to the device, if it decides by itself.
func (t *Trainer) writeCarry() error {
	if t.ahead == nil {
		return nil
	}
	parts := append(t.onDevice(), carryPart{"halted", t.arrays["halted"], bits(t.carry.halted[t.from:t.to])})
	for _, p := range parts {
		if err := device.WriteInts(p.array, 0, p.host); err != nil {
			return fmt.Errorf("write %s: %w", p.name, err)
		}
	}
	return nil
}

func windowOf(sums device.StepSums) *Window {
	var w Window
	for i, x := range w.values() {
		*x = sums[i]
	}
	return &w
}

// gatherCarry fills in the other ranks' rows of the carry.
func (t *Trainer) gatherCarry(ctx context.Context) error {
	if t.ahead == nil || t.group.Size() == 1 {
		return nil
	}
	c, width := &t.carry, len(t.carry.tokens)/t.hyper.Batch
	halted := bits(c.halted)
	parts := func(from, to int) [5][]int32 {
		return [...][]int32{c.tokens[from*width : to*width], c.labels[from*width : to*width], c.puzzles[from:to], c.steps[from:to], halted[from:to]}
	}
	var own []byte
	for _, p := range parts(t.from, t.to) {
		own = append(own, device.Bytes(p)...)
	}
	all, err := t.group.AllGather(ctx, own)
	if err != nil {
		return fmt.Errorf("gather the rows in work: %w", err)
	}
	for rank, raw := range all {
		from, to := collective.Share(t.hyper.Batch, rank, t.group.Size())
		if want := 4 * (to - from) * (2*width + 3); len(raw) != want {
			return fmt.Errorf("rank %d sent %d bytes of rows, want %d: it runs another version", rank, len(raw), want)
		}
		for _, p := range parts(from, to) {
			raw = raw[copy(device.Bytes(p), raw):]
		}
	}
	for i, h := range halted {
		c.halted[i] = h != 0
	}
	return nil
}

// Close frees what the trainer has on the device besides arrays.
func (t *Trainer) Close() error {
	if t.ahead == nil {
		return nil
	}
	return t.ahead.stepper.Close()
}

// made is a step that is done, and the window up to it.
type made struct {
	step   int64
	window Window
}

// count notes a step that is done and in the window, if somebody asks for such, and begins a new window where one ends.
func (t *Trainer) count(step int64) {
	if t.windowEnds == nil {
		return
	}
	t.made = append(t.made, made{step, t.window})
	if t.windowEnds(step) {
		t.window = Window{}
	}
}

// takeMade returns the steps that were done since the last call.
func (t *Trainer) takeMade() []made {
	list := slices.Clone(t.made)
	t.made = t.made[:0]
	return list
}
