package loop

import (
	"math"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Outcome is what one segment said about each row of a batch.
type Outcome struct {
	// LMLoss, QHaltLoss and QContinueLoss are the losses of the rows.
	LMLoss, QHaltLoss, QContinueLoss []float32
	// QHalt and QContinue are the values that decide about halting.
	QHalt, QContinue []float32
	// Correct and Labelled count the tokens of the rows.
	Correct, Labelled []float32
}

// readOutcome copies a segment's results out of the device.
func readOutcome(arrays map[string]device.Array, rows int) (Outcome, error) {
	lm, err := device.ReadFloats(arrays["loss.lm"], 0, rows)
	if err != nil {
		return Outcome{}, err
	}
	pairs := map[string][2][]float32{}
	for _, name := range []string{"loss.q", "q", "stats"} {
		both, err := device.ReadFloats(arrays[name], 0, 2*rows)
		if err != nil {
			return Outcome{}, err
		}
		var p [2][]float32
		for i, x := range both {
			p[i%2] = append(p[i%2], x)
		}
		pairs[name] = p
	}
	return Outcome{
		LMLoss: lm, QHaltLoss: pairs["loss.q"][0], QContinueLoss: pairs["loss.q"][1],
		QHalt: pairs["q"][0], QContinue: pairs["q"][1], Correct: pairs["stats"][0], Labelled: pairs["stats"][1],
	}, nil
}

// fields lists the figures of the rows, as they travel between processes.
func (o *Outcome) fields() []*[]float32 {
	return []*[]float32{&o.LMLoss, &o.QHaltLoss, &o.QContinueLoss, &o.QHalt, &o.QContinue, &o.Correct, &o.Labelled}
}

// exact says that every labelled token of a row is right.
func (o Outcome) exact(row int) bool { return o.Correct[row] == o.Labelled[row] }

// finite says that no loss is NaN or infinite.
func (o Outcome) finite() bool {
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

// add counts one step. steps are the segments that each row has had, this one included.
func (w *Window) add(o Outcome, halted []bool, steps []int32) {
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
