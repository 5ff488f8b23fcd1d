package loop

import (
	"context"
	"errors"
	"fmt"

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
}

// NewTracer compiles the network's trace, which no other evaluation needs.
func NewTracer(n *Network, seqLen int) (*Tracer, error) {
	trace, err := model.BuildTrace(n.Model)
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
		if i == len(t.trace.Moments)-1 {
			moment.End, moment.QHalt, moment.QContinue = true, q[0], q[1]
		}
		if err := show(moment); err != nil {
			return err
		}
	}
	return nil
}
