package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/internal/testing/fakegpu"
	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// hrmDevices runs hrm devices.
func hrmDevices(t *testing.T, args ...string) string {
	t.Helper()
	var out, problems buffer
	if status := run(t.Context(), append([]string{"hrm", "devices"}, args...), "test", strings.NewReader(""), &out, &problems); status != 0 {
		t.Fatalf("exit status %d\n%s", status, &problems)
	}
	return out.String()
}

func TestDevices_saysWhatAGPUIsAndWhyItIsNotUsed(t *testing.T) {
	c := fakegpu.Install(t)
	said := hrmDevices(t)
	for _, word := range []string{"cuda:0", "Fake GPU 0", "1.0 GiB", "compute capability 9.0", "CUDA 12.4", "NVRTC 12.4", "cuBLASLt 12.4.5", "NCCL 2.23.4", "reference"} {
		if !strings.Contains(said, word) {
			t.Errorf("%q does not mention %q", said, word)
		}
	}
	c.SetGPU(1, 7, 0, 12040)
	var list deviceList
	if err := json.Unmarshal([]byte(hrmDevices(t, "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.GPUs) != 1 || !strings.Contains(list.GPUs[0].Unusable, "7.0") || len(list.Devices) != 2 {
		t.Errorf("got %+v", list)
	}
}

func TestDeviceFlag_refusesUnknownNames(t *testing.T) {
	var out, problems buffer
	status := run(t.Context(), []string{"hrm", "bench", "--device", "cuda:first"}, "test", strings.NewReader(""), &out, &problems)
	if status != 64 || !strings.Contains(problems.String(), "cuda:N") {
		t.Errorf("exit status %d: %s", status, &problems)
	}
}

func TestDevices_saysThatSeveralGPUsLackNCCL(t *testing.T) {
	c := fakegpu.Install(t)
	c.SetGPU(2, 9, 0, 12040)
	c.SetNCCL(21003)
	said := hrmDevices(t)
	for _, word := range []string{"nccl", "2.10.3", "through the host"} {
		if !strings.Contains(said, word) {
			t.Errorf("%q does not mention %q", said, word)
		}
	}
}

// A training pod that asks for a GPU must not build a dataset, or wait for its peers, before it says that it sees none.
func TestTrain_saysAtOnceThatThereIsNoGPU(t *testing.T) {
	t.Setenv("CUDA_VISIBLE_DEVICES", "")
	store := t.TempDir()
	var out, problems buffer
	status := run(t.Context(), []string{"hrm", "train", "-f", "-", "--store", store, "--device", "cuda"}, "test", strings.NewReader(tinyModel), &out, &problems)
	if status != 78 || !strings.Contains(problems.String(), "cuda device") {
		t.Errorf("exit status %d: %s", status, &problems)
	}
	if _, err := os.Stat(filepath.Join(store, "datasets")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the store holds a dataset: %v", err)
	}
}

func TestDeviceFlag_leavesWhatMayPassToAnotherTry(t *testing.T) {
	c := fakegpu.Install(t)
	c.Fail("cuInit")
	var out, problems buffer
	status := run(t.Context(), []string{"hrm", "train", "-f", "-", "--store", t.TempDir(), "--device", "cuda"}, "test", strings.NewReader(tinyModel), &out, &problems)
	if status != 70 || !strings.Contains(problems.String(), "cuInit") {
		t.Errorf("exit status %d: %s", status, &problems)
	}
}

func TestDeviceFailure_isOfGPUsOnly(t *testing.T) {
	for want, err := range map[string]error{
		progress.GPUNotVisible: &device.UnusableError{Device: "cuda", NotVisible: true, Err: errors.New("none")},
		progress.GPUNotUsable:  &device.UnusableError{Device: "cuda", Err: errors.New("too old")},
		"":                     &device.UnusableError{Device: "cpu", NotVisible: true, Err: errors.New("not built")},
	} {
		wrapped := configurationError{fmt.Errorf("open: %w", err)}
		if got := deviceFailure(wrapped); got != want || exitCode(wrapped) != exitConfiguration {
			t.Errorf("%v is %q and exits with %d, want %q", err, got, exitCode(wrapped), want)
		}
	}
}
