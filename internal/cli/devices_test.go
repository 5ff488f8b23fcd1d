package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/fake"
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
	c, err := fake.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Reset)
	t.Setenv(binding.LibrariesVariable, c.Dir)
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
	c, err := fake.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Reset)
	t.Setenv(binding.LibrariesVariable, c.Dir)
	c.SetGPU(2, 9, 0, 12040)
	c.SetNCCL(21003)
	said := hrmDevices(t)
	for _, word := range []string{"nccl", "2.10.3", "through the host"} {
		if !strings.Contains(said, word) {
			t.Errorf("%q does not mention %q", said, word)
		}
	}
}
