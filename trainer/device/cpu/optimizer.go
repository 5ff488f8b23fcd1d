//go:build onednn && cgo && linux

package cpu

// #include "kernels.h"
// static void call_adam(const hrm_kernels *k, long first, long n, float *p, const float *g, float *m, float *v, float *average, hrm_adam_step h) {
// 	k->adam(n, p + first, g + first, m + first, v + first, average ? average + first : 0, &h);
// }
// static void call_sign_sgd(const hrm_kernels *k, long n, float *w, const float *g, float keep, float rate) {
// 	k->sign_sgd(n, w, g, keep, rate);
// }
import "C"

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// adamShared is the least number of elements for which waking another thread pays.
const adamShared = 1 << 14

// adamUpdate is an update under way.
type adamUpdate struct {
	p, gradient, m, v *array
	average           *array // nil if there is none
	step              C.hrm_adam_step
}

func (u *adamUpdate) run(k *C.hrm_kernels, first, end int) {
	var average *C.float
	if u.average != nil {
		average = u.average.floats()
	}
	C.call_adam(k, C.long(first), C.long(end-first), u.p.floats(), u.gradient.floats(), u.m.floats(), u.v.floats(), average, u.step)
}

// AdamATan2 updates parameter after parameter, the elements of each shared out over the threads.
func (d *Device) AdamATan2(parameters []device.Dense, h device.AdamATan2Step) error {
	if h.Step < 1 {
		return fmt.Errorf("adam-atan2: step %d, but steps count from 1", h.Step)
	}
	for i := range parameters {
		if err := d.adamATan2(&parameters[i], h); err != nil {
			return err
		}
	}
	return nil
}

func (d *Device) adamATan2(p *device.Dense, h device.AdamATan2Step) error {
	var all [5]*array
	for i, x := range [5]device.Array{p.Value, p.Gradient, p.M, p.V, p.Average} {
		if i == 4 && x == nil {
			continue
		}
		a, ok := x.(*array)
		if !ok || a.dtype != device.Float32 || a.n < p.Value.Len() {
			return fmt.Errorf("adam-atan2: array %d of value, gradient, m, v, average: want %d elements of F32 on this device", i, p.Value.Len())
		}
		all[i] = a
	}
	d.adam = adamUpdate{p: all[0], gradient: all[1], m: all[2], v: all[3], average: all[4], step: C.hrm_adam_step{
		decay:       C.float(1 - h.LearningRate*h.WeightDecay),
		rate:        C.float(h.LearningRate / (1 - math.Pow(h.Beta1, float64(h.Step)))),
		beta1:       C.float(h.Beta1),
		beta2:       C.float(h.Beta2),
		denominator: C.float(1 / math.Sqrt(1-math.Pow(h.Beta2, float64(h.Step)))),
		ema:         C.float(h.EMADecay),
	}}
	d.profile.Time(device.AdamATan2Operation, "", device.AdamATan2Cost(all[0].n), d.updateAdam)
	d.adam = adamUpdate{}
	for _, i := range [...]int{0, 2, 3, 4} {
		if all[i] != nil {
			all[i].version++
		}
	}
	return nil
}

// updateAdam makes the update under way.
func (d *Device) updateAdam() {
	if n := d.adam.p.n; n < adamShared {
		d.adam.run(d.kernels, 0, n)
	} else {
		d.workers.do(d.adamTask)
	}
}

// adamShare is a worker's part of an update.
func (d *Device) adamShare(w int) {
	first, end := share(d.adam.p.n, w, d.options.Threads)
	d.adam.run(d.kernels, first, end)
}

// SignSGD updates the given rows of the table.
func (d *Device) SignSGD(table device.Array, rows []int32, gradient []float32, learningRate, weightDecay float64) error {
	if len(rows) == 0 {
		return nil
	}
	a, ok := table.(*array)
	if !ok || a.dtype != device.Float32 {
		return fmt.Errorf("sign-sgd: the table must be an F32 array of this device")
	}
	dim := len(gradient) / len(rows)
	if dim*len(rows) != len(gradient) {
		return fmt.Errorf("sign-sgd: %d gradient elements do not divide among %d rows", len(gradient), len(rows))
	}
	for _, row := range rows {
		if err := a.inside("update", int(row)*dim, 4*dim); err != nil {
			return fmt.Errorf("sign-sgd: row %d: %w", row, err)
		}
	}
	d.profile.Time(device.SignSGDOperation, "", device.SignSGDCost(len(gradient)), func() {
		for i, row := range rows {
			w := unsafe.Add(a.data, 4*int(row)*dim)
			C.call_sign_sgd(d.kernels, C.long(dim), (*C.float)(w), (*C.float)(&gradient[i*dim]), C.float(1-learningRate*weightDecay), C.float(learningRate))
		}
	})
	a.version++
	return nil
}
