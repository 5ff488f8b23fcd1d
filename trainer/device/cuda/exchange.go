package cuda

import (
	"errors"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
)

// exchange is what the ranks of a step tell each other, all on a stream of its own: sums of gradients, bucket after bucket
// while the backward pass goes on, then whether all losses are finite, and the gradients of the puzzles' rows.
type exchange struct {
	link   *link
	stream binding.Stream
	// buckets are by the instruction after which they are complete.
	buckets map[int][]*array
	// ready is recorded for every bucket and for the rest, done when all has been exchanged.
	ready, done binding.Event
	// rows is the most that a rank has. puzzles and gradients are filled up to that many.
	rows               int
	puzzles, gradients gathered
}

// gathered is what a rank has of something and what all have; nil without a puzzle table.
type gathered struct{ own, all *block }

// startExchange prepares what there is to tell, on the thread.
func (s *stepper) startExchange() (err error) {
	if s.steps.Link == nil {
		return nil
	}
	d := s.device
	l, ok := s.steps.Link.(*link)
	if !ok || l.device != d {
		return errors.New("the link is of another device")
	}
	x := &exchange{link: l, buckets: map[int][]*array{}, rows: ceil(s.steps.Batch, l.size)}
	s.exchange = x
	for _, b := range buckets(s.executable.program, bucketBytes) {
		for _, v := range b.gradients {
			name := s.executable.program.Values[v].Name
			a, ok := d.owned(s.steps.Bindings[name])
			if !ok {
				return errors.New(name + " is not bound to an array of this device")
			}
			x.buckets[b.after] = append(x.buckets[b.after], a)
		}
	}
	if x.stream, err = d.driver.StreamCreate(); err != nil {
		return err
	}
	for _, e := range []*binding.Event{&x.ready, &x.done} {
		if *e, err = d.driver.EventCreateBlocking(); err != nil {
			return err
		}
	}
	if s.arrays.table == nil {
		return nil
	}
	for _, g := range []struct {
		to    *gathered
		bytes int
	}{{&x.puzzles, 4 * x.rows}, {&x.gradients, 4 * x.rows * s.steps.TableDim}} {
		if g.to.own, err = d.memory.allocate(g.bytes); err != nil {
			return err
		}
		if g.to.all, err = d.memory.allocate(g.bytes * l.size); err != nil {
			return err
		}
	}
	// Rows that only other ranks have are copies of a row's identifier with a gradient of zero.
	return d.driver.MemsetD8Async(x.gradients.own.at, 0, x.gradients.own.bytes, d.stream)
}

// together calls f, which launches a step, while the other GPUs of this process launch theirs.
func (s *stepper) together(f func() error) error {
	if s.exchange == nil {
		return f()
	}
	return s.exchange.link.launch(f)
}

// reduceAfter adds the sums of the gradients that an instruction has completed.
func (s *stepper) reduceAfter(instruction int) error {
	x := s.exchange
	if x == nil || x.buckets[instruction] == nil {
		return nil
	}
	if err := x.follow(s.device); err != nil {
		return err
	}
	return x.link.allReduce(x.stream, x.buckets[instruction])
}

// follow lets the exchange's stream wait for what the device's has come to.
func (x *exchange) follow(d *Device) error {
	if err := d.driver.EventRecord(x.ready, d.stream); err != nil {
		return err
	}
	return d.driver.StreamWaitEvent(x.stream, x.ready)
}

// exchangeRest adds what is told after the program, and lets the device's stream wait for all.
func (s *stepper) exchangeRest() error {
	x, d := s.exchange, s.device
	if x == nil {
		return nil
	}
	if err := s.copyPuzzles(); err != nil {
		return err
	}
	if err := x.follow(d); err != nil {
		return err
	}
	if err := x.link.minimum(x.stream, s.results.at+binding.Pointer(finiteAt), 1); err != nil {
		return err
	}
	for _, g := range [...]gathered{x.puzzles, x.gradients} {
		if g.own == nil {
			continue
		}
		if err := x.link.gather(x.stream, g.own.at, g.all.at, g.own.bytes); err != nil {
			return err
		}
	}
	if err := d.driver.EventRecord(x.done, x.stream); err != nil {
		return err
	}
	return d.driver.StreamWaitEvent(d.stream, x.done)
}

// copyPuzzles puts the puzzles' identifiers and gradients where they are gathered from.
func (s *stepper) copyPuzzles() error {
	x, d, a := s.exchange, s.device, &s.arrays
	if a.table == nil {
		return nil
	}
	if err := d.driver.MemcpyDtoDAsync(x.gradients.own.at, a.puzzleGradient.data.at, 4*s.steps.Rows*s.steps.TableDim, d.stream); err != nil {
		return err
	}
	if err := d.driver.MemcpyDtoDAsync(x.puzzles.own.at, a.puzzles.data.at, 4*s.steps.Rows, d.stream); err != nil {
		return err
	}
	for row := s.steps.Rows; row < x.rows; row++ {
		if err := d.driver.MemcpyDtoDAsync(x.puzzles.own.at+binding.Pointer(4*row), a.puzzles.data.at, 4, d.stream); err != nil {
			return err
		}
	}
	return nil
}

// free frees all but the link, on the thread; nil has nothing.
func (x *exchange) free(d *Device) error {
	if x == nil {
		return nil
	}
	var all []error
	for _, b := range [...]*block{x.puzzles.own, x.puzzles.all, x.gradients.own, x.gradients.all} {
		all = append(all, d.memory.free(b))
	}
	for _, e := range [...]binding.Event{x.ready, x.done} {
		if e != 0 {
			all = append(all, d.driver.EventDestroy(e))
		}
	}
	if x.stream != 0 {
		all = append(all, d.driver.StreamDestroy(x.stream))
	}
	return errors.Join(all...)
}
