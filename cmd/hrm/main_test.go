package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test's own program be hrm, so that it can be killed.
func TestMain(m *testing.M) {
	if os.Getenv("HRM_TEST_AS_HRM") != "" {
		main()
	}
	os.Exit(m.Run())
}

const tinyJob = `apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: tiny}
spec:
  model: {hiddenSize: 8, numHeads: 2, expansion: 1, hLayers: 1, lLayers: 1, hCycles: 1, lCycles: 2, act: {maxSteps: 3, explorationProbability: "0.5"}}
  dataset: {task: Sudoku, source: {uri: ../../trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz}, subsample: 12, augmentations: 2, testFraction: "0.001", maxBlanks: 20}
  training: {globalBatchSize: 4, steps: 24, warmupSteps: 2, learningRate: "1e-3"}
  checkpoint: {everySteps: 1, keepLast: 2}
  evaluation: {everySteps: 12, maxExamples: 3}
  storage: {bucket: none}
`

// hrm prepares a process that trains the job into a folder.
func hrm(t *testing.T, job, store string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "train", "-f", "-", "--store", store, "--device", "reference", "--scratch", t.TempDir())
	cmd.Env = append(os.Environ(), "HRM_TEST_AS_HRM=1")
	cmd.Stdin = strings.NewReader(job)
	return cmd
}

func finish(t *testing.T, store string) {
	t.Helper()
	if out, err := hrm(t, tinyJob, store).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// weights reads the last step's weights.
func weights(t *testing.T, store string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(store, "checkpoints/step-0000000024-*/model.safetensors"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no checkpoint of the last step in %s: %v", store, err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// signalled starts training and sends signals as soon as one more checkpoint is in the store.
func signalled(t *testing.T, store string, signals ...os.Signal) error {
	t.Helper()
	before := checkpoints(store)
	cmd := hrm(t, tinyJob, store)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for checkpoints(store) == before {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
		}
	}
	for _, signal := range signals {
		// Signals that are pending together are one.
		for pending(cmd.Process.Pid) {
			<-tick.C
		}
		if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}
	return <-ended
}

// pending says whether the process has been sent a signal that it has not been given yet.
func pending(pid int) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "ShdPnd:"); ok {
			return strings.Trim(mask, "0 \t\n") != ""
		}
	}
	return false
}

// checkpoints names the folders of all checkpoints, complete or not.
func checkpoints(store string) string {
	folders, _ := filepath.Glob(filepath.Join(store, "checkpoints/*"))
	return strings.Join(folders, " ")
}

func TestKilledTrainingEndsWithTheSameWeights(t *testing.T) {
	whole, killed := t.TempDir(), t.TempDir()
	finish(t, whole)
	kills := 0
	for range 8 {
		if err := signalled(t, killed, syscall.SIGKILL); err == nil {
			break
		}
		kills++
	}
	if kills == 0 {
		t.Error("training ended before it could be killed")
	}
	finish(t, killed)
	if weights(t, killed) != weights(t, whole) {
		t.Error("the weights differ from those of the run that was not killed")
	}
}

func TestTerminatedTrainingSavesAndAsksToBeStartedAgain(t *testing.T) {
	whole, terminated := t.TempDir(), t.TempDir()
	finish(t, whole)
	// timeout(1) signals a process twice; that the second one comes while it saves is likelier of many.
	err := signalled(t, terminated, slices.Repeat([]os.Signal{syscall.SIGTERM}, 50)...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 75 {
		t.Fatalf("after SIGTERM training ends with %v, want exit status 75", err)
	}
	finish(t, terminated)
	if weights(t, terminated) != weights(t, whole) {
		t.Error("the weights differ from those of the run that was not terminated")
	}
}

func TestExitCodes(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "puzzles.csv")
	if err := os.WriteFile(broken, []byte("source,question,answer,rating\nx,12,34,0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		job  string
		code int
		says string
	}{
		"unknown field":          {strings.Replace(tinyJob, "numHeads", "heads", 1), 78, "heads"},
		"contradiction":          {strings.Replace(tinyJob, "numHeads: 2", "numHeads: 3", 1), 78, "numHeads"},
		"missing puzzles":        {strings.Replace(tinyJob, "norvig_sudoku10k", "none", 1), 65, "none.csv.gz"},
		"broken puzzles":         {strings.Replace(tinyJob, "../../trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz", broken, 1), 65, broken + ":2"},
		"training that blows up": {strings.Replace(tinyJob, `"1e-3"`, `"1", weightDecay: "1e6"`, 1), 78, "lower spec.training.learningRate"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := hrm(t, c.job, t.TempDir()).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != c.code || !strings.Contains(string(out), c.says) {
				t.Errorf("ends with %v, want exit status %d and words about %q:\n%s", err, c.code, c.says, out)
			}
		})
	}
}
