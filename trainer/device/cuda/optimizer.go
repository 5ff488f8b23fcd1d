package cuda

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

const (
	adamScalarBytes = kernel.AdamScalarBytes
	signScalarBytes = 16
)

// optimizer is the memory of the optimizers' kernels: the scalars of both, of which adamNow and signNow are the contents,
// and the rows and gradients of SignSGD; update is AdamATan2 of the list that was updated last.
type optimizer struct {
	adam, sign       *block
	adamNow, signNow []byte
	ids, gradients   *block
	update           *denseUpdate
}

// denseUpdate is one launch of AdamATan2 over a list of parameters.
type denseUpdate struct {
	list []dense
	// copies are the bfloat16 copies that it writes, nil for parameters that have none.
	copies []*block
	launch *launch
	tables []*block
}

// dense is a parameter with its gradient and its moments; average may be nil.
type dense struct{ value, gradient, m, v, average *array }

// AdamATan2 updates all parameters by one launch, and the bfloat16 copies that products read.
func (d *Device) AdamATan2(parameters []device.Dense, h device.AdamATan2Step) error {
	scalars, err := kernel.AdamScalars(h)
	if err != nil {
		return err
	}
	list, err := d.dense(parameters)
	if err != nil || len(list) == 0 {
		return err
	}
	err = d.thread.do(func() error {
		o := &d.optimizer
		if err := d.setScalars(o.adam, &o.adamNow, scalars); err != nil {
			return err
		}
		if !o.update.is(list) {
			old := o.update
			o.update = nil
			update, err := d.newDenseUpdate(list, o.adam.at, d.one.at)
			if err = errors.Join(err, old.free(d)); err != nil {
				return err
			}
			o.update = update
		}
		return d.run(o.update.launch)
	})
	if err != nil {
		return fmt.Errorf("adam-atan2: %w", err)
	}
	d.optimizer.update.done()
	return nil
}

// dense returns the arrays of parameters, but for empty ones.
func (d *Device) dense(parameters []device.Dense) ([]dense, error) {
	list := make([]dense, 0, len(parameters))
	for n, p := range parameters {
		var all [5]*array
		for i, x := range [5]device.Array{p.Value, p.Gradient, p.M, p.V, p.Average} {
			if i == 4 && x == nil {
				continue
			}
			a, ok := d.owned(x)
			if !ok || a.dtype != device.Float32 || a.n < p.Value.Len() {
				return nil, fmt.Errorf("adam-atan2: parameter %d: array %d of value, gradient, m, v, average: want %d elements of F32 on this device", n, i, p.Value.Len())
			}
			all[i] = a
		}
		if p.Value.Len() > 0 {
			list = append(list, dense{all[0], all[1], all[2], all[3], all[4]})
		}
	}
	return list, nil
}

// newDenseUpdate prepares an update with scalars as kernel.AdamScalars has them that does nothing while finite is 0, on the
// thread.
func (d *Device) newDenseUpdate(list []dense, scalars, finite binding.Pointer) (*denseUpdate, error) {
	u := &denseUpdate{list: list}
	buffers := []binding.Pointer{scalars, finite}
	tensors := make([]kernel.Tensor, len(list))
	for i, p := range list {
		at := len(buffers)
		tensors[i] = kernel.Tensor{P: at, G: at + 1, M: at + 2, V: at + 3, Copy: -1, Average: -1, N: p.value.n}
		buffers = append(buffers, p.value.data.at, p.gradient.data.at, p.m.data.at, p.v.data.at)
		u.copies = append(u.copies, p.value.copy)
		if p.value.copy != nil {
			tensors[i].Copy = len(buffers)
			buffers = append(buffers, p.value.copy.at)
		}
		if p.average != nil {
			tensors[i].Average = len(buffers)
			buffers = append(buffers, p.average.data.at)
		}
	}
	work, err := kernel.AdamATan2("", tensors, 0, 1)
	if err != nil {
		return nil, err
	}
	where := places{buffer: func(i int) binding.Pointer { return buffers[i] }}
	where.table = func(t *kernel.Table) (binding.Pointer, error) {
		raw := bytes.Clone(t.Bytes)
		for _, place := range t.Pointers {
			putPointer(raw[place.At:], where.buffer(place.Buffer))
		}
		b, err := d.memory.upload(raw)
		if err != nil {
			return 0, err
		}
		u.tables = append(u.tables, b)
		return b.at, nil
	}
	if u.launch, err = d.prepare(&work.Launches[0], where); err != nil {
		return nil, errors.Join(err, u.free(d))
	}
	u.launch.part = part{operation: device.AdamATan2Operation, cost: u.cost()}
	return u, nil
}

// cost is what the launch takes at least.
func (u *denseUpdate) cost() (c device.Cost) {
	for i, p := range u.list {
		c.Add(device.AdamATan2Cost(p.value.n))
		if u.copies[i] != nil {
			c.Bytes += float64(u.copies[i].bytes)
		}
	}
	return c
}

// is says whether the launch is of this list, and writes the copies that there are now.
func (u *denseUpdate) is(list []dense) bool {
	return u != nil && slices.Equal(u.list, list) &&
		slices.EqualFunc(u.list, u.copies, func(p dense, written *block) bool { return p.value.copy == written })
}

// done notes that the launch has changed arrays.
func (u *denseUpdate) done() {
	for _, p := range u.list {
		for _, a := range [...]*array{p.value, p.m, p.v, p.average} {
			if a != nil {
				a.version++
			}
		}
		if p.value.copy != nil {
			p.value.copied = p.value.version
		}
	}
}

// free frees the launch's tables, on the thread; nil has none.
func (u *denseUpdate) free(d *Device) error {
	if u == nil {
		return nil
	}
	var all []error
	for _, t := range u.tables {
		all = append(all, d.memory.free(t))
	}
	return errors.Join(all...)
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
	l.part = part{operation: device.SignSGDOperation, cost: device.SignSGDCost(len(gradient))}
	d.unread = true
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
