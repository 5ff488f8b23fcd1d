package loop

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/official"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/optim"
)

// State is everything that the next step of a run depends on.
type State = checkpoint.State

// export copies everything that the next step depends on out of the trainers of a group. All ranks must call it; rank 0
// gets the state, the others an empty one.
func (t *Trainer) export(ctx context.Context) (State, error) {
	if err := t.Settle(); err != nil {
		return State{}, err
	}
	if err := t.gatherCarry(ctx); err != nil {
		return State{}, err
	}
	carry, err := t.exportCarry(ctx)
	if err != nil || t.group.Rank() != 0 {
		return State{}, err
	}
	s := State{Step: t.step, Model: map[string]checkpoint.Tensor{}, Optimizer: map[string]checkpoint.Tensor{}, Carry: carry}
	if err := t.exportWeights(&s); err != nil {
		return s, err
	}
	moments, err := t.adam.Export()
	if err != nil {
		return s, err
	}
	for name, x := range moments.Moments {
		// x is a copy already, and nobody else's.
		s.Optimizer[name] = checkpoint.Tensor{DType: checkpoint.F32, Shape: []int{len(x)}, Data: device.Bytes(x)}
	}
	s.Optimizer["step"] = checkpoint.Int32Tensor([]int32{int32(moments.Step)}, 1)
	return s, nil
}

// exportWeights copies the weights into s.
func (t *Trainer) exportWeights(s *State) error {
	weights, err := t.network.Weights()
	if err != nil {
		return err
	}
	for name, tensor := range weights {
		s.Model[official.Prefix+name] = tensor
	}
	return nil
}

// exportCarry copies the rows in work, those of all ranks, the sampler's position and the sums of the metrics.
func (t *Trainer) exportCarry(ctx context.Context) (map[string]checkpoint.Tensor, error) {
	c, b := &t.carry, len(t.carry.halted)
	list := map[string]checkpoint.Tensor{
		"tokens":  checkpoint.Int32Tensor(c.tokens, b, len(c.tokens)/b),
		"labels":  checkpoint.Int32Tensor(c.labels, b, len(c.labels)/b),
		"puzzles": checkpoint.Int32Tensor(c.puzzles, b),
		"steps":   checkpoint.Int32Tensor(c.steps, b),
		"halted":  checkpoint.Int32Tensor(bits(c.halted), b),
		"window":  bytesTensor(encodeSums(t.window.values())),
	}
	for _, name := range t.network.states() {
		a := t.arrays[name]
		raw, err := contents(a)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		all, err := t.group.AllGather(ctx, raw)
		if err != nil {
			return nil, fmt.Errorf("gather %s: %w", name, err)
		}
		list[name] = checkpoint.Tensor{DType: checkpoint.DType(a.DType().String()), Shape: []int{b, a.Len() / t.rows()}, Data: slices.Concat(all...)}
	}
	position, err := t.source.Position()
	if err != nil {
		return nil, fmt.Errorf("position in the dataset: %w", err)
	}
	list["sampler"] = bytesTensor(position)
	return list, nil
}

// restore puts an exported state back, of the carry this rank's rows. After an error the trainer is not to be used.
func (t *Trainer) restore(s State) error {
	if err := t.network.SetWeights(ModelWeights(s)); err != nil {
		return err
	}
	moments := optim.AdamATan2State{Moments: map[string][]float32{}}
	for name, tensor := range s.Optimizer {
		if name == "step" {
			continue
		}
		x, err := tensor.Float32s()
		if err != nil {
			return fmt.Errorf("optimizer state %s: %w", name, err)
		}
		moments.Moments[name] = x
	}
	count, err := s.Optimizer["step"].Int32s()
	if err != nil || len(count) != 1 {
		return fmt.Errorf("the optimizer state has no step: %w", err)
	}
	moments.Step = int64(count[0])
	if err := t.adam.Import(moments); err != nil {
		return err
	}
	t.step = s.Step
	return t.restoreCarry(s.Carry)
}

func (t *Trainer) restoreCarry(list map[string]checkpoint.Tensor) error {
	halted := make([]int32, len(t.carry.halted))
	for name, into := range map[string][]int32{
		"tokens": t.carry.tokens, "labels": t.carry.labels, "puzzles": t.carry.puzzles, "steps": t.carry.steps, "halted": halted,
	} {
		x, err := list[name].Int32s()
		if err != nil || len(x) != len(into) {
			return fmt.Errorf("the carry's %s has %d elements, want %d: the checkpoint is of another job (%w)", name, len(x), len(into), err)
		}
		copy(into, x)
	}
	for i, h := range halted {
		t.carry.halted[i] = h != 0
	}
	for _, name := range t.network.states() {
		if err := t.restoreStates(name, list[name]); err != nil {
			return err
		}
	}
	if err := decodeSums(list["window"].Data, t.window.values()); err != nil {
		return err
	}
	if err := t.source.Seek(list["sampler"].Data); err != nil {
		return fmt.Errorf("position in the dataset: %w", err)
	}
	return t.writeCarry()
}

// restoreStates puts back this rank's rows of a state. A device that computes in another precision rounds or widens them.
func (t *Trainer) restoreStates(name string, tensor checkpoint.Tensor) error {
	a := t.arrays[name]
	row := a.Len() / t.rows()
	if tensor.Elements() != row*t.hyper.Batch {
		return fmt.Errorf("the carry's %s is %s%v, want %d rows of %d numbers: the checkpoint is of another job", name, tensor.DType, tensor.Shape, t.hyper.Batch, row)
	}
	values, err := tensor.Float32s()
	if err != nil {
		return fmt.Errorf("the carry's %s: %w", name, err)
	}
	if err := device.WriteFloats(a, 0, values[t.from*row:t.to*row]); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// ModelWeights returns a checkpoint's weights, under the official names without their prefix.
func ModelWeights(s State) map[string]checkpoint.Tensor {
	weights := map[string]checkpoint.Tensor{}
	for _, name := range slices.Sorted(maps.Keys(s.Model)) {
		weights[official.ShortName(name)] = s.Model[name]
	}
	return weights
}

func bytesTensor(raw []byte) checkpoint.Tensor {
	return checkpoint.Tensor{DType: checkpoint.U8, Shape: []int{len(raw)}, Data: raw}
}

func encodeSums(sums []*float64) []byte {
	var raw []byte
	for _, x := range sums {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(*x))
	}
	return raw
}

func decodeSums(raw []byte, sums []*float64) error {
	if len(raw) != 8*len(sums) {
		return fmt.Errorf("the metrics' sums have %d bytes, want %d: the checkpoint is of another version", len(raw), 8*len(sums))
	}
	for i, x := range sums {
		*x = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return nil
}
