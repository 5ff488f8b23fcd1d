package loop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// What a state's parts are called while it travels from rank 0 to the others.
const (
	wireModel     = "model/"
	wireOptimizer = "optimizer/"
	wireCarry     = "carry/"
	wireScalar    = "scalar/"
	wireStep      = "step"
)

// shareState gives every rank the state that rank 0 has.
func shareState(ctx context.Context, group collective.Group, s State) (State, error) {
	if group.Size() == 1 {
		return s, nil
	}
	var raw []byte
	if group.Rank() == 0 {
		var err error
		if raw, err = encodeState(s); err != nil {
			return s, fmt.Errorf("encode the state for the other ranks: %w", err)
		}
	}
	raw, err := group.Broadcast(ctx, raw)
	if err != nil || group.Rank() == 0 {
		return s, err
	}
	return decodeState(raw)
}

// encodeState writes a state as one block of safetensors.
func encodeState(s State) ([]byte, error) {
	tensors, metadata := map[string]checkpoint.Tensor{}, map[string]string{wireStep: strconv.FormatInt(s.Step, 10)}
	for prefix, part := range map[string]map[string]checkpoint.Tensor{wireModel: s.Model, wireOptimizer: s.Optimizer, wireCarry: s.Carry} {
		for name, tensor := range part {
			tensors[prefix+name] = tensor
		}
	}
	for name, value := range s.Scalars {
		metadata[wireScalar+name] = value
	}
	file, err := checkpoint.EncodeSafetensors(tensors, metadata)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(int(file.Size()))
	_, err = io.Copy(&out, file.Reader())
	return out.Bytes(), err
}

func decodeState(raw []byte) (State, error) {
	tensors, metadata, err := checkpoint.DecodeSafetensors(raw)
	if err != nil {
		return State{}, fmt.Errorf("state of rank 0: %w", err)
	}
	s := State{Model: map[string]checkpoint.Tensor{}, Optimizer: map[string]checkpoint.Tensor{}, Carry: map[string]checkpoint.Tensor{}, Scalars: map[string]string{}}
	if s.Step, err = strconv.ParseInt(metadata[wireStep], 10, 64); err != nil {
		return s, fmt.Errorf("state of rank 0: step: %w", err)
	}
	for name, tensor := range tensors {
		for prefix, part := range map[string]map[string]checkpoint.Tensor{wireModel: s.Model, wireOptimizer: s.Optimizer, wireCarry: s.Carry} {
			if short, ok := strings.CutPrefix(name, prefix); ok {
				part[short] = tensor
			}
		}
	}
	for name, value := range metadata {
		if short, ok := strings.CutPrefix(name, wireScalar); ok {
			s.Scalars[short] = value
		}
	}
	return s, nil
}

// replicas checks that weights and moments are the same at every rank, bit for bit. They must be: each rank has changed
// its own by the same sums. Where they are not (memory that flips bits, machines that compute differently), what
// training would go on with is nobody's model, so it stops.
func (t *Trainer) replicas(ctx context.Context) error {
	if t.group.Size() == 1 {
		return nil
	}
	sum, err := t.fingerprint()
	if err != nil {
		return err
	}
	all, err := t.group.AllGather(ctx, sum)
	if err != nil {
		return fmt.Errorf("compare weights: %w", err)
	}
	var others []string
	for rank, other := range all {
		if !bytes.Equal(other, all[0]) {
			others = append(others, strconv.Itoa(rank))
		}
	}
	if len(others) > 0 {
		return fmt.Errorf("after step %d the weights of ranks %s differ from those of rank 0: train on nodes of one kind, and check their memory; the last checkpoint is sound", t.step, strings.Join(others, ", "))
	}
	return nil
}

// fingerprint is a hash of all weights, their averages and moments.
func (t *Trainer) fingerprint() ([]byte, error) {
	sum := sha256.New()
	add := func(_ string, a device.Array) error {
		raw, err := contents(a)
		if err != nil {
			return err
		}
		_, err = sum.Write(raw)
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(t.network.parameters)) {
		if err := add(name, t.network.parameters[name]); err != nil {
			return nil, fmt.Errorf("hash %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.network.averages)) {
		if err := add(name, t.network.averages[name]); err != nil {
			return nil, fmt.Errorf("hash the average of %s: %w", name, err)
		}
	}
	if err := t.adam.Each(add); err != nil {
		return nil, err
	}
	return sum.Sum(nil), nil
}
