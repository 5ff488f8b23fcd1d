//go:build onednn && cgo && linux

package loop

import (
	"context"
	"math"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device/cpu"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// Steps and evaluations use their memory again, so that the garbage collector has nothing to do while a run trains.
//
// The runtime makes allocations of its own now and then, for a thread or for goroutines that wait for each other, and more
// of them on a busy machine. What a step allocates it allocates every time, so that the least of several measurements
// counts.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	const tries, runs, steps = 10, 10, 10
	for _, c := range []struct {
		name string
		work func(*Trainer, *Evaluator, Batch) error
		most float64
	}{
		{"a training step", func(trainer *Trainer, _ *Evaluator, _ Batch) error { return trainer.Step(context.Background()) }, 0},
		{"a segment of an evaluation", func(_ *Trainer, e *Evaluator, b Batch) error {
			if err := e.load(b); err != nil {
				return err
			}
			return e.segment(context.Background(), true)
		}, 0},
		// The list of predictions, the q values, and an answer for each of three rows.
		{"an evaluation, but for its predictions", func(_ *Trainer, e *Evaluator, b Batch) error {
			_, err := e.Predict(context.Background(), b, 3)
			return err
		}, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			trainer, evaluator, batch := small(t)
			got, most := math.Inf(1), steps*c.most
			for try := 0; try < tries && got > most; try++ {
				got = min(got, testing.AllocsPerRun(runs, func() {
					for range steps {
						if err := c.work(trainer, evaluator, batch); err != nil {
							t.Fatal(err)
						}
					}
				}))
			}
			if got > most {
				t.Errorf("%v allocations in %d steps, want at most %v", got, steps, most)
			}
		})
	}
}

// small is a trainer and an evaluator of a small model on the cpu device, and a batch to evaluate.
func small(t *testing.T) (*Trainer, *Evaluator, Batch) {
	t.Helper()
	spec, train := tinyJob(t), tinyData(t)[0]
	spec.Model.HiddenSize = 64 // wide enough for the optimizer to share its work out over the threads
	d, err := cpu.New(cpu.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	h, err := HyperparametersOf(spec, 1000)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Build(spec.Model, ShapeOf(&train.Metadata), spec.Training.Precision, h.Batch)
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNetwork(d, m, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	if err := n.Initialize(1); err != nil {
		t.Fatal(err)
	}
	source, err := newSampled(spec, train)
	if err != nil {
		t.Fatal(err)
	}
	trainer, err := NewTrainer(n, source, train.SeqLen, h)
	if err != nil {
		t.Fatal(err)
	}
	evaluator, err := NewEvaluator(n, h.Batch, train.SeqLen, h.MaxSegments)
	if err != nil {
		t.Fatal(err)
	}
	return trainer, evaluator, source.Next()
}
