package cuda_test

import (
	"os"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
)

// onGPU, in the environment, lets the tests that compare with other devices run on the machine's own GPU in place of the fake
// one, at sizes that only a GPU can compute. hack/gpu/check sets it.
const onGPU = "HRM_TEST_GPU"

func hasGPU() bool { return os.Getenv(onGPU) != "" }

// anyGPU opens a device on the machine's GPU if it is to be tested, else on the fake one.
func anyGPU(t *testing.T) *cuda.Device {
	t.Helper()
	if !hasGPU() {
		c := gpu(t)
		return open(t, c, options(t, c))
	}
	d, err := cuda.New(cuda.Options{Note: func(note string) { t.Log(note) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(d)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}
