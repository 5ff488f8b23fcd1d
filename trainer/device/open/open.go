// Package open chooses the device that a program trains on by its name.
package open

import (
	"errors"
	"fmt"

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

// Check reports a name that is none of one device.
func Check(name string) error {
	_, err := one(name)
	return err
}

func one(name string) (chosen, error) {
	c, err := parse(name)
	if err == nil && (c.count > 1 || len(c.gpus) > 1) {
		err = fmt.Errorf("device %q is several, and one is wanted here: want %s", name, Names)
	}
	return c, err
}

// Open returns the device called name:
//
//	reference: plain Go, slow.
//	cpu: oneDNN and C kernels, an error if this program was built without them.
//	cuda: the first GPU that can be used, an error if there is none.
//	cuda:N: a GPU, an error if it cannot be used.
//	auto (or empty): the first GPU that can be used, else cpu, or reference if this program was built without it.
//
// note is a sentence for the user, said once: which device it is, and why not a faster one. The error is a
// [device.UnusableError] if another try on this machine would end the same way.
func Open(name string, o Options) (d device.Device, note string, err error) {
	c, err := one(name)
	if err != nil {
		return nil, "", err
	}
	switch c.kind {
	case "cuda":
		if len(c.gpus) == 0 {
			return openCUDA(firstGPU(), o)
		}
		return openCUDA(c.gpus[0], o)
	case "reference":
		return reference.New(), "the reference device is plain Go: right, but slow", nil
	case "cpu":
		return openProcessor(o)
	}
	return best(o)
}

func openProcessor(o Options) (device.Device, string, error) {
	d, note, err := openCPU(cpu.Options{Threads: o.Threads})
	if err != nil {
		return nil, "", &device.UnusableError{Device: "cpu", NotVisible: cpu.Available() != nil, Err: err}
	}
	return d, note, nil
}

// firstGPU is the first GPU that can be used; of none the first, whose error then says why.
func firstGPU() int {
	usable, _ := gpus()
	return append(usable, cuda.Info{})[0].Index
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
	} else if d, note, err = openProcessor(o); err != nil {
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
