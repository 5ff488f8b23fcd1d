package cuda

import (
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

// SignSGDUnchecked is SignSGD without the host's check of the rows, which do not always come from the host.
func (d *Device) SignSGDUnchecked(table device.Array, rows []int32, gradient []float32) error {
	return d.thread.do(func() error {
		return d.signSGD(table.(*array), rows, gradient, len(gradient)/len(rows), kernel.SignScalars(0.1, 0))
	})
}
