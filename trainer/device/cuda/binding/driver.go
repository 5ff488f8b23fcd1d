package binding

import (
	"bytes"
	"errors"
	"fmt"
	"unsafe"
)

// Handles of the driver. Zero is none.
type (
	// Pointer is an address in a GPU's memory.
	Pointer uint64
	// Context is a CUcontext.
	Context uintptr
	// Stream is a CUstream.
	Stream uintptr
	// Event is a CUevent.
	Event uintptr
	// Module is a CUmodule.
	Module uintptr
	// Function is a CUfunction.
	Function uintptr
	// Graph is a CUgraph.
	Graph uintptr
	// GraphExec is a CUgraphExec.
	GraphExec uintptr
	// Device is a CUdevice.
	Device int32
)

// Values of CUdevice_attribute.
const (
	attributeMajor = 75
	attributeMinor = 76
)

const (
	// driverName is the driver's library.
	driverName = "libcuda.so.1"
	// oldestDriver is that of CUDA 12.0.
	oldestDriver = 12000
	driverRemedy = "install NVIDIA's driver 525 or later (CUDA 12.0), in a container run it with the NVIDIA container runtime"

	outOfMemory            = 2
	streamNonBlocking      = 1
	captureThreadLocal     = 1
	eventBlockingSync      = 1
	eventDisableTiming     = 2
	functionMaxSharedBytes = 8
)

// Driver is libcuda.
type Driver struct {
	// Path is where the library was found.
	Path string

	init, driverGetVersion, deviceGetCount, deviceGet, deviceGetName, deviceTotalMem, deviceGetAttribute,
	primaryCtxRetain, primaryCtxRelease, ctxSetCurrent, memGetInfo, memAlloc, memFree, memAllocHost, memFreeHost,
	memcpyHtoDAsync, memcpyDtoHAsync, memcpyDtoDAsync, memsetD8Async, streamCreate, streamDestroy, streamSynchronize,
	eventCreate, eventDestroy, eventRecord, eventSynchronize, eventElapsedTime, streamWaitEvent, moduleLoadData, moduleUnload, moduleGetFunction,
	funcSetAttribute, launchKernel, streamBeginCapture, streamEndCapture, graphInstantiate, graphLaunch, graphExecDestroy,
	graphDestroy, getErrorName, getErrorString *function
}

