package loop

import (
	"context"
	"fmt"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// Pass is one way through examples of a dataset: their states go on from segment to segment, and their answers are read
// off on the way. A row whose example has had all it is to have takes the next one, so that no row computes in vain.
type Pass struct {
	Data *dataset.Dataset
	// Examples are the ones to answer, in this order; each is read off as often as Counts and ACT say.
	Examples []int32
	// Counts are the numbers of segments, ascending, after which answers are read off.
	Counts []int
	// ACT, if not 0, also reads an answer off where the network halts by itself: where its Q head says so, or after so many
	// segments. Without Counts a row then makes room at once.
	ACT int
	// Enough is asked before examples are taken up. Once it says so, those in work are finished and no others begun; nil
	// never does.
	Enough func() bool
	// Visit sees every reading. What it is given is good until it returns.
	Visit func(Reading) error
	// Segment, if not nil, is told after every segment how many examples are done, and how many segments those in work have
	// had together.
	Segment func(done, begun int)
}

// Reading is what a network said of an example after a number of segments.
type Reading struct {
	Example  int
	Segments int
	// Count is the place of Segments in the pass's Counts, -1 if it is not one of them. Halted says that this is the answer
	// with which the network halted by itself.
	Count  int
	Halted bool
	Prediction
}

// row is an example in work; its inputs and labels [S] are those of the device. over says that it has had all its readings
// and that the next example may come.
type row struct {
	example        int32
	segments       int
	halted, over   bool
	inputs, labels []int32
}

// passage is a pass under way. The rows in work are the first ones of the evaluator's batch.
type passage struct {
	Pass
	e      *Evaluator
	rows   []row
	next   int
	done   int
	q      []float32
	answer []int32
}

// Pass answers examples. When ctx ends, those in work are given up.
func (e *Evaluator) Pass(ctx context.Context, p Pass) error {
	w := &passage{Pass: p, e: e, rows: make([]row, min(e.batch, len(p.Examples))), q: make([]float32, 2*e.batch), answer: make([]int32, e.seqLen)}
	for i := range w.rows {
		w.rows[i] = row{over: true, inputs: make([]int32, e.seqLen), labels: make([]int32, e.seqLen)}
	}
	for {
		if err := w.admit(); err != nil {
			return err
		}
		if len(w.rows) == 0 {
			return ctx.Err()
		}
		if err := w.segment(ctx); err != nil {
			return fmt.Errorf("%d examples are done, %d in work: %w", w.done, len(w.rows), err)
		}
		if err := w.read(); err != nil {
			return err
		}
	}
}

// admit gives the rows that are over the next examples. What rows are left when there are none any more is closed up: the
// last ones move to where nothing is to be done, and the rest is not computed.
func (w *passage) admit() error {
	free := slices.IndexFunc(w.rows, func(r row) bool { return r.over })
	if free < 0 {
		return nil
	}
	enough := w.Enough != nil && w.Enough()
	puzzle := make([]int32, 1)
	for i := free; i < len(w.rows) && w.next < len(w.Examples) && !enough; i++ {
		r := &w.rows[i]
		if !r.over {
			continue
		}
		r.example, r.segments, r.halted, r.over = w.Examples[w.next], 0, false, false
		w.Data.Fill([]dataset.Draw{w.Data.DrawOf(int(r.example))}, r.inputs, r.labels, puzzle)
		if err := w.e.place(i, r, puzzle[0]); err != nil {
			return fmt.Errorf("example %d: %w", r.example, err)
		}
		w.next++
	}
	return w.closeUp()
}

// closeUp moves rows in work to the front.
func (w *passage) closeUp() error {
	for i := 0; i < len(w.rows); {
		last := len(w.rows) - 1
		switch {
		case !w.rows[i].over:
			i++
			continue
		case !w.rows[last].over:
			if err := w.e.move(last, i); err != nil {
				return err
			}
			w.rows[i] = w.rows[last]
		}
		w.rows = w.rows[:last]
	}
	return nil
}

// place writes an example to a row of the device.
func (e *Evaluator) place(at int, r *row, puzzle int32) error {
	for _, in := range [...]struct {
		name string
		x    []int32
	}{{"tokens", r.inputs}, {"labels", r.labels}} {
		if err := device.WriteInts(e.arrays[in.name], at*e.seqLen, in.x); err != nil {
			return fmt.Errorf("write %s: %w", in.name, err)
		}
	}
	return e.network.gatherPuzzle(e.arrays, at, puzzle)
}

// segment runs one segment over the rows in work. The states of rows that have had none yet are reset by the program.
func (w *passage) segment(ctx context.Context) error {
	e, live := w.e, len(w.rows)
	for i := range w.rows {
		e.halted[i] = bit(w.rows[i].segments == 0)
	}
	if err := writeInput(e.arrays, "halted", e.halted); err != nil {
		return err
	}
	if err := e.network.eval.Run(ctx, live, e.arrays); err != nil {
		return err
	}
	return device.ReadFloatsInto(w.q[:2*live], e.arrays["q"], 0)
}

// read reads answers off where it is time to, and ends the work on examples that have had all their readings.
func (w *passage) read() error {
	begun, rule := 0, w.e.network.Model.Halting()
	for i := range w.rows {
		r := &w.rows[i]
		r.segments++
		halts := w.ACT > 0 && !r.halted && model.Halted(rule, int32(r.segments), int32(w.ACT), w.q[2*i], w.q[2*i+1], 0)
		r.halted = r.halted || halts
		if count := slices.Index(w.Counts, r.segments); halts || count >= 0 {
			if err := w.readRow(i, count, halts); err != nil {
				return err
			}
		}
		r.over = (w.ACT == 0 || r.halted) && (len(w.Counts) == 0 || r.segments >= w.Counts[len(w.Counts)-1])
		if r.over {
			w.done++
		} else {
			begun += r.segments
		}
	}
	if w.Segment != nil {
		w.Segment(w.done, begun)
	}
	return nil
}

func (w *passage) readRow(i, count int, halts bool) error {
	e, r := w.e, &w.rows[i]
	if err := device.ReadFloatsInto(e.scores, e.arrays["logits"], i*len(e.scores)); err != nil {
		return fmt.Errorf("read logits: %w", err)
	}
	argmaxInto(w.answer, e.scores)
	return w.Visit(Reading{
		Example: int(r.example), Segments: r.segments, Count: count, Halted: halts,
		Prediction: Prediction{Inputs: r.inputs, Labels: r.labels, Answer: w.answer, QHalt: w.q[2*i]},
	})
}

// move copies all that the next segment of a row depends on to another row.
func (e *Evaluator) move(from, to int) error {
	for _, name := range append([]string{"tokens", "labels", "puzzle"}, e.network.states()...) {
		a, ok := e.arrays[name]
		if !ok {
			continue
		}
		n := a.Len() / e.batch
		raw := slices.Grow(e.moved[:0], n*a.DType().Size())[:n*a.DType().Size()]
		e.moved = raw
		if err := a.Read(from*n, raw); err != nil {
			return fmt.Errorf("move %s: %w", name, err)
		}
		if err := a.Write(to*n, raw); err != nil {
			return fmt.Errorf("move %s: %w", name, err)
		}
	}
	return nil
}
