// Package open chooses the device that a program trains on by its name.
package open

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cpu"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

// Options configures whichever device it is.
type Options struct {
	// Threads is the number of threads of the cpu device; 0 takes as many as the process may use.
	Threads int
	// Note receives what the device has to say later. It may be nil.
	Note func(string)
}

// Names lists what [Check] takes.
const Names = "auto, cuda, cuda:N, cpu or reference"

// Check reports a name that is none of a device.
func Check(name string) error {
	switch name {
	case "", "auto", "cpu", "reference":
		return nil
	}
	if _, ok := gpuIndex(name); ok {
		return nil
	}
	return fmt.Errorf("device %q: want %s", name, Names)
}

// gpuIndex is the N of cuda:N, 0 of cuda.
func gpuIndex(name string) (int, bool) {
	if name == "cuda" {
		return 0, true
	}
	n, ok := strings.CutPrefix(name, "cuda:")
	index, err := strconv.Atoi(n)
	return index, ok && err == nil && index >= 0
}

// Open returns the device called name:
//
//	reference: plain Go, slow.
//	cpu: oneDNN and C kernels, an error if this program was built without them.
//	cuda, cuda:N: a GPU, an error if it cannot be used.
//	auto (or empty): the first GPU that can be used, else cpu, or reference if this program was built without it.
//
// note is a sentence for the user, said once: which device it is, and why not a faster one.
func Open(name string, o Options) (d device.Device, note string, err error) {
	if err := Check(name); err != nil {
		return nil, "", err
	}
	if index, ok := gpuIndex(name); ok {
		return openCUDA(index, o)
	}
	switch name {
	case "reference":
		return reference.New(), "the reference device is plain Go: right, but slow", nil
	case "cpu":
		return openCPU(o.cpu())
	}
	return best(o)
}

func (o Options) cpu() cpu.Options { return cpu.Options{Threads: o.Threads} }

// firstGPU is the first GPU that can be used; of none the first, whose error then says why.
func firstGPU() int {
	infos, err := cuda.List(binding.SystemSearch())
	if err != nil {
		return 0
	}
	return max(0, slices.IndexFunc(infos, func(g cuda.Info) bool { return g.Unusable == "" }))
}

// best opens the fastest device that there is.
func best(o Options) (device.Device, string, error) {
	gpu, note, gpuErr := openCUDA(firstGPU(), o)
	if gpuErr == nil {
		return gpu, note, nil
	}
	var d device.Device
	var err error
	if missing := cpu.Available(); missing != nil {
		d, note = reference.New(), fmt.Sprintf("training on the slow reference device: %v", missing)
	} else if d, note, err = openCPU(o.cpu()); err != nil {
		return nil, "", errors.Join(err, gpuErr)
	}
	if !binding.NoGPU(gpuErr) {
		note += fmt.Sprintf("; the GPU is not used: %v", gpuErr)
	}
	return d, note, nil
}

func openCUDA(index int, o Options) (device.Device, string, error) {
	d, err := cuda.New(cuda.Options{Index: index, Note: o.Note})
	if err != nil {
		return nil, "", err
	}
	return d, d.String(), nil
}