// OpenDriver finds the driver and initialises it.
func OpenDriver(s Search) (*Driver, error) {
	l, err := s.open(driverRemedy, driverName)
	if err != nil {
		return nil, err
	}
	d := &Driver{Path: l.path}
	var all []*function
	for name, f := range map[string]**function{
		"cuInit": &d.init, "cuDriverGetVersion": &d.driverGetVersion, "cuDeviceGetCount": &d.deviceGetCount, "cuDeviceGet": &d.deviceGet,
		"cuDeviceGetName": &d.deviceGetName, "cuDeviceTotalMem_v2": &d.deviceTotalMem, "cuDeviceGetAttribute": &d.deviceGetAttribute,
		"cuDevicePrimaryCtxRetain": &d.primaryCtxRetain, "cuDevicePrimaryCtxRelease_v2": &d.primaryCtxRelease, "cuCtxSetCurrent": &d.ctxSetCurrent,
		"cuMemGetInfo_v2": &d.memGetInfo, "cuMemAlloc_v2": &d.memAlloc, "cuMemFree_v2": &d.memFree,
		"cuMemAllocHost_v2": &d.memAllocHost, "cuMemFreeHost": &d.memFreeHost, "cuMemcpyHtoDAsync_v2": &d.memcpyHtoDAsync,
		"cuMemcpyDtoHAsync_v2": &d.memcpyDtoHAsync, "cuMemcpyDtoDAsync_v2": &d.memcpyDtoDAsync, "cuMemsetD8Async": &d.memsetD8Async,
		"cuStreamCreate": &d.streamCreate, "cuStreamDestroy_v2": &d.streamDestroy, "cuStreamSynchronize": &d.streamSynchronize,
		"cuEventCreate": &d.eventCreate, "cuEventDestroy_v2": &d.eventDestroy, "cuEventRecord": &d.eventRecord, "cuEventSynchronize": &d.eventSynchronize, "cuStreamWaitEvent": &d.streamWaitEvent, "cuEventElapsedTime": &d.eventElapsedTime,
		"cuModuleLoadData": &d.moduleLoadData, "cuModuleUnload": &d.moduleUnload, "cuModuleGetFunction": &d.moduleGetFunction,
		"cuFuncSetAttribute": &d.funcSetAttribute, "cuLaunchKernel": &d.launchKernel, "cuStreamBeginCapture_v2": &d.streamBeginCapture,
		"cuStreamEndCapture": &d.streamEndCapture, "cuGraphInstantiateWithFlags": &d.graphInstantiate, "cuGraphLaunch": &d.graphLaunch,
		"cuGraphExecDestroy": &d.graphExecDestroy, "cuGraphDestroy": &d.graphDestroy,
		"cuGetErrorName": &d.getErrorName, "cuGetErrorString": &d.getErrorString,
	} {
		*f = &function{name: name}
		all = append(all, *f)
	}
	if err := l.find(driverRemedy, all...); err != nil {
		return nil, err
	}
	if err := d.check(d.init, d.init.call(0)); err != nil {
		return nil, &MissingError{Library: d.Path, Reason: err, Remedy: initRemedy(err)}
	}
	version, err := d.Version()
	if err != nil {
		return nil, err
	}
	if version < oldestDriver {
		return nil, &MissingError{Library: d.Path, Reason: fmt.Errorf("the driver is for CUDA %s", version), Remedy: driverRemedy}
	}
	return d, nil
}

// noDevice is CUDA_ERROR_NO_DEVICE.
const noDevice = 100

func initRemedy(err error) string {
	var failed *Error
	if errors.As(err, &failed) && failed.Code == noDevice {
		return "nvidia-smi shows which GPUs there are; CUDA_VISIBLE_DEVICES hides them, and a pod must ask for nvidia.com/gpu"
	}
	return "nvidia-smi shows whether the driver works; its library and the kernel's module must be of one version"
}

// NoGPU says whether an error is that this machine has no driver, or that its driver sees no GPU.
func NoGPU(err error) bool {
	var failed *Error
	if errors.As(err, &failed) {
		return failed.Code == noDevice && failed.Name == "CUDA_ERROR_NO_DEVICE"
	}
	var missing *MissingError
	return errors.As(err, &missing) && missing.Library == driverName && missing.Reason == nil
}

// Version is a version of CUDA as the driver counts: 1000*major + 10*minor.
type Version int

func (v Version) String() string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }

// Major is the part of a version before the dot.
func (v Version) Major() int { return int(v / 1000) }

// check makes an error of what a function returned.
func (d *Driver) check(f *function, status int32) error {
	if status == 0 {
		return nil
	}
	e := &Error{Call: f.name, Code: status, Name: fmt.Sprintf("CUresult %d", status)}
	var name, description uintptr
	if d.getErrorName.call(uintptr(status), uintptr(unsafe.Pointer(&name))) == 0 {
		e.Name = text(name)
	}
	if d.getErrorString.call(uintptr(status), uintptr(unsafe.Pointer(&description))) == 0 {
		e.Text = text(description)
	}
	return e
}

// OutOfMemory says whether an error is that the GPU's memory is full.
func OutOfMemory(err error) bool {
	var failed *Error
	return errors.As(err, &failed) && failed.Code == outOfMemory && failed.Name == "CUDA_ERROR_OUT_OF_MEMORY"
}

// Version is the latest version of CUDA that the driver serves.
func (d *Driver) Version() (Version, error) {
	var v int32
	err := d.check(d.driverGetVersion, d.driverGetVersion.call(uintptr(unsafe.Pointer(&v))))
	return Version(v), err
}

