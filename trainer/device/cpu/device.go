//go:build onednn && cgo && linux

package cpu

// #cgo CFLAGS: -O3 -Wall -Wno-psabi
// #cgo LDFLAGS: -ldnnl -lgomp -lm
// #include <stdlib.h>
// #include "kernels.h"
// #include "products.h"
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Device runs programs on the processor.
type Device struct {
	options Options
	kernels *C.hrm_kernels
	memory  *memory
	workers *workers
	closed  bool

	// profile is nil while nobody asks where the time goes.
	profile *device.Profile

	adam     adamUpdate
	adamTask func(worker int)
}

var _ device.Device = (*Device)(nil)

// New returns the device, with its threads started.
func New(o Options) (*Device, error) {
	if o.Threads < 0 || o.SliceRows < 0 {
		return nil, fmt.Errorf("cpu device: %d threads, %d rows in a slice: neither can be negative", o.Threads, o.SliceRows)
	}
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	isa := os.Getenv("HRM_CPU_ISA")
	name := C.CString(isa)
	defer C.free(unsafe.Pointer(name))
	k := C.hrm_select(name)
	if k == nil {
		return nil, fmt.Errorf("cpu device: HRM_CPU_ISA=%s: this processor or build has no such instruction set; want portable, avx2, avx512, avx512bf16, or leave it unset", isa)
	}
	d := &Device{options: o, kernels: k, memory: &memory{blocks: map[*block]struct{}{}}, workers: newWorkers(o.Threads)}
	d.adamTask = d.adamShare
	return d, nil
}

// Name returns "cpu".
func (*Device) Name() string { return "cpu" }

// String says what the device computes with.
func (d *Device) String() string {
	return fmt.Sprintf("cpu (%s kernels, %s, %d threads)", C.GoString(d.kernels.name), C.GoString(C.hrm_products_version()), d.options.Threads)
}

// Supports says no to bfloat16 where oneDNN has no such products.
func (*Device) Supports(t device.DType) bool {
	if t != device.BFloat16 {
		return true
	}
	var status C.int
	p := C.hrm_product_new(C.HRM_FORWARD, 16, 16, 16, 1, 0, 1, &status)
	if p == nil {
		return false
	}
	C.hrm_product_free(p)
	return true
}

// NewArray allocates n zeroed elements.
func (d *Device) NewArray(t device.DType, n int) (device.Array, error) {
	if n < 0 {
		return nil, fmt.Errorf("allocate %d elements of %v: the number is negative", n, t)
	}
	return d.memory.newArray(t, n), nil
}

// StartProfile begins to measure what the threads do.
func (d *Device) StartProfile() { d.profile = &device.Profile{} }

// StopProfile ends that and returns the times: of instructions the processor time of all threads, divided by their number, of
// what is done between programs that by the clock.
func (d *Device) StopProfile() ([]device.Measurement, error) {
	p := d.profile
	d.profile = nil
	return p.Measurements(), nil
}

// MemoryBytes is what the arrays take: parameters, gradients, optimizer state, the carry. It may be called from any
// goroutine.
func (d *Device) MemoryBytes() int64 { return d.memory.used() }

// Close stops the threads and frees all arrays.
func (d *Device) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	d.workers.close()
	d.memory.close()
	return nil
}
