// Package fakegpu gives tests GPUs that are none: the cuda device on the stand-ins for CUDA's libraries.
package fakegpu

import (
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/fake"
)

// Install lets the test's process find the stand-ins in the place of CUDA: one GPU, until they are told otherwise.
func Install(t testing.TB) *fake.Control {
	t.Helper()
	c, err := fake.Open()
	if err != nil {
		t.Fatal(err)
	}
	c.Reset()
	t.Cleanup(c.Reset)
	t.Setenv(binding.LibrariesVariable, c.Dir)
	t.Setenv(cuda.CacheVariable, t.TempDir())
	return c
}

// Checked fails the test if, when it ends, GPUs have been used wrongly, or hold what was not freed.
func Checked(t testing.TB, c *fake.Control) {
	t.Helper()
	t.Cleanup(func() {
		if err := c.CheckClosed(); err != nil {
			t.Error(err)
		}
	})
}

// Devices opens n GPUs, and closes them when the test ends, when they must be [Checked].
func Devices(t testing.TB, c *fake.Control, n int) []*cuda.Device {
	t.Helper()
	c.SetGPU(int32(n), 9, 0, 12040)
	Checked(t, c)
	all := make([]*cuda.Device, n)
	for i := range all {
		d, err := cuda.New(cuda.Options{
			Index: i, Search: &binding.Search{Directories: []string{c.Dir}}, Cache: t.TempDir(), Note: func(note string) { t.Log(note) },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		all[i] = d
	}
	return all
}