// DeviceCount returns the number of GPUs.
func (d *Driver) DeviceCount() (int, error) {
	var n int32
	err := d.check(d.deviceGetCount, d.deviceGetCount.call(uintptr(unsafe.Pointer(&n))))
	return int(n), err
}

// DeviceGet returns the GPU of an index.
func (d *Driver) DeviceGet(index int) (Device, error) {
	var v Device
	err := d.check(d.deviceGet, d.deviceGet.call(uintptr(unsafe.Pointer(&v)), uintptr(index)))
	return v, err
}

// DeviceName returns the GPU's name.
func (d *Driver) DeviceName(v Device) (string, error) {
	name := make([]byte, 256)
	err := d.check(d.deviceGetName, d.deviceGetName.call(uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)), uintptr(v)))
	name, _, _ = bytes.Cut(name, []byte{0})
	return string(name), err
}

// DeviceTotalMem returns the bytes of the GPU's memory.
func (d *Driver) DeviceTotalMem(v Device) (int64, error) {
	var n uint64
	err := d.check(d.deviceTotalMem, d.deviceTotalMem.call(uintptr(unsafe.Pointer(&n)), uintptr(v)))
	return int64(n), err
}

// DeviceAttribute returns an attribute of the GPU.
func (d *Driver) DeviceAttribute(v Device, attribute int) (int, error) {
	var n int32
	err := d.check(d.deviceGetAttribute, d.deviceGetAttribute.call(uintptr(unsafe.Pointer(&n)), uintptr(attribute), uintptr(v)))
	return int(n), err
}

// DeviceCapability returns the GPU's compute capability.
func (d *Driver) DeviceCapability(v Device) (major, minor int, err error) {
	if major, err = d.DeviceAttribute(v, attributeMajor); err != nil {
		return 0, 0, err
	}
	minor, err = d.DeviceAttribute(v, attributeMinor)
	return major, minor, err
}

// PrimaryCtxRetain returns the GPU's primary context, which others in the process share.
func (d *Driver) PrimaryCtxRetain(v Device) (Context, error) {
	var c Context
	err := d.check(d.primaryCtxRetain, d.primaryCtxRetain.call(uintptr(unsafe.Pointer(&c)), uintptr(v)))
	return c, err
}

// PrimaryCtxRelease gives it back.
func (d *Driver) PrimaryCtxRelease(v Device) error {
	return d.check(d.primaryCtxRelease, d.primaryCtxRelease.call(uintptr(v)))
}

// CtxSetCurrent makes a context that of the calling thread.
func (d *Driver) CtxSetCurrent(c Context) error {
	return d.check(d.ctxSetCurrent, d.ctxSetCurrent.call(uintptr(c)))
}

// MemGetInfo returns the free and all bytes of the current GPU.
func (d *Driver) MemGetInfo() (free, total int64, err error) {
	var f, t uint64
	err = d.check(d.memGetInfo, d.memGetInfo.call(uintptr(unsafe.Pointer(&f)), uintptr(unsafe.Pointer(&t))))
	return int64(f), int64(t), err
}

// MemAlloc allocates memory of the GPU, at a multiple of 256.
func (d *Driver) MemAlloc(bytes int) (Pointer, error) {
	var p Pointer
	err := d.check(d.memAlloc, d.memAlloc.call(uintptr(unsafe.Pointer(&p)), uintptr(bytes)))
	return p, err
}

// MemFree frees it.
func (d *Driver) MemFree(p Pointer) error { return d.check(d.memFree, d.memFree.call(uintptr(p))) }

// MemAllocHost allocates memory of the host that the GPU copies from and to by itself.
func (d *Driver) MemAllocHost(bytes int) (unsafe.Pointer, error) {
	var p unsafe.Pointer
	err := d.check(d.memAllocHost, d.memAllocHost.call(uintptr(unsafe.Pointer(&p)), uintptr(bytes)))
	return p, err
}

