package cuda

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

const (
	// workspaceBytes is the memory that cuBLASLt may use besides a product's matrices: what NVIDIA advises for Hopper.
	workspaceBytes = 32 << 20
	// stagingBytes is the host memory through which arrays are read and written.
	stagingBytes = 8 << 20
	// alignment is what addresses of values are multiples of: offsets in the arena are.
	alignment = 64
)

// Options configures the device.
type Options struct {
	// Index is the GPU's place among those that the driver shows.
	Index int
	// Cache is the directory of compiled kernels; empty means that of HRM_CUDA_CACHE, or else one in the user's cache.
	Cache string
	// Search is where libraries are looked for; nil means everywhere.
	Search *binding.Search
	// Note receives sentences for the user about what goes less well than it could. It may be nil.
	Note func(string)
}

func (o *Options) search() binding.Search {
	if o.Search != nil {
		return *o.Search
	}
	return binding.SystemSearch()
}

func (o *Options) note(format string, args ...any) {
	if o.Note != nil {
		o.Note(fmt.Sprintf(format, args...))
	}
}

// Device runs programs on a GPU.
type Device struct {
	options  Options
	info     Info
	driver   *binding.Driver
	blas     *binding.BLAS
	compiler *compiler
	thread   *thread
	memory   *memory
	// closers undo what New and later calls did, the last first.
	closers []func() error

	context    binding.Context
	stream     binding.Stream
	blasHandle binding.BLASHandle
	workspace  *block
	// fault is the word in which kernels report bad input; one is an int32 1, the optimizers' "all losses are finite".
	fault, one *block
	// unread says that something was launched that may report bad input, and that nobody has looked since.
	unread    bool
	optimizer optimizer
	// profiler is nil while nobody asks where the time goes.
	profiler *profiler

	staging     unsafe.Pointer
	stagingUsed int

	// work holds the arena, the shadow and the scratch memory of the program that runs; generation counts its places.
	work       *block
	generation int

	modules   map[string]binding.Module
	functions map[string]*function
	tables    map[string]*block
	products  map[binding.Shape]*binding.Product
	// executables and steppers are those that are not closed.
	executables map[*executable]struct{}
	steppers    map[*stepper]struct{}

	// linking is held while nccl is opened and links change. nccl is nil until it is first asked for; links are those that
	// were made.
	linking sync.Mutex
	nccl    *binding.NCCL
	links   map[*link]struct{}
}

var _ device.Device = (*Device)(nil)

// New opens a GPU. The error is a [device.UnusableError] if another try would end the same way.
func New(o Options) (*Device, error) {
	info, l, err := look(o)
	if err != nil {
		return nil, fmt.Errorf("cuda device: %w", unusable(err))
	}
	d := &Device{
		options: o, info: info, driver: l.driver, blas: l.blas, thread: newThread(),
		modules: map[string]binding.Module{}, functions: map[string]*function{}, tables: map[string]*block{}, products: map[binding.Shape]*binding.Product{}, executables: map[*executable]struct{}{}, steppers: map[*stepper]struct{}{},
		links: map[*link]struct{}{},
	}
	d.compiler = newCompiler(l.nvrtc, info, &d.options)
	d.memory = newMemory(d)
	if err := d.thread.do(func() error { return d.start(info.device) }); err != nil {
		return nil, fmt.Errorf("cuda device %d (%s): %w", o.Index, info.Name, errors.Join(err, d.Close()))
	}
	return d, nil
}

// closes keeps what undoes a step that has succeeded.
func (d *Device) closes(f func() error) { d.closers = append(d.closers, f) }

// start makes what every program needs, on the thread.
func (d *Device) start(gpu binding.Device) (err error) {
	if d.context, err = d.driver.PrimaryCtxRetain(gpu); err != nil {
		return err
	}
	d.closes(func() error { return d.driver.PrimaryCtxRelease(gpu) })
	if err := d.driver.CtxSetCurrent(d.context); err != nil {
		return err
	}
	if d.stream, err = d.driver.StreamCreate(); err != nil {
		return err
	}
	d.closes(func() error { return d.driver.StreamDestroy(d.stream) })
	if d.staging, err = d.driver.MemAllocHost(stagingBytes); err != nil {
		return fmt.Errorf("%d MiB of pinned host memory: %w", stagingBytes>>20, err)
	}
	d.closes(func() error { return d.driver.MemFreeHost(d.staging) })
	if d.blasHandle, err = d.blas.Create(); err != nil {
		return err
	}
	d.closes(func() error { return d.blas.Destroy(d.blasHandle) })
	d.closes(d.memory.close)
	for _, b := range []struct {
		to    **block
		bytes int
	}{{&d.workspace, workspaceBytes}, {&d.fault, 4}, {&d.one, 4}, {&d.optimizer.adam, adamScalarBytes}, {&d.optimizer.sign, signScalarBytes}} {
		if *b.to, err = d.memory.allocate(b.bytes); err != nil {
			return err
		}
	}
	return errors.Join(d.upload(d.one.at, []byte{1, 0, 0, 0}), d.clearFault())
}

