package cuda

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

// Places in a stepper's memory of scalars and in that of results, in bytes.
const (
	adamAt      = 0
	signAt      = 40
	stepAt      = 56
	scalarBytes = 64

	sumsBytes   = 8 * len(device.StepSums{})
	finiteAt    = sumsBytes
	resultBytes = sumsBytes + 8
	// faultAt is where the host receives the fault word behind the results.
	faultAt = resultBytes
)

// stepsUnderWay is how many steps may be handed over before the host waits for the oldest: one that runs, one that waits, and
// one whose examples are being copied.
const stepsUnderWay = 3

var _ device.StepDevice = (*Device)(nil)

// stepper makes training steps without waiting for one of them: what a step decides stays on the GPU.
//
// Every step has a slot, whose pinned memory holds what the host hands over and what comes back. Examples are copied on a
// stream of their own while the step before runs. The step itself, from the program to the optimizers, is one graph.
type stepper struct {
	device     *Device
	steps      device.Steps
	executable *executable
	seqLen     int
	arrays     stepArrays
	parameters []dense

	copies  binding.Stream
	scalars *block
	// last stands in for the input of that name where the program has none.
	last *block
	// results are the sums and whether all losses were finite.
	results *block
	slots   [stepsUnderWay]*slot
	// next counts the steps that were handed over.
	next int

	// step is made for this plan and this update.
	plan   *plan
	update *denseUpdate
	step   repeated
	// finite and halt are launched after the program and before the update, sign, which may be nil, after it.
	finite, halt, sign *launch
	// exchange is what ranks tell each other; nil without a link.
	exchange *exchange

	heard []device.StepResult
}

// slot is the memory of a step under way.
type slot struct {
	// host is pinned: examples, then scalars, then what comes back.
	host           unsafe.Pointer
	scalars, reply int
	// fresh are the examples on the GPU.
	fresh          *block
	uploaded, done binding.Event
	// admit gives the examples to the rows that have halted.
	admit *launch
	busy  bool
	step  int64
}

