package loop

import (
	"fmt"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// What the Q head says always is q_halt 9 and q_continue as given. An example gets maxSteps segments where halting is fixed,
// and one where the rule halts it at once.
func TestTrainer_haltsAsTheJobSays(t *testing.T) {
	data := tinyData(t)[0]
	for _, c := range []struct {
		halting   v1alpha1.Halting
		qContinue float32
		segments  int32
		learns    bool
	}{
		{v1alpha1.HaltingFixed, -9, 3, false},
		{v1alpha1.HaltingQLearning, -9, 1, true}, {v1alpha1.HaltingQLearning, 99, 3, true},
		{v1alpha1.HaltingQDifference, -9, 1, false}, {v1alpha1.HaltingQDifference, 99, 3, false},
		{v1alpha1.HaltingQHalt, 99, 1, false},
	} {
		t.Run(fmt.Sprintf("%s where q_continue is %g", c.halting, c.qContinue), func(t *testing.T) {
			spec := tinyJob(t)
			spec.Model.ACT = v1alpha1.ACTSpec{MaxSteps: 3, Halting: c.halting, ExplorationProbability: "0"}
			h, err := HyperparametersOf(spec, 1000)
			if err != nil {
				t.Fatal(err)
			}
			m, err := model.Build(spec.Model, ShapeOf(&data.Metadata), spec.Training.Precision, h.Batch)
			if err != nil {
				t.Fatal(err)
			}
			n, err := NewNetwork(reference.New(), m, true)
			if err != nil {
				t.Fatal(err)
			}
			source, err := newSampled(spec, data)
			if err != nil {
				t.Fatal(err)
			}
			trainer, err := NewTrainer(n, source, data.SeqLen, h)
			if err != nil {
				t.Fatal(err)
			}
			if err := device.WriteFloats(n.parameters["q_head.bias"], 0, []float32{9, c.qContinue}); err != nil {
				t.Fatal(err)
			}
			for step := range int32(6) {
				if err := trainer.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
				for row, halted := range trainer.carry.halted {
					if want := (step+1)%c.segments == 0; halted != want {
						t.Errorf("after step %d row %d has halted: %v, want %v", step+1, row, halted, want)
					}
				}
			}
			if _, learns := trainer.arrays["q.target"]; learns != c.learns {
				t.Errorf("the program computes a target for the Q head: %v", learns)
			}
		})
	}
}
