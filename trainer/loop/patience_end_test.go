package loop

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	trainerprogress "github.com/hrm-operator/hrm-operator/trainer/progress"
)

// impatientJob evaluates after every step by a metric that never becomes better: it ends after step 4.
func impatientJob(t *testing.T) *v1alpha1.HRMTrainingJobSpec {
	spec := tinyJob(t)
	spec.Evaluation.EverySteps = ptr.To[int64](1)
	spec.Evaluation.Metric = v1alpha1.EvaluationMetricValidAccuracy
	spec.Evaluation.Patience = ptr.To[int32](3)
	return spec
}

const impatientEnd = 4

func constantScorer() (dataset.Scorer, error) {
	return &fixedScorer{scores: []dataset.Score{{Name: "valid", Metric: v1alpha1.EvaluationMetricValidAccuracy, Value: 0.25, Of: 3}}}, nil
}

// trainImpatiently runs a job until it has ended or is interrupted after a step, and returns its last report.
func trainImpatiently(t *testing.T, spec *v1alpha1.HRMTrainingJobSpec, store objectstore.Store, data [2]*dataset.Dataset, step int64) (progress.Report, []string, error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w := &watcher{step: step, stop: stop}
	tracker := trainerprogress.NewTracker(time.Now, w)
	err := Run(ctx, Options{
		Spec: spec, Train: data[0], Test: data[1], NewScorer: constantScorer, Device: reference.New(), Store: store, Now: time.Now,
		Checkpoints: checkpoint.NewArchive(store, checkpoint.Options{KeepLast: int(spec.Checkpoint.KeepLast)}), Tracker: tracker,
	})
	return tracker.Report(), w.notes, err
}

// lastState returns the last checkpoint's state.
func lastState(t *testing.T, store objectstore.Store) *State {
	t.Helper()
	state, _, err := checkpoint.NewArchive(store, checkpoint.Options{}).Latest(t.Context(), func(note string) { t.Error(note) })
	if err != nil || state == nil {
		t.Fatalf("last checkpoint: %v, %v", state, err)
	}
	return state
}

func TestPatience_endsTrainingAsComplete(t *testing.T) {
	spec, data := impatientJob(t), tinyData(t)
	store, _ := directory(t)
	report, notes, err := trainImpatiently(t, spec, store, data, 0)
	if err != nil {
		t.Fatal(err)
	}
	const reason = "3 evaluations in a row had no better ValidAccuracy than 0.25"
	if report.Step != impatientEnd || report.Phase != progress.Done || !strings.Contains(report.EndedEarly, reason) || report.EstimatedCompletion != nil {
		t.Errorf("the last report is %+v, want to be done after step %d", report, impatientEnd)
	}
	if said := strings.Join(notes, "\n"); !strings.Contains(said, "training ends at step 4 of 6: "+reason) || !strings.Contains(said, "valid 25.0% of 3") {
		t.Errorf("the notes are\n%s", said)
	}
	if best := checkpoint.Best(t.Context(), store); best == nil || best.Step != 1 {
		t.Errorf("the best checkpoint is %+v, want that of the first step", best)
	}
	end, err := FindFinished(t.Context(), store, spec)
	if err != nil || end == nil || end.Checkpoint.Step != impatientEnd || !strings.Contains(end.Early, reason) {
		t.Errorf("the end that is found is %+v, %v", end, err)
	}
	journal, err := readAll(t.Context(), store, trainerprogress.JournalKey)
	if err != nil || strings.Count(string(journal), `"evalScores":{"valid":0.25}`) != impatientEnd {
		t.Errorf("the journal has not each evaluation's scores: %v\n%s", err, journal)
	}
}

// Wherever a run is interrupted, it ends after the same step with the same bits.
func TestPatience_endsAtTheSameStepAfterInterruptions(t *testing.T) {
	data := tinyData(t)
	whole, _ := directory(t)
	if _, _, err := trainImpatiently(t, impatientJob(t), whole, data, 0); err != nil {
		t.Fatal(err)
	}
	for step := int64(1); step <= impatientEnd; step++ {
		t.Run(fmt.Sprintf("after step %d", step), func(t *testing.T) {
			store, _ := directory(t)
			if _, _, err := trainImpatiently(t, impatientJob(t), store, data, step); !errors.Is(err, ErrInterrupted) {
				t.Fatalf("the interrupted run ends with %v", err)
			}
			report, _, err := trainImpatiently(t, impatientJob(t), store, data, 0)
			if err != nil || report.Step != impatientEnd {
				t.Fatalf("ends after step %d with %v, want step %d", report.Step, err, impatientEnd)
			}
			sameBits(t, lastState(t, store), lastState(t, whole))
			if end, err := FindFinished(t.Context(), store, impatientJob(t)); err != nil || end == nil {
				t.Errorf("the end is not found: %v", err)
			}
		})
	}
}

// With more patience the same run goes on from where it ended.
func TestPatience_canBeRaised(t *testing.T) {
	spec, data := impatientJob(t), tinyData(t)
	store, _ := directory(t)
	if _, _, err := trainImpatiently(t, spec, store, data, 0); err != nil {
		t.Fatal(err)
	}
	spec.Evaluation.Patience = ptr.To[int32](100)
	report, _, err := trainImpatiently(t, spec, store, data, 0)
	if err != nil || report.Step != lastStep || report.EndedEarly != "" {
		t.Errorf("ends with %v and %+v, want the last step", err, report)
	}
}

func TestRun_refusesAMetricOfAnotherTask(t *testing.T) {
	spec, data := impatientJob(t), tinyData(t)
	spec.Evaluation.Metric = v1alpha1.EvaluationMetricPassAt2
	store, _ := directory(t)
	if _, _, err := trainImpatiently(t, spec, store, data, 0); !errors.Is(err, ErrConfiguration) {
		t.Errorf("got %v, want a configuration error", err)
	}
}
