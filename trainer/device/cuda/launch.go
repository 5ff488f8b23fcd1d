package cuda

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

// sharedWithoutAsking is the shared memory that a block may have of any kernel.
const sharedWithoutAsking = 48 << 10

// function is a kernel that has been loaded.
type function struct {
	name   string
	handle binding.Function
	// shared is the shared memory that the kernel's blocks may have.
	shared int
}

// launch is a kernel with all that it is launched with.
type launch struct {
	part        part
	function    *function
	grid, block [3]uint32
	shared      int
	// values are the arguments, parameters their addresses.
	values     []uint64
	parameters []unsafe.Pointer
}

// places says where the arguments of a kernel are.
type places struct {
	buffer  func(int) binding.Pointer
	scratch binding.Pointer
	// table returns the place of constant memory.
	table func(*kernel.Table) (binding.Pointer, error)
}

// prepare makes a launch of a description, on the thread.
func (d *Device) prepare(l *kernel.Launch, p places) (*launch, error) {
	f, err := d.function(l)
	if err != nil {
		return nil, err
	}
	out := &launch{part: part{operation: l.Kernel}, function: f, grid: l.Grid, block: l.Block, shared: l.SharedBytes, values: make([]uint64, len(l.Args)), parameters: make([]unsafe.Pointer, len(l.Args))}
	for i, a := range l.Args {
		if out.values[i], err = d.argument(a, p); err != nil {
			return nil, fmt.Errorf("kernel %s: argument %d: %w", l.Kernel, i, err)
		}
		out.parameters[i] = unsafe.Pointer(&out.values[i])
	}
	return out, nil
}

// argument returns the bits of an argument: GPUs, too, have the lowest byte first.
func (d *Device) argument(a kernel.Arg, p places) (uint64, error) {
	switch a := a.(type) {
	case kernel.Buffer:
		return uint64(p.buffer(int(a))), nil
	case kernel.Scratch:
		return uint64(p.scratch) + uint64(a), nil
	case kernel.Fault:
		return uint64(d.fault.at), nil
	case *kernel.Table:
		at, err := p.table(a)
		return uint64(at), err
	case kernel.Null:
		return 0, nil
	case kernel.Int32:
		return uint64(uint32(a)), nil
	case kernel.Int64:
		return uint64(a), nil
	case kernel.Uint64:
		return uint64(a), nil
	case kernel.Float32:
		return uint64(math.Float32bits(float32(a))), nil
	case kernel.Float64:
		return math.Float64bits(float64(a)), nil
	}
	return 0, fmt.Errorf("%T is no kind of argument", a)
}

// run adds a launch to the stream, on the thread.
func (d *Device) run(l *launch) error {
	err := d.timed(l.part, l.function.name, func() error {
		return d.driver.LaunchKernel(l.function.handle, l.grid, l.block, l.shared, d.stream, l.parameters)
	})
	if err != nil {
		return fmt.Errorf("kernel %s, grid %v, block %v, %d bytes of shared memory: %w", l.function.name, l.grid, l.block, l.shared, err)
	}
	return nil
}

// function finds a kernel and allows it the shared memory that it is launched with, on the thread.
func (d *Device) function(l *kernel.Launch) (*function, error) {
	r := request{l.File, l.Defines}
	key := r.key() + " " + l.Kernel
	f, ok := d.functions[key]
	if !ok {
		m, err := d.module(r)
		if err != nil {
			return nil, err
		}
		f = &function{name: l.Kernel, shared: sharedWithoutAsking}
		if f.handle, err = d.driver.ModuleGetFunction(m, l.Kernel); err != nil {
			return nil, fmt.Errorf("kernel %s of %s: %w", l.Kernel, l.File, err)
		}
		d.functions[key] = f
	}
	if l.SharedBytes > f.shared {
		if err := d.driver.AllowSharedBytes(f.handle, l.SharedBytes); err != nil {
			return nil, fmt.Errorf("kernel %s: %d bytes of shared memory per block: %w", l.Kernel, l.SharedBytes, err)
		}
		f.shared = l.SharedBytes
	}
	return f, nil
}

// module returns a kernel file that has been loaded, and loads it if it has not, on the thread.
func (d *Device) module(r request) (binding.Module, error) {
	if err := d.load(map[string]request{r.key(): r}); err != nil {
		return 0, err
	}
	return d.modules[r.key()], nil
}

// load compiles the kernel files that are not loaded yet, as many at a time as there are processors, and loads them, on the
// thread.
func (d *Device) load(requests map[string]request) error {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	keys := slices.Sorted(maps.Keys(requests))
	keys = slices.DeleteFunc(keys, func(key string) bool { return d.modules[key] != 0 })
	codes := make([][]byte, len(keys))
	for i, key := range keys {
		group.Go(func() (err error) {
			codes[i], err = d.compiler.cubin(requests[key], false)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, key := range keys {
		if err := d.loadModule(requests[key], codes[i]); err != nil {
			return err
		}
	}
	return nil
}

// loadModule loads code. If it cannot be loaded, it may be what was kept: then it is compiled again.
func (d *Device) loadModule(r request, code []byte) error {
	m, err := d.driver.ModuleLoadData(code)
	if err != nil {
		fresh, compileErr := d.compiler.cubin(r, true)
		if compileErr != nil {
			return fmt.Errorf("load %s: %w", r.file, errors.Join(err, compileErr))
		}
		if bytes.Equal(fresh, code) {
			return fmt.Errorf("load %s: %w", r.file, err)
		}
		if m, err = d.driver.ModuleLoadData(fresh); err != nil {
			return fmt.Errorf("load %s: %w", r.file, err)
		}
	}
	d.modules[r.key()] = m
	return nil
}

// sharedTable returns the place of constant memory that the device keeps, on the thread.
func (d *Device) sharedTable(t *kernel.Table) (binding.Pointer, error) {
	if b, ok := d.tables[t.Key]; ok {
		return b.at, nil
	}
	b, err := d.memory.upload(t.Bytes)
	if err != nil {
		return 0, err
	}
	d.tables[t.Key] = b
	return b.at, nil
}
