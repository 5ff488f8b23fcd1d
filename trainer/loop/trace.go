package loop

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// Tracer runs a network on single examples and reads its answers off within segments.
type Tracer struct {
	network *Network
	trace   *model.Trace
	program device.Executable
	arrays  map[string]device.Array
	seqLen  int
}

// Moment is an intermediate answer.
type Moment struct {
	// Segment, Cycle and Step count from 1: the low-level step of the high-level cycle of the segment after which the
	// answer was read off.
	Segment, Cycle, Step int
	Answer               []int32
	// End says that this is the segment's answer; QHalt and QContinue are then what the network thinks of it, before the
	// sigmoid.
	End              bool
	QHalt, QContinue float32
	// Confidence [S] is the probability that the network gives each token of its answer, by the loss that it was trained with.
	Confidence []float32
	// ZL and ZH are the states [T,D] after it, QKV the queries, keys and values [T,3D] of each layer that was asked for; nil where
	// the trace delivers none.
	ZL, ZH []float32
	QKV    [][]float32
}

// NewTracer compiles the network's trace, which no other evaluation needs.
func NewTracer(n *Network, seqLen int, o model.TraceOptions) (*Tracer, error) {
	trace, err := model.BuildTrace(n.Model, o)
	if err != nil {
		return nil, err
	}
	t := &Tracer{network: n, trace: trace, seqLen: seqLen}
	if t.program, err = n.Device.Compile(trace.Program); err != nil {
		return nil, fmt.Errorf("compile for device %s: %w", n.Device.Name(), err)
	}
	if t.arrays, err = n.bindEvaluation(trace.Program, 1); err != nil {
		return nil, errors.Join(err, t.program.Close())
	}
	return t, nil
}

// Close frees the program.
func (t *Tracer) Close() error { return t.program.Close() }

// Trace answers an example of a batch of one and shows every answer on the way.
func (t *Tracer) Trace(ctx context.Context, b Batch, segments int, show func(Moment) error) error {
	if err := writeInput(t.arrays, "tokens", b.Inputs); err != nil {
		return err
	}
	if err := t.network.gatherPuzzles(t.arrays, b.Puzzles); err != nil {
		return err
	}
	for segment := range segments {
		if err := writeInput(t.arrays, "halted", []int32{bit(segment == 0)}); err != nil {
			return err
		}
		if err := t.program.Run(ctx, 1, t.arrays); err != nil {
			return fmt.Errorf("segment %d: %w", segment+1, err)
		}
		if err := t.read(segment+1, show); err != nil {
			return err
		}
	}
	return nil
}

// read shows the answers of a segment that has been run.
func (t *Tracer) read(segment int, show func(Moment) error) error {
	q, err := device.ReadFloats(t.arrays["q"], 0, 2)
	if err != nil {
		return fmt.Errorf("read q: %w", err)
	}
	for i, m := range t.trace.Moments {
		a := t.arrays[m.Output]
		logits, err := device.ReadFloats(a, 0, a.Len())
		if err != nil {
			return fmt.Errorf("read %s: %w", m.Output, err)
		}
		moment := Moment{Segment: segment, Cycle: m.Cycle, Step: m.Step, Answer: argmax(logits, t.seqLen)}
		moment.Confidence = confidences(logits, moment.Answer, t.network.Model.Spec.Loss)
		if moment.ZL, err = t.delivered(m.ZL); err != nil {
			return err
		}
		if moment.ZH, err = t.delivered(m.ZH); err != nil {
			return err
		}
		for _, name := range m.QKV {
			qkv, err := t.delivered(name)
			if err != nil {
				return err
			}
			moment.QKV = append(moment.QKV, qkv)
		}
		if i == len(t.trace.Moments)-1 {
			moment.End, moment.QHalt, moment.QContinue = true, q[0], q[1]
		}
		if err := show(moment); err != nil {
			return err
		}
	}
	return nil
}

// delivered reads a value of the trace; nil of no name.
func (t *Tracer) delivered(name string) ([]float32, error) {
	if name == "" {
		return nil, nil
	}
	values, err := device.ReadFloats(t.arrays[name], 0, t.arrays[name].Len())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return values, nil
}

// Initial returns the states [T,D] that every example begins with; of a model that has one state both are that one.
func (t *Tracer) Initial() (zH, zL []float32, err error) {
	m := t.network.Model
	var states [][]float32
	for _, s := range m.States() {
		a := t.network.parameters[s.Init]
		one, err := device.ReadFloats(a, 0, a.Len())
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", s.Init, err)
		}
		states = append(states, slices.Repeat(one, m.Positions()))
	}
	return states[0], states[len(states)-1], nil
}

// confidences are the probabilities [S] of an answer's tokens by logits [S,V]: softmax, or stablemax as the loss has it.
func confidences(logits []float32, answer []int32, loss v1alpha1.Loss) []float32 {
	vocabulary := len(logits) / len(answer)
	out := make([]float32, len(answer))
	for i, token := range answer {
		row, sum := logits[i*vocabulary:(i+1)*vocabulary], 0.0
		weight := stablemaxWeight
		if loss == v1alpha1.LossSoftmax {
			// The answer is the largest: nothing overflows.
			weight = func(x float64) float64 { return math.Exp(x - float64(row[token])) }
		}
		for _, x := range row {
			sum += weight(float64(x))
		}
		out[i] = float32(weight(float64(row[token])) / sum)
	}
	return out
}

// stablemaxWeight is what takes the place of the exponential in stablemax (Prieto et al. 2025, arXiv 2501.04697).
func stablemaxWeight(x float64) float64 {
	if x < 0 {
		return 1 / (1 - x)
	}
	return x + 1
}
