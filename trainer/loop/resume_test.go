package loop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	trainerprogress "github.com/hrm-operator/hrm-operator/trainer/progress"
)

const lastStep = 6

// tinyJob trains a very small model for a few steps and saves after each.
func tinyJob(t *testing.T) *v1alpha1.HRMTrainingJobSpec {
	t.Helper()
	job, err := v1alpha1.Load(strings.NewReader(`
apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: tiny}
spec:
  model: {hiddenSize: 8, numHeads: 2, expansion: 1, hLayers: 1, lLayers: 1, hCycles: 1, lCycles: 2, act: {maxSteps: 3, explorationProbability: "0.5"}}
  dataset: {task: Sudoku, source: {uri: ../dataset/sudoku/testdata/norvig_sudoku10k.csv.gz}, subsample: 12, augmentations: 2, testFraction: "0.001", maxBlanks: 20}
  training: {globalBatchSize: 4, steps: 6, warmupSteps: 2, learningRate: "1e-3", precision: BFloat16}
  checkpoint: {everySteps: 1, keepLast: 20}
  evaluation: {everySteps: 4, maxExamples: 3}
  storage: {bucket: none}
`))
	if err != nil {
		t.Fatal(err)
	}
	return &job.Spec
}

// watcher stops a run once a step has been made.
type watcher struct {
	step  int64
	stop  context.CancelFunc
	notes []string
}

func (w *watcher) Show(r progress.Report) {
	if w.step > 0 && r.Step >= w.step {
		w.stop()
	}
}
func (w *watcher) Note(text string) { w.notes = append(w.notes, text) }
func (w *watcher) Close()           {}

// trainUntil runs the job until it has ended, or is interrupted after the given step.
func trainUntil(t *testing.T, store objectstore.Store, data [2]*dataset.Dataset, step int64) ([]string, error) {
	t.Helper()
	return trainJobUntil(t, tinyJob(t), store, data, step)
}

func trainJobUntil(t *testing.T, spec *v1alpha1.HRMTrainingJobSpec, store objectstore.Store, data [2]*dataset.Dataset, step int64) ([]string, error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w := &watcher{step: step, stop: stop}
	err := Run(ctx, Options{
		Spec: spec, Train: data[0], Test: data[1], Device: reference.New(), Store: store, Now: time.Now,
		Checkpoints: checkpoint.NewArchive(store, checkpoint.Options{KeepLast: int(spec.Checkpoint.KeepLast)}),
		Tracker:     trainerprogress.NewTracker(time.Now, w),
	})
	return w.notes, err
}

func tinyData(t *testing.T) (data [2]*dataset.Dataset) {
	t.Helper()
	dir := t.TempDir()
	if _, err := dataset.Build(t.Context(), tinyJob(t).Dataset, dataset.Sources{}, dir, nil); err != nil {
		t.Fatal(err)
	}
	for i, half := range []string{dataset.Train, dataset.Test} {
		var err error
		if data[i], err = dataset.Load(dir, half); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

func directory(t *testing.T) (objectstore.Store, string) {
	t.Helper()
	dir := t.TempDir()
	store, err := objectstore.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return store, dir
}

// final returns the last checkpoint's state, which must be of the last step.
func final(t *testing.T, store objectstore.Store) *State {
	t.Helper()
	state, _, err := checkpoint.NewArchive(store, checkpoint.Options{}).Latest(t.Context(), func(note string) { t.Error(note) })
	if err != nil || state == nil || state.Step != lastStep {
		t.Fatalf("last checkpoint is %v, %v", state, err)
	}
	return state
}

// sameBits compares everything that a further step would depend on.
func sameBits(t *testing.T, got, want *State) {
	t.Helper()
	for part, pair := range map[string][2]map[string]checkpoint.Tensor{
		"model": {got.Model, want.Model}, "optimizer": {got.Optimizer, want.Optimizer}, "carry": {got.Carry, want.Carry},
	} {
		if !slices.Equal(slices.Sorted(maps.Keys(pair[0])), slices.Sorted(maps.Keys(pair[1]))) {
			t.Errorf("%s: other tensors", part)
		}
		for name, tensor := range pair[1] {
			if !bytes.Equal(pair[0][name].Data, tensor.Data) {
				t.Errorf("%s: %s differs", part, name)
			}
		}
	}
}

func TestInterruptedRunsEndWithTheSameBits(t *testing.T) {
	data := tinyData(t)
	whole, _ := directory(t)
	if _, err := trainUntil(t, whole, data, 0); err != nil {
		t.Fatal(err)
	}
	want := final(t, whole)
	for step := int64(1); step < lastStep; step++ {
		t.Run(fmt.Sprintf("after step %d", step), func(t *testing.T) {
			store, _ := directory(t)
			if _, err := trainUntil(t, store, data, step); !errors.Is(err, ErrInterrupted) {
				t.Fatalf("interrupted run ends with %v", err)
			}
			if _, err := trainUntil(t, store, data, 0); err != nil {
				t.Fatal(err)
			}
			sameBits(t, final(t, store), want)
		})
	}
}

// An altered object is named, and the checkpoint before is used: the run still ends with the same bits.
func TestAlteredCheckpointsArePassedOver(t *testing.T) {
	data := tinyData(t)
	whole, _ := directory(t)
	if _, err := trainUntil(t, whole, data, 0); err != nil {
		t.Fatal(err)
	}
	for _, object := range []string{"model.safetensors", "optimizer.safetensors", "carry.safetensors", "state.json", "manifest.json"} {
		for name, alter := range map[string]func([]byte) []byte{
			"truncated": func(b []byte) []byte { return b[:len(b)/2] },
			"altered":   func(b []byte) []byte { b[len(b)/2] ^= 0x10; return b },
			"emptied":   func([]byte) []byte { return nil },
		} {
			if object == "manifest.json" && name == "altered" {
				continue // a changed digit of a time or version is no damage
			}
			t.Run(object+" "+name, func(t *testing.T) {
				store, dir := directory(t)
				if _, err := trainUntil(t, store, data, 3); !errors.Is(err, ErrInterrupted) {
					t.Fatal(err)
				}
				damaged := damage(t, dir, object, alter)
				notes, err := trainUntil(t, store, data, 0)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, damaged) }) {
					t.Errorf("nobody says that %s is damaged: %q", damaged, notes)
				}
				sameBits(t, final(t, store), final(t, whole))
			})
		}
	}
}

// damage alters an object of the last checkpoint and returns its key.
func damage(t *testing.T, dir, object string, alter func([]byte) []byte) string {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(dir, "checkpoints", "step-*"))
	if err != nil || len(folders) < 2 {
		t.Fatalf("checkpoints %v, %v: want two at least", folders, err)
	}
	slices.Sort(folders)
	file := filepath.Join(folders[len(folders)-1], object)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, alter(raw), 0o644); err != nil {
		t.Fatal(err)
	}
	return filepath.Join("checkpoints", filepath.Base(folders[len(folders)-1]), object)
}
