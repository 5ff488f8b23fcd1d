package cuda

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

type array struct {
	device *Device
	*holding
	dtype device.DType
	n     int
	// version counts the changes; the copy was made at copied.
	version, copied uint64
	// round makes the copy; nil before there is one.
	round *launch
}

// holding is the memory of an array. It is freed when the array has been collected.
type holding struct {
	data *block
	// copy has the numbers in bfloat16, as products read them; nil if none does.
	copy *block
}

// NewArray allocates n zeroed elements.
func (d *Device) NewArray(t device.DType, n int) (device.Array, error) {
	if n < 0 {
		return nil, fmt.Errorf("allocate %d elements of %v: the number is negative", n, t)
	}
	a := &array{device: d, holding: &holding{}, dtype: t, n: n, version: 1}
	err := d.thread.do(func() (err error) {
		if a.data, err = d.memory.allocate(n * t.Size()); err != nil {
			return err
		}
		return d.driver.MemsetD8Async(a.data.at, 0, a.data.bytes, d.stream)
	})
	if err != nil {
		return nil, fmt.Errorf("allocate %d elements of %v: %w", n, t, err)
	}
	runtime.AddCleanup(a, d.memory.releaseHolding, a.holding)
	return a, nil
}

func (m *memory) releaseHolding(h *holding) {
	m.release(h.data, h.copy)
}

func (a *array) DType() device.DType { return a.dtype }
func (a *array) Len() int            { return a.n }

// at is the address of an element.
func (a *array) at(element int) binding.Pointer {
	return a.data.at + binding.Pointer(element*a.dtype.Size())
}

func (a *array) Read(offset int, dst []byte) error {
	if err := a.inside("read", offset, len(dst)); err != nil {
		return err
	}
	defer runtime.KeepAlive(a)
	d := a.device
	err := d.thread.do(func() error {
		if err := d.download(dst, a.at(offset)); err != nil || !d.unread {
			return err
		}
		return d.takeFault()
	})
	if err != nil {
		return fmt.Errorf("read %d elements from the GPU: %w", len(dst)/a.dtype.Size(), err)
	}
	return nil
}

func (a *array) Write(offset int, src []byte) error {
	if err := a.inside("write", offset, len(src)); err != nil {
		return err
	}
	a.version++
	if err := a.device.thread.do(func() error { return a.device.upload(a.at(offset), src) }); err != nil {
		return fmt.Errorf("write %d elements to the GPU: %w", len(src)/a.dtype.Size(), err)
	}
	return nil
}

func (a *array) inside(what string, offset, bytes int) error {
	size := a.dtype.Size()
	if bytes%size != 0 {
		return fmt.Errorf("%s of %d bytes: elements of %v have %d", what, bytes, a.dtype, size)
	}
	if offset < 0 || offset > a.n-bytes/size {
		return fmt.Errorf("%s of elements %d to %d: the array has %d", what, offset, offset+bytes/size, a.n)
	}
	return nil
}

// owned returns an array of this device.
func (d *Device) owned(x device.Array) (*array, bool) {
	a, ok := x.(*array)
	return a, ok && a.device == d
}

// prepareCopy makes sure that there is memory for a bfloat16 copy, on the thread.
func (a *array) prepareCopy() error {
	if a.copy != nil {
		return nil
	}
	d := a.device
	work, err := kernel.Round(0, 1, a.n)
	if err != nil {
		return err
	}
	if a.copy, err = d.memory.allocate(a.n * device.BFloat16.Size()); err != nil {
		return err
	}
	buffers := []binding.Pointer{a.data.at, a.copy.at}
	a.round, err = d.prepare(&work.Launches[0], places{buffer: func(i int) binding.Pointer { return buffers[i] }})
	if err != nil {
		err = errors.Join(err, d.memory.free(a.copy))
		a.copy = nil
		return err
	}
	a.round.part = part{operation: "RoundWeights", cost: device.Cost{Bytes: float64(a.n * (a.dtype.Size() + device.BFloat16.Size()))}}
	return nil
}

// refreshCopy makes the copy anew if the array has changed since, on the thread.
func (a *array) refreshCopy() error {
	if a.copied == a.version {
		return nil
	}
	if err := a.device.run(a.round); err != nil {
		return err
	}
	a.copied = a.version
	return nil
}