// MemFreeHost frees it.
func (d *Driver) MemFreeHost(p unsafe.Pointer) error {
	return d.check(d.memFreeHost, d.memFreeHost.call(uintptr(p)))
}

// MemcpyHtoDAsync copies from memory of MemAllocHost, which must stay as it is until the stream has come to it.
func (d *Driver) MemcpyHtoDAsync(to Pointer, from unsafe.Pointer, bytes int, s Stream) error {
	return d.check(d.memcpyHtoDAsync, d.memcpyHtoDAsync.call(uintptr(to), uintptr(from), uintptr(bytes), uintptr(s)))
}

// MemcpyDtoHAsync copies to memory of MemAllocHost.
func (d *Driver) MemcpyDtoHAsync(to unsafe.Pointer, from Pointer, bytes int, s Stream) error {
	return d.check(d.memcpyDtoHAsync, d.memcpyDtoHAsync.call(uintptr(to), uintptr(from), uintptr(bytes), uintptr(s)))
}

// MemcpyDtoDAsync copies within the GPU.
func (d *Driver) MemcpyDtoDAsync(to, from Pointer, bytes int, s Stream) error {
	return d.check(d.memcpyDtoDAsync, d.memcpyDtoDAsync.call(uintptr(to), uintptr(from), uintptr(bytes), uintptr(s)))
}

// MemsetD8Async fills memory of the GPU with a byte.
func (d *Driver) MemsetD8Async(to Pointer, value byte, bytes int, s Stream) error {
	return d.check(d.memsetD8Async, d.memsetD8Async.call(uintptr(to), uintptr(value), uintptr(bytes), uintptr(s)))
}

// StreamCreate returns a stream that waits for no other.
func (d *Driver) StreamCreate() (Stream, error) {
	var s Stream
	err := d.check(d.streamCreate, d.streamCreate.call(uintptr(unsafe.Pointer(&s)), streamNonBlocking))
	return s, err
}

// StreamDestroy frees a stream.
func (d *Driver) StreamDestroy(s Stream) error {
	return d.check(d.streamDestroy, d.streamDestroy.call(uintptr(s)))
}

// StreamSynchronize waits until the stream has done all.
func (d *Driver) StreamSynchronize(s Stream) error {
	return d.check(d.streamSynchronize, d.streamSynchronize.call(uintptr(s)))
}

// EventCreate returns an event that knows its time.
func (d *Driver) EventCreate() (Event, error) {
	var e Event
	err := d.check(d.eventCreate, d.eventCreate.call(uintptr(unsafe.Pointer(&e)), 0))
	return e, err
}

// EventCreateBlocking returns an event that does not know its time, and for which a thread sleeps.
func (d *Driver) EventCreateBlocking() (Event, error) {
	var e Event
	err := d.check(d.eventCreate, d.eventCreate.call(uintptr(unsafe.Pointer(&e)), eventBlockingSync|eventDisableTiming))
	return e, err
}

// EventDestroy frees an event.
func (d *Driver) EventDestroy(e Event) error {
	return d.check(d.eventDestroy, d.eventDestroy.call(uintptr(e)))
}

// EventRecord notes the time when the stream comes to it.
func (d *Driver) EventRecord(e Event, s Stream) error {
	return d.check(d.eventRecord, d.eventRecord.call(uintptr(e), uintptr(s)))
}

// EventSynchronize waits until the stream has come to where the event was recorded last.
func (d *Driver) EventSynchronize(e Event) error {
	return d.check(d.eventSynchronize, d.eventSynchronize.call(uintptr(e)))
}

// StreamWaitEvent lets what is added to a stream from now on wait for where the event was recorded last.
func (d *Driver) StreamWaitEvent(s Stream, e Event) error {
	return d.check(d.streamWaitEvent, d.streamWaitEvent.call(uintptr(s), uintptr(e), 0))
}

