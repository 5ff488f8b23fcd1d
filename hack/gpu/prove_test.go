package gpu

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/fake"
)

// TestProve_goesOnWhereASliceEnded proves, in miniature and without a GPU, all but what needs one.
func TestProve_goesOnWhereASliceEnded(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds hrm and trains; CI is never short")
	}
	bin, state := t.TempDir(), t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "hrm"), "../../cmd/hrm")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, said)
	}
	libraries, err := fake.Build()
	if err != nil {
		t.Fatal(err)
	}
	// Of the checks only the list of devices is made here: their own test makes them all.
	for _, name := range []string{"cuda.test", "loop.test"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/false\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	source, err := filepath.Abs("../../trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	job := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(job, []byte(strings.ReplaceAll(miniature, "SOURCE", source)), 0o600); err != nil {
		t.Fatal(err)
	}
	prove := func(environment ...string) (said string, code int) {
		t.Helper()
		command := exec.Command("./prove", bin)
		command.Env = append(append(os.Environ(), "MINIATURE=1", "DEVICE=reference", "STATE="+state, "JOB="+job,
			"PARTS=devices", binding.LibrariesVariable+"="+libraries), environment...)
		out, err := command.CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return string(out), exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return string(out), 0
	}
	if said, code := prove("SLICE=0"); code != 75 || !strings.Contains(said, "check is next") {
		t.Fatalf("without time it exits with %d:\n%s", code, said)
	}
	if said, code := prove("STAGES=check"); code != 0 || !strings.Contains(said, "Fake GPU 0") {
		t.Fatalf("the check exits with %d:\n%s", code, said)
	}
	// Every call asks the trainer to stop after a second at the latest.
	code, said, calls := 75, "", 0
	for ; code == 75 && calls < 200; calls++ {
		said, code = prove("SLICE=31")
	}
	if code != 0 {
		t.Fatalf("after %d calls it exits with %d:\n%s", calls, code, said)
	}
	if said, code := prove(); code != 0 || strings.Contains(said, "==") {
		t.Errorf("what is done is done again, with %d:\n%s", code, said)
	}
	for _, name := range []string{"metrics.jsonl", "job.yaml", "report.html", "train.log"} {
		if info, err := os.Stat(filepath.Join(state, "home", name)); err != nil || info.Size() == 0 {
			t.Errorf("%s is not taken home: %v", name, err)
		}
	}
	for _, name := range []string{"scaling.json", "halting.json", "analysis.json"} {
		raw, err := os.ReadFile(filepath.Join(state, "home", name))
		if err != nil || !json.Valid(raw) {
			t.Errorf("%s is no document: %v\n%s", name, err, raw)
		}
	}
}

const miniature = `
apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: miniature}
spec:
  model: {hiddenSize: 32, numHeads: 2, expansion: 1, hLayers: 1, lLayers: 1, hCycles: 1, lCycles: 1, act: {maxSteps: 2}}
  dataset: {task: Sudoku, source: {uri: SOURCE}, subsample: 12, augmentations: 2, testFraction: "0.001", maxBlanks: 20}
  training: {globalBatchSize: 2, steps: 6, warmupSteps: 2, learningRate: "1e-3", precision: Float32}
  checkpoint: {everySteps: 2, keepLast: 2}
  evaluation: {everySteps: 100, maxExamples: 2}
  storage: {bucket: none}
`
