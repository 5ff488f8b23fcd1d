package loop

import (
	"fmt"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Precision is what a device computes a job's activations in: what the job wants or, where the device has no bfloat16,
// the finer Float32.
func Precision(d device.Device, wanted v1alpha1.Precision) v1alpha1.Precision {
	if wanted == v1alpha1.PrecisionBFloat16 && !d.Supports(device.BFloat16) {
		return v1alpha1.PrecisionFloat32
	}
	return wanted
}

// PrecisionNote says for people why a device computes in another precision than the job wants.
func PrecisionNote(d device.Device) string {
	return fmt.Sprintf("device %s has no bfloat16 here: computing in Float32, which is slower and no less exact", d.Name())
}

// groupPrecision is the precision that all ranks can compute in. They exchange activations through checkpoints, and their
// gradients are to differ by the order of sums only.
func groupPrecision(g collective.Group, d device.Device, wanted v1alpha1.Precision) (v1alpha1.Precision, error) {
	all, err := g.AllGather(g.Context(), []byte{flag(Precision(d, wanted) == wanted)})
	if err != nil {
		return "", fmt.Errorf("agree on a precision: %w", err)
	}
	for _, able := range all {
		if able[0] == 0 {
			return v1alpha1.PrecisionFloat32, nil
		}
	}
	return wanted, nil
}
