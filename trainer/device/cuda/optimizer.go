package cuda

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

const (
	adamScalarBytes = 28
	signScalarBytes = 16
)

// optimizer is the memory of the optimizers' kernels: the scalars of both, of which adamNow and signNow are the contents,
// and the rows and gradients of SignSGD.
type optimizer struct {
	adam, sign       *block
	adamNow, signNow []byte
	ids, gradients   *block
}

// adam is the launch that updates an array, and what it was made for.
type adam struct {
	gradient, m, v *array
	copy           *block
	launch         *launch
}

// AdamATan2 updates p in place, and the bfloat16 copy that products read.
func (d *Device) AdamATan2(p, gradient, m, v device.Array, h device.AdamATan2Step) error {
	scalars, err := kernel.AdamScalars(h)
	if err != nil {
		return err
	}
	var all [4]*array
	for i, x := range [4]device.Array{p, gradient, m, v} {
		a, ok := d.owned(x)
		if !ok || a.dtype != device.Float32 || a.n < p.Len() {
			return fmt.Errorf("adam-atan2: array %d of p, gradient, m, v: want %d elements of F32 on this device", i, p.Len())
		}
		all[i] = a
	}
	if p.Len() == 0 {
		return nil
	}
	err = d.thread.do(func() error {
		if err := d.setScalars(d.optimizer.adam, &d.optimizer.adamNow, scalars); err != nil {
			return err
		}
		if err := all[0].prepareAdam(all[1], all[2], all[3]); err != nil {
			return err
		}
		return d.run(all[0].adam.launch)
	})
	if err != nil {
		return fmt.Errorf("adam-atan2: %w", err)
	}
	for _, i := range [...]int{0, 2, 3} {
		all[i].version++
	}
	if all[0].copy != nil {
		all[0].copied = all[0].version
	}
	return nil
}

// setScalars uploads scalars unless they are there already, on the thread.
func (d *Device) setScalars(to *block, now *[]byte, scalars []byte) error {
	if bytes.Equal(*now, scalars) {
		return nil
	}
	*now = nil
	if err := d.upload(to.at, scalars); err != nil {
		return err
	}
	*now = scalars
	return nil
}

// prepareAdam makes the launch that updates the array, unless it is there, on the thread.
func (a *array) prepareAdam(gradient, m, v *array) error {
	if now := a.adam; now != nil && now.gradient == gradient && now.m == m && now.v == v && now.copy == a.copy {
		return nil
	}
	d := a.device
	// The buffers: p, g, m, v, the scalars, whether to update, and the copy.
	buffers := []binding.Pointer{a.data.at, gradient.data.at, m.data.at, v.data.at, d.optimizer.adam.at, d.one.at}
	tensor := kernel.Tensor{P: 0, G: 1, M: 2, V: 3, Copy: -1, N: a.n}
	if a.copy != nil {
		tensor.Copy = len(buffers)
		buffers = append(buffers, a.copy.at)
	}
	work, err := kernel.AdamATan2("", []kernel.Tensor{tensor}, 4, 5)
	if err != nil {
		return err
	}
	var all []error
	for _, t := range a.tables {
		all = append(all, d.memory.free(t))
	}
	a.adam, a.tables = nil, nil
	if err := errors.Join(all...); err != nil {
		return err
	}
	p := places{buffer: func(i int) binding.Pointer { return buffers[i] }}
	p.table = func(t *kernel.Table) (binding.Pointer, error) {
		raw := bytes.Clone(t.Bytes)
		for _, place := range t.Pointers {
			putPointer(raw[place.At:], p.buffer(place.Buffer))
		}
		b, err := d.memory.upload(raw)
		if err != nil {
			return 0, err
		}
		a.tables = append(a.tables, b)
		return b.at, nil
	}
	l, err := d.prepare(&work.Launches[0], p)
	if err != nil {
		return err
	}
	a.adam = &adam{gradient, m, v, a.copy, l}
	return nil
}

// SignSGD updates the given rows of the table.
func (d *Device) SignSGD(table device.Array, rows []int32, gradient []float32, learningRate, weightDecay float64) error {
	if len(rows) == 0 {
		return nil
	}
	a, ok := d.owned(table)
	if !ok || a.dtype != device.Float32 {
		return fmt.Errorf("sign-sgd: the table must be an F32 array of this device")
	}
	dim := len(gradient) / len(rows)
	if dim*len(rows) != len(gradient) {
		return fmt.Errorf("sign-sgd: %d gradient elements do not divide among %d rows", len(gradient), len(rows))
	}
	if dim == 0 {
		return nil
	}
	for _, row := range rows {
		if err := a.inside("update", int(row)*dim, 4*dim); err != nil {
			return fmt.Errorf("sign-sgd: row %d: %w", row, err)
		}
	}
	defer runtime.KeepAlive(a)
	if err := d.thread.do(func() error { return d.signSGD(a, rows, gradient, dim, kernel.SignScalars(learningRate, weightDecay)) }); err != nil {
		return fmt.Errorf("sign-sgd: %w", err)
	}
	a.version++
	return nil
}

func (d *Device) signSGD(table *array, rows []int32, gradient []float32, dim int, scalars []byte) error {
	o := &d.optimizer
	if err := d.setScalars(o.sign, &o.signNow, scalars); err != nil {
		return err
	}
	for _, in := range []struct {
		to  **block
		raw []byte
	}{{&o.ids, device.Bytes(rows)}, {&o.gradients, device.Bytes(gradient)}} {
		if err := d.grow(in.to, len(in.raw)); err != nil {
			return err
		}
		if err := d.upload((*in.to).at, in.raw); err != nil {
			return err
		}
	}
	buffers := []binding.Pointer{table.data.at, o.ids.at, o.gradients.at, o.sign.at, d.one.at}
	work, err := kernel.SignSGD(kernel.SignBuffers{Table: 0, IDs: 1, Gradients: 2, Scalars: 3, Finite: 4}, len(rows), dim, table.n/dim)
	if err != nil {
		return err
	}
	l, err := d.prepare(&work.Launches[0], places{buffer: func(i int) binding.Pointer { return buffers[i] }})
	if err != nil {
		return err
	}
	return d.run(l)
}

// grow makes a block hold at least so many bytes. What it held is lost.
func (d *Device) grow(b **block, bytes int) error {
	if *b != nil && (*b).bytes >= bytes {
		return nil
	}
	old := *b
	*b = nil
	if err := d.memory.free(old); err != nil {
		return err
	}
	grown, err := d.memory.allocate(bytes)
	*b = grown
	return err
}

// putPointer writes an address as the GPU reads it.
func putPointer(to []byte, p binding.Pointer) {
	for i := range 8 {
		to[i] = byte(p >> (8 * i))
	}
}
