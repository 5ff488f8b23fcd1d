package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

const tinyModel = `apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: tiny}
spec:
  model: {hiddenSize: 8, numHeads: 2, expansion: 1, hLayers: 1, lLayers: 1, hCycles: 1, lCycles: 2, act: {maxSteps: 3}}
  dataset: {task: Sudoku, source: {uri: ../../trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz}, subsample: 6, augmentations: 1, testFraction: "0.002", maxBlanks: 20}
  training: {globalBatchSize: 4, steps: 3, warmupSteps: 1, learningRate: "1e-2"}
  evaluation: {everySteps: 100, maxExamples: 2}
  storage: {bucket: none}
`

// sharedModel is a store with a model that hardly knows anything, trained once for all tests; TestMain removes it.
var sharedModel struct {
	once sync.Once
	dir  string
}

func trainedStore(t *testing.T) string {
	t.Helper()
	sharedModel.once.Do(func() {
		dir, err := os.MkdirTemp("", "hrm-test-")
		if err != nil {
			t.Fatal(err)
		}
		sharedModel.dir = dir
		var out, problems buffer
		args := []string{"hrm", "train", "-f", "-", "--store", filepath.Join(dir, "store"), "--device", "reference", "--scratch", filepath.Join(dir, "scratch")}
		if status := run(context.Background(), args, "test", strings.NewReader(tinyModel), &out, &problems); status != 0 {
			t.Fatalf("training ends with %d\n%s", status, &problems)
		}
	})
	return filepath.Join(sharedModel.dir, "store")
}

// trainedData is the dataset that the shared model was trained on.
func trainedData(t *testing.T) string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(trainedStore(t), "datasets", "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("datasets %v, %v", dirs, err)
	}
	return dirs[0]
}

// ask runs a command on the shared model.
func ask(t *testing.T, in string, args ...string) (out, problems string, status int) {
	t.Helper()
	trainedStore(t)
	all := append([]string{"hrm"}, args...)
	if args[0] != "data" {
		all = append(all, "--store", trainedStore(t), "--device", "reference", "--scratch", filepath.Join(sharedModel.dir, "scratch"))
	}
	var o, e buffer
	status = run(t.Context(), all, "test", strings.NewReader(in), &o, &e)
	return o.String(), e.String(), status
}

// told runs a command that must succeed and returns its document.
func told[T any](t *testing.T, in string, args ...string) T {
	t.Helper()
	out, problems, status := ask(t, in, append(args, "--json")...)
	if status != 0 {
		t.Fatalf("%v ends with %d\n%s", args, status, problems)
	}
	var document T
	if err := json.Unmarshal([]byte(out), &document); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return document
}

// otherData is a dataset that the shared model cannot read: four tokens of a custom task.
func otherData(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	m := dataset.Metadata{VocabSize: 5, SeqLen: 4, NumPuzzleIdentifiers: 2, TotalGroups: 1, MeanPuzzleExamples: 2, TotalPuzzles: 1, Sets: []string{"all"}}
	for _, split := range []string{dataset.Train, dataset.Test} {
		err := dataset.WriteSplit(dir, split, dataset.Arrays{
			Metadata: m, Inputs: []uint8{1, 2, 3, 4, 0, 0, 1, 2}, Labels: []uint8{1, 1, 1, 1, 2, 2, 2, 2},
			Identifiers: []int32{1}, Puzzles: []int32{0, 2}, Groups: []int32{0, 1},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	raw, err := json.Marshal(names)
	if err == nil && len(names) > 0 {
		err = os.WriteFile(filepath.Join(dir, "identifiers.json"), raw, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
