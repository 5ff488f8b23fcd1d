package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/fake"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
)

// onDevicesJob is a job that takes little time on any device.
const onDevicesJob = `
apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: tiny}
spec:
  model: {hiddenSize: 8, numHeads: 2, expansion: 1, hLayers: 1, lLayers: 1, hCycles: 1, lCycles: 2, act: {maxSteps: 3, explorationProbability: "0.5"}}
  dataset: {task: Sudoku, source: {uri: %s}, subsample: 12, augmentations: 2, testFraction: "0.001", maxBlanks: 20}
  training: {globalBatchSize: 4, steps: %d, warmupSteps: 2, learningRate: "1e-3", precision: Float32}
  checkpoint: {everySteps: 7, keepLast: 3}
  evaluation: {everySteps: 20, maxExamples: 3}
  storage: {bucket: none}
`

// alone is a process that trains a job into a store, as often as it is started.
type alone struct {
	t          *testing.T
	job, store string
	env        []string
}

func newAlone(t *testing.T, steps int) *alone {
	t.Helper()
	source, err := filepath.Abs("../../trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	a := &alone{t: t, job: filepath.Join(t.TempDir(), "job.yaml"), store: t.TempDir()}
	if err := os.WriteFile(a.job, fmt.Appendf(nil, onDevicesJob, source, steps), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// withGPUs gives the process so many fake GPUs.
func (a *alone) withGPUs(n int) *alone {
	a.t.Helper()
	libraries, err := fake.Build()
	if err != nil {
		a.t.Fatal(err)
	}
	a.env = append(a.env, binding.LibrariesVariable+"="+libraries, fmt.Sprintf("%s=%d", fake.DevicesVariable, n), cuda.CacheVariable+"="+a.t.TempDir())
	return a
}

// start trains on these devices.
func (a *alone) start(device string) *process {
	a.t.Helper()
	cmd := exec.Command(os.Args[0], "train", "-f", a.job, "--store", a.store, "--scratch", a.t.TempDir(), "--device", device)
	cmd.Env = append(append(os.Environ(), asCommand+"=1"), a.env...)
	return startProcess(a.t, cmd)
}

// ends wants a process to end with a code and to have said something.
func ends(t *testing.T, p *process, code int, words ...string) {
	t.Helper()
	if got := p.code(); got != code {
		t.Fatalf("ends with %d, want %d:\n%s", got, code, p.said())
	}
	for _, w := range words {
		if !strings.Contains(p.said(), w) {
			t.Errorf("it does not say %q:\n%s", w, p.said())
		}
	}
}

func TestTrain_onSeveralDevicesOfAProcess(t *testing.T) {
	a := newAlone(t, 10)
	p := a.start("reference*3")
	ends(t, p, exitDone, "step=10")
	if n := strings.Count(p.said(), "phase=Done"); n != 1 {
		t.Errorf("the end is told %d times:\n%s", n, p.said())
	}
	ends(t, a.start("reference*3"), exitDone, "nothing is left to train")
}

// SIGTERM stops all devices at the same step, and another number goes on from there.
func TestTrain_goesOnWithAnotherNumberOfDevices(t *testing.T) {
	a := newAlone(t, 100_000)
	p := a.start("reference*2")
	if !p.hears("phase=Training") {
		t.Fatal(p.said())
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ends(t, p, exitInterrupted, "asked to stop: saving step")
	p = a.start("reference")
	if !p.hears("going on with 1 ranks from a checkpoint of 2") {
		t.Fatal(p.said())
	}
}

func TestTrain_onAllGPUs(t *testing.T) {
	a := newAlone(t, 4).withGPUs(2)
	ends(t, a.start("auto"), exitDone, "Fake GPU 0", "Fake GPU 1", "2 devices are linked: nccl 2.23.4", "step=4")
}

func TestTrain_withoutNCCLAddsThroughTheHost(t *testing.T) {
	a := newAlone(t, 2).withGPUs(2)
	a.env = append(a.env, cuda.NCCLVariable+"=off")
	ends(t, a.start("cuda:1,0"), exitDone, "gradients are added through the host, which is slower: rank 0: NCCL is not used: HRM_NCCL is off")
}

func TestTrain_refusesMoreDevicesThanTheBatchHasRows(t *testing.T) {
	ends(t, newAlone(t, 2).start("reference*5"), exitConfiguration, "a batch of 4 cannot be split among 5 devices", "--device")
	ends(t, newAlone(t, 2).start("cuda:0,0"), exitUsage, "want auto, cuda")
}

func TestOnDevices(t *testing.T) {
	job := &v1alpha1.HRMTrainingJob{}
	job.Spec.Training.GlobalBatchSize = 8
	for _, c := range []struct {
		size, devices int
		fails         bool
	}{{1, 8, false}, {2, 4, false}, {2, 5, true}, {1, 9, true}} {
		w, err := onDevices(collective.World{Size: c.size}, c.devices, job)
		if (err != nil) != c.fails || w.Devices != c.devices {
			t.Errorf("%d processes of %d devices: got %+v, %v", c.size, c.devices, w, err)
		}
	}
}

func TestCauses_namesWhatHasFailedFirst(t *testing.T) {
	lost := &collective.PeerLostError{Rank: 0, Reason: "its device 1 has stopped: out of memory"}
	full := errors.New("out of memory")
	for _, c := range []struct {
		name string
		errs []error
		want string
		code int
	}{
		{"nothing", []error{nil, nil}, "", exitDone},
		{"one that failed", []error{fmt.Errorf("step 3: %w", lost), full}, "out of memory", exitInternal},
		{"all that were asked to stop", []error{loop.ErrInterrupted, loop.ErrInterrupted}, loop.ErrInterrupted.Error(), exitInterrupted},
		{"a process that is lost", []error{lost, lost}, lost.Error(), exitInterrupted},
		{"a loss that is no number", []error{&loop.NotFiniteError{Step: 2}, &loop.NotFiniteError{Step: 2}}, (&loop.NotFiniteError{Step: 2}).Error(), exitConfiguration},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := causes(c.errs)
			if exitCode(err) != c.code || err != nil && err.Error() != c.want {
				t.Errorf("got %v (%d), want %q (%d)", err, exitCode(err), c.want, c.code)
			}
		})
	}
}