const deviceName = "cuda"

// Name returns "cuda".
func (*Device) Name() string { return deviceName }

// String says which GPU it is, and with which libraries.
func (d *Device) String() string {
	return fmt.Sprintf("cuda:%d (%s, %s, compute capability %s, driver for CUDA %s, NVRTC %s, cuBLASLt %s)",
		d.info.Index, d.info.Name, gibibytes(d.info.MemoryBytes), d.info.Capability, d.info.Driver, d.info.NVRTC, d.info.CuBLASLt)
}

// Supports says yes to all types.
func (*Device) Supports(device.DType) bool { return true }

// MemoryBytes is what the device has allocated: arrays, programs and what they work with. It may be called from any
// goroutine.
func (d *Device) MemoryBytes() int64 { return d.memory.used() }

// Close frees everything.
func (d *Device) Close() error {
	return d.thread.end(d.stop)
}

// stop undoes all, on the thread. What cannot be undone does not keep the rest from it.
func (d *Device) stop() error {
	all := []error{d.profiler.free()}
	for s := range d.steppers {
		all = append(all, s.free())
	}
	for x := range d.executables {
		all = append(all, x.free())
	}
	all = append(all, d.closeLinks())
	for _, p := range d.products {
		all = append(all, p.Destroy())
	}
	for _, m := range d.modules {
		all = append(all, d.driver.ModuleUnload(m))
	}
	for len(d.closers) > 0 {
		last := len(d.closers) - 1
		all = append(all, d.closers[last]())
		d.closers = d.closers[:last]
	}
	d.products, d.modules, d.functions, d.tables = nil, nil, nil, nil
	return errors.Join(all...)
}

// synchronize waits for all that has been launched, on the thread.
func (d *Device) synchronize() error {
	d.stagingUsed = 0
	if err := d.driver.StreamSynchronize(d.stream); err != nil || d.profiler == nil {
		return err
	}
	return d.profiler.take()
}

// stagingSlice is a part of the staging memory.
func (d *Device) stagingSlice(from, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(d.staging, from)), n)
}

// upload copies to the GPU, on the thread. It returns when src may change, which is before the copy has arrived.
func (d *Device) upload(to binding.Pointer, src []byte) error {
	for len(src) > 0 {
		if d.stagingUsed == stagingBytes {
			if err := d.synchronize(); err != nil {
				return err
			}
		}
		n := min(len(src), stagingBytes-d.stagingUsed)
		copy(d.stagingSlice(d.stagingUsed, n), src)
		if err := d.driver.MemcpyHtoDAsync(to, unsafe.Add(d.staging, d.stagingUsed), n, d.stream); err != nil {
			return err
		}
		d.stagingUsed = min(aligned(d.stagingUsed+n), stagingBytes)
		src, to = src[n:], to+binding.Pointer(n)
	}
	return nil
}

// download copies from the GPU when all that was launched before is done, on the thread.
func (d *Device) download(dst []byte, from binding.Pointer) error {
	for len(dst) > 0 {
		n := min(len(dst), stagingBytes)
		if err := d.driver.MemcpyDtoHAsync(d.staging, from, n, d.stream); err != nil {
			return err
		}
		if err := d.synchronize(); err != nil {
			return err
		}
		copy(dst, d.stagingSlice(0, n))
		dst, from = dst[n:], from+binding.Pointer(n)
	}
	return nil
}

// clearFault forgets what kernels have reported, on the thread.
func (d *Device) clearFault() error {
	return d.driver.MemsetD8Async(d.fault.at, 0, d.fault.bytes, d.stream)
}

// takeFault waits, and returns what kernels have reported since the last call, on the thread.
func (d *Device) takeFault() error {
	d.unread = false
	var word [4]byte
	if err := d.download(word[:], d.fault.at); err != nil {
		return err
	}
	err := kernel.FaultError(binary.LittleEndian.Uint32(word[:]))
	if err == nil {
		return nil
	}
	return errors.Join(err, d.clearFault())
}

// aligned rounds a size up.
func aligned(n int) int { return (n + alignment - 1) / alignment * alignment }

func gibibytes(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }
