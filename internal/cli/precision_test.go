//go:build onednn && cgo && linux

package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cpu"
)

// A bfloat16 job runs where oneDNN has no bfloat16, and what it has trained is gone on with where it has.
func TestTrain_computesInFloat32WhereThereIsNoBFloat16(t *testing.T) {
	store, job := t.TempDir(), filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(job, fmt.Appendf(nil, bucketJob, fewPuzzles(t), ""), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	for _, c := range []struct {
		processor, steps string
		fallsBack        bool
	}{
		{"ONEDNN_MAX_CPU_ISA=AVX2", "4", true},
		{"ONEDNN_MAX_CPU_ISA=DEFAULT", "8", !whole.Supports(device.BFloat16)},
		{"ONEDNN_MAX_CPU_ISA=AVX2", "12", true},
	} {
		cmd := exec.Command(os.Args[0], "train", "-f", job, "--store", store, "--scratch", t.TempDir(), "--device", "cpu",
			"--set", "training.precision=BFloat16", "--set", "training.steps="+c.steps, "--set", "dataset.testFraction=0.1")
		cmd.Env = append(os.Environ(), asCommand+"=1", c.processor)
		p := startProcess(t, cmd)
		if code := p.code(); code != exitDone {
			t.Fatalf("%s: ends with %d:\n%s", c.processor, code, p.said())
		}
		if strings.Contains(p.said(), "computing in Float32") != c.fallsBack {
			t.Errorf("%s: falls back %v is wanted:\n%s", c.processor, c.fallsBack, p.said())
		}
	}
}
