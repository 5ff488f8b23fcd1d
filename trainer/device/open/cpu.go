//go:build onednn && cgo && linux

package open

import (
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cpu"
)

func openCPU(o cpu.Options) (device.Device, string, error) {
	d, err := cpu.New(o)
	if err != nil {
		return nil, "", err
	}
	return d, d.String(), nil
}
