package loop

import (
	"errors"
	"testing"

	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

func TestPlanFor_countsStepsAsTheOfficialCodeDoes(t *testing.T) {
	for _, row := range []struct {
		name          string
		batch, epochs int32
		steps         *int64
		epochExamples float64
		want          int64
	}{
		{"Sudoku-Extreme on eight GPUs", 768, 20000, nil, 1000, 26041},
		{"Sudoku-Extreme on one GPU", 384, 20000, nil, 1000, 52083},
		{"Sudoku full", 2304, 100, nil, 3831994, 166319},
		{"steps are taken as they stand", 64, 0, ptr.To[int64](7), 1000, 7},
	} {
		t.Run(row.name, func(t *testing.T) {
			spec := &v1alpha1.HRMTrainingJobSpec{}
			spec.Training.GlobalBatchSize, spec.Training.Steps = row.batch, row.steps
			if row.epochs > 0 {
				spec.Training.Epochs = &row.epochs
			}
			p, err := planFor(spec, row.epochExamples)
			if err != nil || p.total != row.want {
				t.Errorf("got %d steps and %v, want %d", p.total, err, row.want)
			}
		})
	}
}

func TestPlanFor_refusesARunWithoutSteps(t *testing.T) {
	spec := &v1alpha1.HRMTrainingJobSpec{}
	spec.Training.GlobalBatchSize, spec.Training.Epochs = 64, ptr.To[int32](1)
	if _, err := planFor(spec, 10); !errors.Is(err, ErrConfiguration) {
		t.Errorf("got %v, want a configuration error", err)
	}
}

func TestPlan_evaluateAfter(t *testing.T) {
	for _, row := range []struct {
		name string
		plan plan
		want []int64
	}{
		{"only the end, without an interval", plan{total: 10, batch: 2, epochExamples: 4}, []int64{10}},
		{"every second epoch of two steps", plan{total: 10, batch: 2, epochExamples: 4, evaluateEpochs: 2}, []int64{4, 8, 10}},
		{"epochs that end inside a step count from that step on", plan{total: 4, batch: 4, epochExamples: 6, evaluateEpochs: 1}, []int64{2, 3, 4}},
		{"every third step", plan{total: 7, batch: 2, epochExamples: 4, evaluateSteps: 3}, []int64{3, 6, 7}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got []int64
			for step := int64(0); step <= row.plan.total; step++ {
				if row.plan.evaluateAfter(step) {
					got = append(got, step)
				}
			}
			if len(got) != len(row.want) {
				t.Fatalf("got %v, want %v", got, row.want)
			}
			for i := range got {
				if got[i] != row.want[i] {
					t.Fatalf("got %v, want %v", got, row.want)
				}
			}
		})
	}
}
