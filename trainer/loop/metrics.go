package loop

import (
	"math"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Outcome is what one segment said about each row of a batch. It is overwritten by the next one.
type Outcome struct {
	// LMLoss, QHaltLoss and QContinueLoss are the losses of the rows.
	LMLoss, QHaltLoss, QContinueLoss []float32
	// QHalt and QContinue are the values that decide about halting.
	QHalt, QContinue []float32
	// Correct and Labelled count the tokens of the rows.
	Correct, Labelled []float32

	// pairs is where values that the device keeps side by side are taken apart.
	pairs []float32
}

func newOutcome(rows int) *Outcome {
	column := func() []float32 { return make([]float32, rows) }
	return &Outcome{
		LMLoss: column(), QHaltLoss: column(), QContinueLoss: column(), QHalt: column(), QContinue: column(),
		Correct: column(), Labelled: column(), pairs: make([]float32, 2*rows),
	}
}

// read copies a segment's results out of the device, which computed the rows [from, to).
func (o *Outcome) read(arrays map[string]device.Array, from, to int) error {
	if err := device.ReadFloatsInto(o.LMLoss[from:to], arrays["loss.lm"], 0); err != nil {
		return err
	}
	for _, p := range [...]struct {
		name          string
		first, second []float32
	}{
		{"loss.q", o.QHaltLoss, o.QContinueLoss}, {"q", o.QHalt, o.QContinue}, {"stats", o.Correct, o.Labelled},
	} {
		pairs := o.pairs[2*from : 2*to]
		if err := device.ReadFloatsInto(pairs, arrays[p.name], 0); err != nil {
			return err
		}
		for i := range to - from {
			p.first[from+i], p.second[from+i] = pairs[2*i], pairs[2*i+1]
		}
	}
	return nil
}

// fields lists the figures of the rows, as they travel between processes.
func (o *Outcome) fields() [7][]float32 {
	return [...][]float32{o.LMLoss, o.QHaltLoss, o.QContinueLoss, o.QHalt, o.QContinue, o.Correct, o.Labelled}
}

// exact says that every labelled token of a row is right.
func (o *Outcome) exact(row int) bool { return o.Correct[row] == o.Labelled[row] }

// finite says that no loss is NaN or infinite.
func (o *Outcome) finite() bool {
	for i := range o.LMLoss {
		if sum := float64(o.LMLoss[i]) + float64(o.QHaltLoss[i]) + float64(o.QContinueLoss[i]); math.IsNaN(sum) || math.IsInf(sum, 0) {
			return false
		}
	}
	return true
}

// Window sums up training steps until a record of them is written. Losses count every row; the rest counts the rows
// that halted and have labels, as the official code does. It is part of a checkpoint.
type Window struct {
	Rows, LM, QHalt, QContinue                   float64
	Halted, Accuracy, Exact, QHaltAccuracy, Took float64
}

// TakeWindow returns what the steps since the last call have summed up.
func (t *Trainer) TakeWindow() (Window, error) {
	if err := t.Settle(); err != nil {
		return Window{}, err
	}
	w := t.window
	t.window = Window{}
	return w, nil
}

// add counts one step. steps are the segments that each row has had, this one included.
func (w *Window) add(o *Outcome, halted []bool, steps []int32) {
	for i := range halted {
		w.Rows++
		w.LM += float64(o.LMLoss[i])
		w.QHalt += float64(o.QHaltLoss[i])
		w.QContinue += float64(o.QContinueLoss[i])
		if !halted[i] || o.Labelled[i] == 0 {
			continue
		}
		w.Halted++
		w.Accuracy += float64(o.Correct[i] / o.Labelled[i])
		w.Exact += one(o.exact(i))
		w.QHaltAccuracy += one((o.QHalt[i] >= 0) == o.exact(i))
		w.Took += float64(steps[i])
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// loss is the mean over rows of everything that is minimised.
func (w *Window) loss() *float64 { return mean(w.LM+0.5*(w.QHalt+w.QContinue), w.Rows) }

func mean(sum, n float64) *float64 {
	if n == 0 {
		return nil
	}
	m := sum / n
	return &m
}

// values lists the sums for a checkpoint; setValues takes them back.
func (w *Window) values() []*float64 {
	return []*float64{&w.Rows, &w.LM, &w.QHalt, &w.QContinue, &w.Halted, &w.Accuracy, &w.Exact, &w.QHaltAccuracy, &w.Took}
}
