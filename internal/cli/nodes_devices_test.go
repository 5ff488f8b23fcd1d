//go:build gloo && cgo && linux

package cli

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/fake"
)

// newGPUGang is two processes with two fake GPUs each.
func newGPUGang(t *testing.T, steps int) *gang {
	t.Helper()
	libraries, err := fake.Build()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(binding.LibrariesVariable, libraries)
	t.Setenv(fake.DevicesVariable, "2")
	t.Setenv(cuda.CacheVariable, t.TempDir())
	g := newGang(t, steps)
	g.flags = []string{"--device", "cuda"}
	return g
}

// The GPUs of several processes are linked to one another, and end with the same bits again.
func TestNodes_trainOnLinkedGPUs(t *testing.T) {
	g := newGPUGang(t, 4)
	both := []*process{g.start(0), g.start(1)}
	for _, p := range both {
		ends(t, p, exitDone, "Fake GPU 1")
	}
	ends(t, both[0], exitDone, "4 devices are linked: nccl 2.23.4", "step=4")
	sameModel(t, newGPUGang(t, 4).finish(), g.last())
}

// At the end of training the first process analyzes the model, and the others leave.
func TestNodes_analyzeOnLinkedGPUs(t *testing.T) {
	g := newGPUGang(t, 4)
	g.flags = append(g.flags, "--set", "analysis={trajectories: 2, attention: [H1]}")
	g.finish()
	if r := analysisIn(t, g.store); r.Step != 4 || r.Trained.Trajectories != 2 {
		t.Errorf("got %+v", r)
	}
	wantFiles(t, filepath.Join(g.store, "analysis"), "residual.svg", "attention-h1.png")
}

// A process that is killed while the GPUs of the other one wait for its GPUs is missed, and what waits is let go.
func TestNodes_leaveTheGPUsOfAProcessThatIsKilled(t *testing.T) {
	for victim := range 2 {
		t.Run(fmt.Sprintf("rank %d", victim), func(t *testing.T) {
			g := newGPUGang(t, 100_000)
			both := []*process{g.start(0), g.start(1)}
			if !both[0].hears("phase=Training") {
				t.Fatal(both[0].said())
			}
			if err := both[victim].cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			ends(t, both[1-victim], exitInterrupted, fmt.Sprintf("rank %d is lost", victim))
		})
	}
}

func TestNodes_refuseAnotherNumberOfGPUs(t *testing.T) {
	g := newGPUGang(t, 4)
	zero := g.start(0)
	g.flags = []string{"--device", "cuda:1"}
	one := g.start(1)
	ends(t, one, exitConfiguration, "rank 0 trains on 2 devices, rank 1 on 1")
	if err := zero.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
}
