package loop

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/official"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/model"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	trainerprogress "github.com/hrm-operator/hrm-operator/trainer/progress"
)

// trainFrom trains the tiny job from given weights at learning rates so small that they stay what they are.
func trainFrom(t *testing.T, store objectstore.Store, data [2]*dataset.Dataset, weights map[string]checkpoint.Tensor) ([]string, error) {
	t.Helper()
	spec := tinyJob(t)
	spec.Training.LearningRate, spec.Training.Embedding.LearningRate = "1e-99", "1e-99"
	w := &watcher{}
	err := Run(t.Context(), Options{
		Spec: spec, Train: data[0], Test: data[1], Device: reference.New(), Store: store, Now: time.Now, Weights: func() (map[string]checkpoint.Tensor, error) { return weights, nil },
		Checkpoints: checkpoint.NewArchive(store, checkpoint.Options{}), Tracker: trainerprogress.NewTracker(time.Now, w),
	})
	return w.notes, err
}

// trainedWeights are those of a finished run.
func trainedWeights(t *testing.T, data [2]*dataset.Dataset) map[string]checkpoint.Tensor {
	t.Helper()
	store, _ := directory(t)
	if _, err := trainUntil(t, store, data, 0); err != nil {
		t.Fatal(err)
	}
	return final(t, store).Model
}

func TestNewRunBeginsWithTheGivenWeights(t *testing.T) {
	data := tinyData(t)
	weights := trainedWeights(t, data)
	store, _ := directory(t)
	notes, err := trainFrom(t, store, data, weights)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(weights, final(t, store).Model); diff != "" {
		t.Errorf("-want +got:\n%.1000s", diff)
	}
	if !slices.Contains(notes, "training begins with the given weights") {
		t.Errorf("nothing was said of it: %q", notes)
	}
}

func TestRunWithACheckpointGoesOnFromThat(t *testing.T) {
	data := tinyData(t)
	store, _ := directory(t)
	if _, err := trainUntil(t, store, data, 3); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	notes, err := trainFrom(t, store, data, map[string]checkpoint.Tensor{"of": {}, "another": {}, "model": {}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(notes, "\n"), "going on from step 3") {
		t.Errorf("it did not say so: %q", notes)
	}
}

func TestPuzzleEmbeddingsOfOtherPuzzlesAreNotTaken(t *testing.T) {
	data := tinyData(t)
	weights := trainedWeights(t, data)
	weights[official.Prefix+model.PuzzleTable] = checkpoint.Float32Tensor(slices.Repeat([]float32{1}, 5*8), 5, 8)
	store, _ := directory(t)
	notes, err := trainFrom(t, store, data, weights)
	if err != nil {
		t.Fatal(err)
	}
	table, err := final(t, store).Model[official.Prefix+model.PuzzleTable].Float32s()
	if err != nil || !slices.Equal(table, make([]float32, 8)) {
		t.Errorf("the table is %v, %v, want zeros", table, err)
	}
	if !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "of 5 puzzles, the dataset has 1") }) {
		t.Errorf("nothing was said of it: %q", notes)
	}
}

func TestWeightsOfAnotherModelEndTheRun(t *testing.T) {
	data := tinyData(t)
	weights := trainedWeights(t, data)
	for name, c := range map[string]struct {
		change func(map[string]checkpoint.Tensor)
		want   string
	}{
		"another shape": {func(w map[string]checkpoint.Tensor) {
			w[official.Prefix+"lm_head.weight"] = checkpoint.Float32Tensor(make([]float32, 16), 2, 8)
		}, "lm_head.weight has the shape [2 8] there and [11 8] here"},
		"a tensor too few":  {func(w map[string]checkpoint.Tensor) { delete(w, official.Prefix+"q_head.bias") }, "lacks q_head.bias"},
		"a tensor too many": {func(w map[string]checkpoint.Tensor) { w["extra"] = checkpoint.Float32Tensor(nil, 0) }, "also has [extra]"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := maps.Clone(weights)
			c.change(changed)
			store, _ := directory(t)
			if _, err := trainFrom(t, store, data, changed); !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
