package binding

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// NVRTC is the compiler of kernels.
type NVRTC struct {
	// Path is where the library was found.
	Path string

	version, getNumSupportedArchs, getSupportedArchs, createProgram, compileProgram, destroyProgram,
	getProgramLogSize, getProgramLog, getCUBINSize, getCUBIN, getErrorString *function
}

const nvrtcRemedy = "install NVRTC of CUDA %d (package cuda-nvrtc-%[1]d-*, pip install nvidia-cuda-nvrtc%[2]s)"

// wheel is how the wheels of a major version end: those of CUDA 13 have no suffix.
func wheel(major int) string {
	if major >= 13 {
		return ""
	}
	return fmt.Sprintf("-cu%d", major)
}

// versioned are the names of a library for a driver, best first: the driver serves libraries of its own major version of
// CUDA and of those before it.
func versioned(name string, driver Version) []string {
	var names []string
	for major := min(driver.Major(), 13); major >= 12; major-- {
		names = append(names, fmt.Sprintf("%s.so.%d", name, major))
	}
	return names
}

// openVersioned opens a library for a driver, and says so if only one is there that wants a newer driver.
func (s Search) openVersioned(name, remedy string, driver Version) (library, error) {
	l, err := s.open(remedy, versioned(name, driver)...)
	if err == nil || !notInstalled(err) || driver.Major() >= 13 {
		return l, err
	}
	if newer, newerErr := s.open(remedy, name+".so.13"); newerErr == nil {
		return library{}, &MissingError{Library: newer.path, Reason: fmt.Errorf("it wants a driver for CUDA 13, this one is for CUDA %s", driver),
			Remedy: remedy + ", or update the driver to 580 or later"}
	}
	return l, err
}

// OpenNVRTC finds the compiler that goes with a driver.
func OpenNVRTC(s Search, driver Version) (*NVRTC, error) {
	major := min(driver.Major(), 13)
	remedy := fmt.Sprintf(nvrtcRemedy, major, wheel(major))
	l, err := s.openVersioned("libnvrtc", remedy, driver)
	if err != nil {
		return nil, err
	}
	// The compiler opens a second library by its bare name; one that is open already is found so.
	builtins, _ := filepath.Glob(filepath.Join(filepath.Dir(l.path), "libnvrtc-builtins.so.*"))
	for _, path := range builtins {
		_, _ = purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	}
	n := &NVRTC{Path: l.path}
	var all []*function
	for name, f := range map[string]**function{
		"nvrtcVersion": &n.version, "nvrtcGetNumSupportedArchs": &n.getNumSupportedArchs, "nvrtcGetSupportedArchs": &n.getSupportedArchs,
		"nvrtcCreateProgram": &n.createProgram, "nvrtcCompileProgram": &n.compileProgram, "nvrtcDestroyProgram": &n.destroyProgram,
		"nvrtcGetProgramLogSize": &n.getProgramLogSize, "nvrtcGetProgramLog": &n.getProgramLog,
		"nvrtcGetCUBINSize": &n.getCUBINSize, "nvrtcGetCUBIN": &n.getCUBIN, "nvrtcGetErrorString": &n.getErrorString,
	} {
		*f = &function{name: name}
		all = append(all, *f)
	}
	return n, l.find(remedy, all...)
}

func (n *NVRTC) check(f *function, status int32) error {
	if status == 0 {
		return nil
	}
	name, _, _ := purego.SyscallN(n.getErrorString.address, uintptr(status))
	return &Error{Call: f.name, Code: status, Name: text(name)}
}

// Version returns the compiler's version.
func (n *NVRTC) Version() (Version, error) {
	var major, minor int32
	err := n.check(n.version, n.version.call(uintptr(unsafe.Pointer(&major)), uintptr(unsafe.Pointer(&minor))))
	return Version(1000*major + 10*minor), err
}

// SupportedArchs returns the compute capabilities that code can be made for, as 10*major + minor, ascending.
func (n *NVRTC) SupportedArchs() ([]int, error) {
	var count int32
	if err := n.check(n.getNumSupportedArchs, n.getNumSupportedArchs.call(uintptr(unsafe.Pointer(&count)))); err != nil {
		return nil, err
	}
	raw := make([]int32, count+1)
	if err := n.check(n.getSupportedArchs, n.getSupportedArchs.call(uintptr(unsafe.Pointer(&raw[0])))); err != nil {
		return nil, err
	}
	archs := make([]int, count)
	for i := range archs {
		archs[i] = int(raw[i])
	}
	return archs, nil
}

// Compile makes a cubin of a source. Its error has the compiler's log.
func (n *NVRTC) Compile(name, source string, options []string) (cubin []byte, err error) {
	var program uintptr
	if err := n.check(n.createProgram, n.createProgram.call(uintptr(unsafe.Pointer(&program)), uintptr(unsafe.Pointer(cstring(source))),
		uintptr(unsafe.Pointer(cstring(name))), 0, 0, 0)); err != nil {
		return nil, err
	}
	defer func() {
		if e := n.check(n.destroyProgram, n.destroyProgram.call(uintptr(unsafe.Pointer(&program)))); e != nil {
			err = errors.Join(err, e)
		}
	}()
	list := make([]*byte, len(options)+1)
	for i, o := range options {
		list[i] = cstring(o)
	}
	err = n.check(n.compileProgram, n.compileProgram.call(program, uintptr(len(options)), uintptr(unsafe.Pointer(&list[0]))))
	runtime.KeepAlive(list)
	if err != nil {
		return nil, fmt.Errorf("compile %s (%s): %w\n%s", name, strings.Join(options, " "), err, n.log(program))
	}
	return n.output(program)
}

func (n *NVRTC) output(program uintptr) ([]byte, error) {
	var size uint64
	if err := n.check(n.getCUBINSize, n.getCUBINSize.call(program, uintptr(unsafe.Pointer(&size)))); err != nil {
		return nil, err
	}
	cubin := make([]byte, size+1)
	err := n.check(n.getCUBIN, n.getCUBIN.call(program, uintptr(unsafe.Pointer(&cubin[0]))))
	return cubin[:size], err
}

// log is what the compiler said; why there is none, if it does not say.
func (n *NVRTC) log(program uintptr) string {
	var size uint64
	if err := n.check(n.getProgramLogSize, n.getProgramLogSize.call(program, uintptr(unsafe.Pointer(&size)))); err != nil {
		return err.Error()
	}
	log := make([]byte, size+1)
	if err := n.check(n.getProgramLog, n.getProgramLog.call(program, uintptr(unsafe.Pointer(&log[0])))); err != nil {
		return err.Error()
	}
	log, _, _ = bytes.Cut(log, []byte{0})
	return string(log)
}
