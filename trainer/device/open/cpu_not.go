//go:build !(onednn && cgo && linux)

package open

import (
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cpu"
)

func openCPU(cpu.Options) (device.Device, string, error) { return nil, "", cpu.Available() }
