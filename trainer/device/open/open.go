// Package open chooses the device that a program trains on by its name.
package open

import (
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cpu"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

// Open returns the device called name:
//
//	reference: plain Go, slow.
//	cpu: oneDNN and C kernels, an error if this program was built without them.
//	auto (or empty): cpu, or reference if this program was built without it.
//
// note is a sentence for the user, said once: which device it is, and why not the fast one.
func Open(name string, o cpu.Options) (d device.Device, note string, err error) {
	switch name {
	case "reference":
		return reference.New(), "the reference device is plain Go: right, but slow", nil
	case "cpu":
		return openCPU(o)
	case "", "auto":
		if missing := cpu.Available(); missing != nil {
			return reference.New(), fmt.Sprintf("training on the slow reference device: %v", missing), nil
		}
		return openCPU(o)
	}
	return nil, "", fmt.Errorf("device %q: want auto, cpu or reference", name)
}