// EventElapsedTime returns the milliseconds between two events that have happened.
func (d *Driver) EventElapsedTime(from, to Event) (float32, error) {
	var ms float32
	err := d.check(d.eventElapsedTime, d.eventElapsedTime.call(uintptr(unsafe.Pointer(&ms)), uintptr(from), uintptr(to)))
	return ms, err
}

// ModuleLoadData loads a cubin.
func (d *Driver) ModuleLoadData(image []byte) (Module, error) {
	var m Module
	err := d.check(d.moduleLoadData, d.moduleLoadData.call(uintptr(unsafe.Pointer(&m)), uintptr(unsafe.Pointer(unsafe.SliceData(image)))))
	return m, err
}

// ModuleUnload frees a module.
func (d *Driver) ModuleUnload(m Module) error {
	return d.check(d.moduleUnload, d.moduleUnload.call(uintptr(m)))
}

// ModuleGetFunction finds a kernel.
func (d *Driver) ModuleGetFunction(m Module, name string) (Function, error) {
	var f Function
	err := d.check(d.moduleGetFunction, d.moduleGetFunction.call(uintptr(unsafe.Pointer(&f)), uintptr(m), uintptr(unsafe.Pointer(cstring(name)))))
	return f, err
}

// AllowSharedBytes allows a kernel so much dynamic shared memory per block: without it 48 KiB.
func (d *Driver) AllowSharedBytes(f Function, bytes int) error {
	return d.check(d.funcSetAttribute, d.funcSetAttribute.call(uintptr(f), functionMaxSharedBytes, uintptr(bytes)))
}

// LaunchKernel launches a kernel. Parameters are the addresses of its arguments.
func (d *Driver) LaunchKernel(f Function, grid, block [3]uint32, sharedBytes int, s Stream, parameters []unsafe.Pointer) error {
	return d.check(d.launchKernel, d.launchKernel.call(uintptr(f),
		uintptr(grid[0]), uintptr(grid[1]), uintptr(grid[2]), uintptr(block[0]), uintptr(block[1]), uintptr(block[2]),
		uintptr(sharedBytes), uintptr(s), uintptr(unsafe.Pointer(unsafe.SliceData(parameters))), 0))
}

// StreamBeginCapture lets the stream's work become a graph in place of being done.
func (d *Driver) StreamBeginCapture(s Stream) error {
	return d.check(d.streamBeginCapture, d.streamBeginCapture.call(uintptr(s), captureThreadLocal))
}

// StreamEndCapture returns the graph; after an error there may be none.
func (d *Driver) StreamEndCapture(s Stream) (Graph, error) {
	var g Graph
	err := d.check(d.streamEndCapture, d.streamEndCapture.call(uintptr(s), uintptr(unsafe.Pointer(&g))))
	return g, err
}

// GraphInstantiate makes a graph one that can be launched.
func (d *Driver) GraphInstantiate(g Graph) (GraphExec, error) {
	var e GraphExec
	err := d.check(d.graphInstantiate, d.graphInstantiate.call(uintptr(unsafe.Pointer(&e)), uintptr(g), 0))
	return e, err
}

// GraphLaunch does a graph's work.
func (d *Driver) GraphLaunch(e GraphExec, s Stream) error {
	return d.check(d.graphLaunch, d.graphLaunch.call(uintptr(e), uintptr(s)))
}

// GraphExecDestroy frees what GraphInstantiate made.
func (d *Driver) GraphExecDestroy(e GraphExec) error {
	return d.check(d.graphExecDestroy, d.graphExecDestroy.call(uintptr(e)))
}

// GraphDestroy frees a graph.
func (d *Driver) GraphDestroy(g Graph) error {
	return d.check(d.graphDestroy, d.graphDestroy.call(uintptr(g)))
}

// cstring is a string as C has them.
func cstring(s string) *byte { return &append([]byte(s), 0)[0] }

// pointer is the pointer of an address outside of Go's memory.
func pointer(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }
