// Package fake builds stand-ins for CUDA's libraries, with which the cuda device runs where there is no GPU: see cxx/fake.cc. It
// is for tests, and needs g++.
package fake

import (
	"crypto/sha256"
	_ "embed" // the C++ source
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ebitengine/purego"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel/emulate"
)

//go:embed cxx/fake.cc
var source string

//go:embed cxx/nccl.cc
var nccl string

// Names are the files that stand in, all of them one.
var Names = []string{"libcuda.so.1", "libnvrtc.so.12", "libcublasLt.so.12", "libnccl.so.2"}

// DevicesVariable is how many GPUs a process has unless SetGPU says otherwise; 1 if it is not set.
const DevicesVariable = "HRM_FAKE_CUDA_DEVICES"

// Build returns the directory of the stand-ins, for HRM_CUDA_LIBRARIES. They are kept in the user's cache under the hash of
// what they were made from, as are the kernels that they compile.
func Build() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("fake CUDA: no place for it: %w: set HOME or XDG_CACHE_HOME", err)
	}
	prelude, err := kernel.Source("prelude.cuh")
	if err != nil {
		return "", fmt.Errorf("fake CUDA: %w", err)
	}
	files := emulate.Sources()
	files["fake.cc"], files["nccl.cc"], files["prelude.real"] = source, nccl, prelude
	h := sha256.New()
	for _, name := range []string{"fake.cc", "nccl.cc", "driver.cc", "emulate.h", "prelude.cuh", "prelude.real"} {
		_, _ = fmt.Fprintf(h, "%s\x00", files[name])
	}
	dir := filepath.Join(cache, "hrm-operator", "fake-cuda", fmt.Sprintf("%x", h.Sum(nil)[:12]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := build(dir, files); err != nil {
		return "", fmt.Errorf("fake CUDA: %w", err)
	}
	return dir, nil
}

// build makes the directory as a whole: another process may make the same at the same time.
func build(dir string, files map[string]string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(dir), "build-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(scratch, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	command := exec.Command(emulate.Compiler, "-std=c++17", "-O2", "-fPIC", "-shared", "-Wall", "-Werror", "-pthread", "-o", Names[0], "fake.cc", "-ldl")
	command.Dir = scratch
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, said)
	}
	for _, name := range Names[1:] {
		if err := os.Symlink(Names[0], filepath.Join(scratch, name)); err != nil {
			return err
		}
	}
	if err := os.Rename(scratch, dir); err != nil {
		if _, there := os.Stat(filepath.Join(dir, Names[0])); there == nil {
			return nil
		}
		return err
	}
	return nil
}

// Control tells the stand-ins of this process what to do, and asks what was done. They are one for the whole process.
type Control struct {
	// Dir is where they lie.
	Dir string

	// Reset forgets what was counted and told; what lives is left alive.
	Reset func()
	// FailAt makes the n-th call from now on fail, counted from Reset; Fail all calls of a name. Failed is the name of the call
	// that failed last.
	FailAt func(n int)
	Fail   func(name string)
	Failed func() string
	// Calls is how many calls there were, Count how many of a name.
	Calls func() int
	Count func(name string) int
	// SetIdle leaves out what kernels and products compute.
	SetIdle func(bool)
	// SetMemory sets the bytes of the GPU's memory, SetGPU what it is: CUDA 12.4 is 12040. SetCapability sets what one of several
	// GPUs has in place of that.
	SetMemory     func(bytes uint64)
	SetGPU        func(devices, major, minor, driver int32)
	SetCapability func(gpu, major, minor int32)
	// SetNCCL sets the version of NCCL: 2.23.4 is 22304. BreakNCCL lets collectives wait for ever from now on, as when a
	// connection has failed, and NCCL tell of it by a code; 0 mends it.
	SetNCCL, BreakNCCL func(int32)

	violations, alive func() string
}

// Open builds and opens the stand-ins.
func Open() (*Control, error) {
	dir, err := Build()
	if err != nil {
		return nil, err
	}
	handle, err := purego.Dlopen(filepath.Join(dir, Names[0]), purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("fake CUDA: %w", err)
	}
	c := &Control{Dir: dir}
	for name, f := range map[string]any{
		"fake_reset": &c.Reset, "fake_fail_at": &c.FailAt, "fake_fail": &c.Fail, "fake_failed": &c.Failed, "fake_calls": &c.Calls,
		"fake_count": &c.Count, "fake_set_idle": &c.SetIdle, "fake_set_memory": &c.SetMemory, "fake_set_gpu": &c.SetGPU,
		"fake_set_capability": &c.SetCapability,
		"fake_set_nccl":       &c.SetNCCL, "fake_break_nccl": &c.BreakNCCL,
		"fake_violations": &c.violations, "fake_alive": &c.alive,
	} {
		purego.RegisterLibFunc(f, handle, name)
	}
	c.Reset()
	return c, nil
}

// Check returns what was done wrong since Reset.
func (c *Control) Check() error {
	if v := c.violations(); v != "" {
		return fmt.Errorf("CUDA was used wrongly:\n%s", v)
	}
	return nil
}

// CheckClosed returns what was done wrong, and what has not been freed.
func (c *Control) CheckClosed() error {
	err := c.Check()
	if alive := c.alive(); alive != "" {
		err = errors.Join(err, fmt.Errorf("not freed: %s", strings.ReplaceAll(strings.TrimSpace(alive), "\n", ", ")))
	}
	return err
}