// NewStepper prepares training steps: kernels are compiled and memory is allocated here.
func (d *Device) NewStepper(steps device.Steps) (device.Stepper, error) {
	s := &stepper{device: d, steps: steps}
	if err := s.take(); err != nil {
		return nil, fmt.Errorf("training steps: %w", err)
	}
	err := d.thread.do(func() error {
		if err := s.start(); err != nil {
			return errors.Join(err, s.free())
		}
		d.steppers[s] = struct{}{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("training steps: %w", err)
	}
	return s, nil
}

// start allocates and compiles, on the thread.
func (s *stepper) start() (err error) {
	d := s.device
	if s.copies, err = d.driver.StreamCreate(); err != nil {
		return err
	}
	if s.scalars, err = d.memory.allocate(scalarBytes); err != nil {
		return err
	}
	if s.results, err = d.memory.allocate(resultBytes); err != nil {
		return err
	}
	if s.last, err = d.memory.allocate(4 * s.steps.Rows); err != nil {
		return err
	}
	// All losses are finite yet.
	if err := d.upload(s.results.at+binding.Pointer(finiteAt), []byte{1, 0, 0, 0}); err != nil {
		return err
	}
	if err := d.clearFault(); err != nil {
		return err
	}
	for i := range s.slots {
		s.slots[i] = &slot{}
		if err := s.startSlot(s.slots[i]); err != nil {
			return err
		}
	}
	if err := s.startExchange(); err != nil {
		return err
	}
	return s.prepareTail()
}

func (s *stepper) startSlot(to *slot) (err error) {
	d := s.device
	examples := 4 * s.steps.Rows * (2*s.seqLen + 1)
	to.scalars = aligned(examples)
	to.reply = to.scalars + aligned(scalarBytes)
	if to.host, err = d.driver.MemAllocHost(to.reply + faultAt + 4); err != nil {
		return fmt.Errorf("pinned host memory: %w", err)
	}
	if to.fresh, err = d.memory.allocate(examples); err != nil {
		return err
	}
	for _, e := range []*binding.Event{&to.uploaded, &to.done} {
		if *e, err = d.driver.EventCreateBlocking(); err != nil {
			return err
		}
	}
	work, err := kernel.ActAdmit(actBuffers, s.sizes())
	if err != nil {
		return err
	}
	to.admit, err = d.prepare(&work.Launches[0], places{buffer: s.buffers(to.fresh.at)})
	return err
}

// prepareTail makes the launches that follow the program.
func (s *stepper) prepareTail() error {
	sizes := s.sizes()
	for _, part := range []struct {
		to       **launch
		describe func() (kernel.Work, error)
	}{
		{&s.finite, func() (kernel.Work, error) { return kernel.ActFinite(actBuffers, sizes) }},
		{&s.halt, func() (kernel.Work, error) { return kernel.ActHalt(actBuffers, sizes) }},
		{&s.sign, func() (kernel.Work, error) {
			return kernel.SignSGD(signBuffers, s.signedRows(), sizes.PuzzleDim, sizes.PuzzleRows)
		}},
	} {
		if part.to == &s.sign && s.arrays.table == nil {
			continue
		}
		work, err := part.describe()
		if err != nil {
			return err
		}
		if *part.to, err = s.device.prepare(&work.Launches[0], places{buffer: s.buffers(0)}); err != nil {
			return err
		}
	}
	if s.sign != nil {
		// How many of the table's rows are read and written besides, the GPU alone knows.
		s.sign.part = part{operation: device.SignSGDOperation, cost: device.Cost{Bytes: float64(device.Float32.Size() * s.signedRows() * sizes.PuzzleDim)}}
	}
	return nil
}

// signedRows is of how many rows the puzzle table's update knows gradients.
func (s *stepper) signedRows() int {
	if s.exchange == nil {
		return s.steps.Rows
	}
	return s.exchange.rows * s.exchange.link.size
}

// Step hands over a step.
func (s *stepper) Step(ctx context.Context, in device.StepInput) ([]device.StepResult, error) {
	s.heard = s.heard[:0]
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	adam, err := kernel.AdamScalars(in.Adam)
	if err != nil {
		return nil, err
	}
	x, tokens := s.executable, s.steps.Rows*s.seqLen
	if len(in.Tokens) != tokens || len(in.Labels) != tokens || len(in.Puzzles) != s.steps.Rows {
		return nil, fmt.Errorf("%d tokens, %d labels and %d puzzles were handed over, want %d, %d and %d",
			len(in.Tokens), len(in.Labels), len(in.Puzzles), tokens, tokens, s.steps.Rows)
	}
	if err := x.bind(s.steps.Rows, s.steps.Bindings); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(s)
	to, thread := s.slots[s.next%stepsUnderWay], s.device.thread
	err = thread.do(func() error {
		if err := s.hear(to); err != nil {
			return err
		}
		s.fill(to, in, adam)
		return s.begin(to)
	})
	if err == nil {
		err = s.together(func() error { return thread.do(s.step.run) })
	}
	if err == nil {
		err = thread.do(func() error { return s.end(to) })
	}
	return s.heard, err
}

// fill writes what the host hands over into the slot's memory.
func (s *stepper) fill(to *slot, in device.StepInput, adam []byte) {
	at := 0
	for _, x := range [...][]int32{in.Tokens, in.Labels, in.Puzzles} {
		at += copy(to.bytes(at, 4*len(x)), device.Bytes(x))
	}
	scalars := to.bytes(to.scalars, scalarBytes)
	copy(scalars[adamAt:], adam)
	copy(scalars[signAt:], kernel.SignScalars(in.PuzzleLearningRate, in.PuzzleWeightDecay))
	binary.LittleEndian.PutUint64(scalars[stepAt:], uint64(in.Step))
	to.step = in.Step
}

// bytes are a part of the slot's host memory.
func (to *slot) bytes(at, n int) []byte { return unsafe.Slice((*byte)(unsafe.Add(to.host, at)), n) }

// begin adds what a step begins with: examples and scalars.
func (s *stepper) begin(to *slot) error {
	d := s.device
	if err := d.memory.collect(); err != nil {
		return err
	}
	if err := d.driver.MemcpyHtoDAsync(to.fresh.at, to.host, to.fresh.bytes, s.copies); err != nil {
		return err
	}
	if err := d.driver.EventRecord(to.uploaded, s.copies); err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	if err := d.driver.StreamWaitEvent(d.stream, to.uploaded); err != nil {
		return err
	}
	if err := d.run(to.admit); err != nil {
		return err
	}
	return d.driver.MemcpyHtoDAsync(s.scalars.at, unsafe.Add(to.host, to.scalars), scalarBytes, d.stream)
}

// end adds what a step ends with: its results on their way to the host.
func (s *stepper) end(to *slot) error {
	s.executable.changed()
	s.update.done()
	if err := s.reply(to); err != nil {
		return err
	}
	to.busy = true
	s.next++
	return nil
}

// prepare makes the step anew if what it was made for has moved.
func (s *stepper) prepare() error {
	d := s.device
	p, err := s.executable.prepared(s.steps.Rows)
	if err != nil {
		return err
	}
	if p == s.plan && s.update.is(s.parameters) {
		return nil
	}
	err = errors.Join(s.step.free(), s.update.free(d))
	s.plan, s.update = nil, nil
	if err != nil {
		return err
	}
	if s.update, err = d.newDenseUpdate(s.parameters, s.scalars.at+adamAt, s.results.at+binding.Pointer(finiteAt)); err != nil {
		return err
	}
	s.plan, s.step = p, repeated{device: d, name: "a training step", launch: s.launch}
	return nil
}

// launch adds the program and what follows it to the stream, and the sums of gradients to another as they are complete.
func (s *stepper) launch() error {
	if err := s.plan.launchAll(s.reduceAfter); err != nil {
		return err
	}
	return s.launchTail()
}

func (s *stepper) launchTail() error {
	d := s.device
	if err := d.run(s.finite); err != nil {
		return err
	}
	if err := s.exchangeRest(); err != nil {
		return err
	}
	for _, l := range [...]*launch{s.halt, s.update.launch, s.sign} {
		if l == nil {
			continue
		}
		if err := d.run(l); err != nil {
			return err
		}
	}
	return nil
}

// reply has the results copied to the host when the step is done.
func (s *stepper) reply(to *slot) error {
	d := s.device
	if err := d.driver.MemcpyDtoHAsync(unsafe.Add(to.host, to.reply), s.results.at, resultBytes, d.stream); err != nil {
		return err
	}
	if err := d.driver.MemcpyDtoHAsync(unsafe.Add(to.host, to.reply+faultAt), d.fault.at, 4, d.stream); err != nil {
		return err
	}
	return d.driver.EventRecord(to.done, d.stream)
}

// hear waits for a slot's step and takes its result.
func (s *stepper) hear(from *slot) error {
	if !from.busy {
		return nil
	}
	if err := s.device.driver.EventSynchronize(from.done); err != nil {
		return fmt.Errorf("step %d: %w", from.step, err)
	}
	from.busy = false
	if x := s.exchange; x != nil {
		if err := x.link.Err(); err != nil {
			return fmt.Errorf("step %d: %w", from.step, err)
		}
	}
	raw := from.bytes(from.reply, faultAt+4)
	if err := kernel.FaultError(binary.LittleEndian.Uint32(raw[faultAt:])); err != nil {
		return fmt.Errorf("step %d: %w", from.step, err)
	}
	r := device.StepResult{Step: from.step, Finite: binary.LittleEndian.Uint32(raw[finiteAt:]) != 0}
	for i := range r.Sums {
		r.Sums[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	s.heard = append(s.heard, r)
	return nil
}

// Wait waits for all steps.
func (s *stepper) Wait() ([]device.StepResult, error) {
	s.heard = s.heard[:0]
	err := s.device.thread.do(func() error {
		for i := range s.slots {
			if err := s.hear(s.slots[(s.next+i)%stepsUnderWay]); err != nil {
				return err
			}
		}
		return nil
	})
	return s.heard, err
}

// Close frees the stepper's memory.
func (s *stepper) Close() error {
	err := s.device.thread.do(func() error {
		if _, ok := s.device.steppers[s]; !ok {
			return nil
		}
		delete(s.device.steppers, s)
		return s.free()
	})
	if errors.Is(err, errClosed) {
		return nil // the device has freed it
	}
	return err
}

// free frees what the stepper holds, on the thread, when what is under way is done.
func (s *stepper) free() error {
	d := s.device
	all := []error{d.synchronize()}
	if s.copies != 0 {
		all = append(all, d.driver.StreamSynchronize(s.copies))
	}
	all = append(all, s.step.free(), s.update.free(d), s.exchange.free(d), d.memory.free(s.scalars), d.memory.free(s.last), d.memory.free(s.results))
	for _, x := range s.slots {
		if x == nil {
			continue
		}
		all = append(all, d.memory.free(x.fresh))
		for _, e := range [...]binding.Event{x.uploaded, x.done} {
			if e != 0 {
				all = append(all, d.driver.EventDestroy(e))
			}
		}
		if x.host != nil {
			all = append(all, d.driver.MemFreeHost(x.host))
		}
	}
	if s.copies != 0 {
		all = append(all, d.driver.StreamDestroy(s.copies))
	}
	return errors.Join(all...)
}
