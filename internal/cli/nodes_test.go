//go:build gloo && cgo && linux

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

const nodesJob = `
apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: tiny}
spec:
  nodes: 2
  model: {hiddenSize: 8, numHeads: 2, expansion: 1, hLayers: 1, lLayers: 1, hCycles: 1, lCycles: 2, act: {maxSteps: 3, explorationProbability: "0.5"}}
  dataset: {task: Sudoku, source: {uri: %s}, subsample: 12, augmentations: 2, testFraction: "0.001", maxBlanks: 20}
  training: {globalBatchSize: 4, steps: %d, warmupSteps: 2, learningRate: "1e-3"}
  checkpoint: {everySteps: 7, keepLast: 3}
  evaluation: {everySteps: 20, maxExamples: 3}
  storage: {bucket: none}
`

// gang is two processes that train a job into one store, as often as they are started.
type gang struct {
	t                  *testing.T
	job, store, listen string
	scratch            string
	flags              []string
}

func newGang(t *testing.T, steps int) *gang {
	t.Helper()
	source, err := filepath.Abs("../../trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	g := &gang{t: t, job: filepath.Join(t.TempDir(), "job.yaml"), store: t.TempDir(), scratch: t.TempDir()}
	if err := os.WriteFile(g.job, fmt.Appendf(nil, nodesJob, source, steps), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g.listen = l.Addr().String()
	return g
}

// start starts a rank.
func (g *gang) start(rank int) *process {
	g.t.Helper()
	args := []string{"train", "-f", g.job, "--store", g.store, "--scratch", filepath.Join(g.scratch, fmt.Sprint(rank)),
		"--device", "reference", "--rendezvous-listen", g.listen}
	cmd := exec.Command(os.Args[0], append(args, g.flags...)...)
	cmd.Env = append(os.Environ(), asCommand+"=1", "HRM_JOB=test/tiny", "HRM_ATTEMPT=1", "HRM_WORLD_SIZE=2",
		fmt.Sprintf("HRM_RANK=%d", rank), "HRM_RENDEZVOUS="+g.listen)
	return startProcess(g.t, cmd)
}

// finish starts both ranks and wants them to train to the end.
func (g *gang) finish() *checkpoint.State {
	g.t.Helper()
	both := []*process{g.start(0), g.start(1)}
	for rank, p := range both {
		if code := p.code(); code != 0 {
			g.t.Fatalf("rank %d ends with %d:\n%s", rank, code, p.said())
		}
	}
	return g.last()
}

// last is the store's last checkpoint.
func (g *gang) last() *checkpoint.State {
	g.t.Helper()
	store, err := objectstore.OpenDir(g.store)
	if err != nil {
		g.t.Fatal(err)
	}
	state, _, err := checkpoint.NewArchive(store, checkpoint.Options{}).Latest(g.t.Context(), func(note string) { g.t.Error(note) })
	if err != nil || state == nil {
		g.t.Fatalf("last checkpoint is %v, %v", state, err)
	}
	return state
}

func sameModel(t *testing.T, got, want *checkpoint.State) {
	t.Helper()
	if got.Step != want.Step {
		t.Fatalf("step %d, want %d", got.Step, want.Step)
	}
	for part, pair := range map[string][2]map[string]checkpoint.Tensor{"model": {got.Model, want.Model}, "optimizer": {got.Optimizer, want.Optimizer}} {
		for name, tensor := range pair[1] {
			if !bytes.Equal(pair[0][name].Data, tensor.Data) {
				t.Errorf("%s: %s differs from the undisturbed run's", part, name)
			}
		}
	}
}

// Whenever a rank is killed, the other one notices, and started again they end with the undisturbed run's model.
func TestNodes_endWithTheSameModelWhateverIsKilled(t *testing.T) {
	const steps = 60
	want := newGang(t, steps).finish()
	g, random := newGang(t, steps), rand.New(rand.NewPCG(1, 2))
	for round := range 5 {
		victim := round % 2
		both := []*process{g.start(0), g.start(1)}
		select {
		case <-both[victim].done:
		case <-time.After(time.Duration(random.IntN(3000)) * time.Millisecond):
			_ = both[victim].cmd.Process.Kill()
		}
		<-both[victim].done
		other := both[1-victim]
		if !strings.Contains(both[victim].said(), "are connected") {
			// It was too early: the other one may wait for a peer, as it should.
			_ = other.cmd.Process.Kill()
			<-other.done
			continue
		}
		if code := other.code(); code != exitInterrupted && code != exitDone {
			t.Fatalf("round %d: rank %d ends with %d when rank %d is killed:\n%s", round, 1-victim, code, victim, other.said())
		}
	}
	sameModel(t, g.finish(), want)
}

// SIGTERM to one process makes both save and leave, and a process that comes after the end has nothing to wait for.
func TestNodes_stopTogether(t *testing.T) {
	g := newGang(t, 100_000)
	both := []*process{g.start(0), g.start(1)}
	if !both[1].hears("phase=Training") {
		t.Fatal(both[1].said())
	}
	if err := both[1].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for rank, p := range both {
		if code := p.code(); code != exitInterrupted {
			t.Errorf("rank %d ends with %d, want %d:\n%s", rank, code, exitInterrupted, p.said())
		}
	}
	if step := g.last().Step; step < 1 {
		t.Errorf("step %d is saved", step)
	}
}

func TestNodes_aProcessThatComesAfterTheEndLeavesAtOnce(t *testing.T) {
	g := newGang(t, 3)
	g.finish()
	late := g.start(1)
	if code := late.code(); code != 0 || !strings.Contains(late.said(), "nothing is left to train") {
		t.Errorf("ends with %d:\n%s", code, late.said())
	}
}

// A process that is frozen says nothing and closes nothing; it is missed all the same.
func TestNodes_noticeAFrozenPeer(t *testing.T) {
	g := newGang(t, 100_000)
	both := []*process{g.start(0), g.start(1)}
	if !both[0].hears("phase=Training") {
		t.Fatal(both[0].said())
	}
	began := time.Now()
	if err := both[1].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if code := both[0].code(); code != exitInterrupted || !strings.Contains(both[0].said(), "rank 1 is lost: no sign of life") {
		t.Errorf("rank 0 ends with %d:\n%s", code, both[0].said())
	}
	t.Logf("noticed after %s", time.Since(began))
	if err := both[1].cmd.Process.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	if code := both[1].code(); code != exitInterrupted {
		t.Errorf("rank 1 ends with %d:\n%s", code, both[1].said())
	}
}

// A process whose peers do not come says who is missing and waits until it is asked to stop.
func TestNodes_waitForOneAnother(t *testing.T) {
	for rank, missing := range []string{"waiting for rank 1", "waiting for rank 0"} {
		t.Run(fmt.Sprintf("rank %d", rank), func(t *testing.T) {
			alone := newGang(t, 3).start(rank)
			if !alone.hears(missing) {
				t.Fatal(alone.said())
			}
			if err := alone.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := alone.code(); code != exitInterrupted {
				t.Errorf("ends with %d, want %d:\n%s", code, exitInterrupted, alone.said())
			}
		})
	}
}

// The ranks of a machine have one dataset between them, which rank 0 gets.
func TestNodes_shareADatasetCache(t *testing.T) {
	g, cache := newGang(t, 3), t.TempDir()
	g.flags = []string{"--dataset-cache", cache}
	both := []*process{g.start(0), g.start(1)}
	for rank, want := range []string{"dataset built", "dataset found in " + cache} {
		if code := both[rank].code(); code != 0 || !strings.Contains(both[rank].said(), want) {
			t.Errorf("rank %d ends with %d, want %q:\n%s", rank, code, want, both[rank].said())
		}
	}
}
