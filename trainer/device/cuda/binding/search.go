package binding

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/ebitengine/purego"
)

// LibrariesVariable names directories, separated by colons, in which libraries are looked for before any other.
const LibrariesVariable = "HRM_CUDA_LIBRARIES"

// Search is where libraries are looked for.
type Search struct {
	// Directories are looked into in order.
	Directories []string
	// Loader says that the system's own loader is asked after them: by its cache, and by LD_LIBRARY_PATH.
	Loader bool
}

// SystemSearch is the search of this machine: the directories of HRM_CUDA_LIBRARIES and LD_LIBRARY_PATH, those in which the
// driver and its container runtime, CUDA toolkits, and pip's wheels put libraries, and the system's loader.
func SystemSearch() Search {
	s := Search{Loader: true}
	for _, variable := range []string{LibrariesVariable, "LD_LIBRARY_PATH"} {
		s.add(filepath.SplitList(os.Getenv(variable))...)
	}
	machine, target := "x86_64", "x86_64-linux"
	if runtime.GOARCH == "arm64" {
		machine, target = "aarch64", "sbsa-linux"
	}
	s.glob("/usr/lib/"+machine+"-linux-gnu", "/usr/lib64", "/usr/local/nvidia/lib64", "/usr/local/nvidia/lib", "/usr/lib/wsl/lib",
		"/run/nvidia/driver/usr/lib/"+machine+"-linux-gnu", "/run/nvidia/driver/usr/lib64")
	for _, root := range []string{os.Getenv("CUDA_HOME"), os.Getenv("CUDA_PATH"), "/usr/local/cuda", "/usr/local/cuda-*", "/opt/cuda"} {
		if root != "" {
			s.glob(root+"/lib64", root+"/targets/"+target+"/lib", root+"/compat")
		}
	}
	for _, root := range pythonRoots() {
		s.glob(root+"/lib/python3*/site-packages/nvidia/*/lib", root+"/lib/python3*/dist-packages/nvidia/*/lib",
			root+"/lib/python3/dist-packages/nvidia/*/lib")
	}
	return s
}

// pythonRoots are the prefixes under which Python packages are installed.
func pythonRoots() []string {
	roots := []string{os.Getenv("VIRTUAL_ENV"), os.Getenv("CONDA_PREFIX"), "/opt/conda", "/opt/venv", "/usr/local", "/usr"}
	if home, err := os.UserHomeDir(); err == nil {
		roots = append(roots, filepath.Join(home, ".local"))
	}
	return slices.DeleteFunc(roots, func(root string) bool { return root == "" })
}

func (s *Search) add(directories ...string) {
	for _, d := range directories {
		if d != "" && !slices.Contains(s.Directories, d) {
			s.Directories = append(s.Directories, d)
		}
	}
}

// glob adds the directories that there are, of several versions the latest first.
func (s *Search) glob(patterns ...string) {
	for _, pattern := range patterns {
		// Only a malformed pattern is an error.
		found, _ := filepath.Glob(pattern)
		slices.Reverse(found)
		s.add(found...)
	}
}

// MissingError says that a library was not found, or cannot be used.
type MissingError struct {
	// Library is what was looked for, such as "libnvrtc.so.12".
	Library string
	// Looked is where.
	Looked []string
	// Reason is why what was found does not serve; nil if nothing was found.
	Reason error
	// Remedy is what to install.
	Remedy string
}

func (e *MissingError) Error() string {
	if e.Reason != nil {
		return fmt.Sprintf("%s cannot be used: %v: %s", e.Library, e.Reason, e.Remedy)
	}
	looked := "nowhere: no directory exists that CUDA installs to"
	if len(e.Looked) > 0 {
		looked = strings.Join(e.Looked, ", ")
	}
	return fmt.Sprintf("%s was not found: %s, or name its directory in %s (looked in %s)", e.Library, e.Remedy, LibrariesVariable, looked)
}

func (e *MissingError) Unwrap() error { return e.Reason }

// notInstalled says whether an error is that a library was not found at all.
func notInstalled(err error) bool {
	var missing *MissingError
	return errors.As(err, &missing) && missing.Reason == nil
}

// library is an opened library.
type library struct {
	handle uintptr
	// path is where it was found; its name if the system's loader found it.
	path string
}

// open opens the first of names, best first, that is there.
func (s Search) open(remedy string, names ...string) (library, error) {
	missing := &MissingError{Library: strings.Join(names, " or "), Looked: slices.Clone(s.Directories), Remedy: remedy}
	if s.Loader {
		missing.Looked = append(missing.Looked, "the system's library paths")
	}
	for _, name := range names {
		for _, directory := range s.Directories {
			path := filepath.Join(directory, name)
			if _, err := os.Stat(path); err != nil {
				continue
			}
			handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
			if err == nil {
				return library{handle, path}, nil
			}
			missing.Library, missing.Reason = path, err
		}
		if !s.Loader {
			continue
		}
		if handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL); err == nil {
			return library{handle, name}, nil
		}
	}
	return library{}, missing
}

// find fills in the addresses of functions.
func (l library) find(remedy string, functions ...*function) error {
	for _, f := range functions {
		address, err := purego.Dlsym(l.handle, f.name)
		if err != nil {
			return &MissingError{Library: l.path, Reason: fmt.Errorf("it has no %s, so it is too old", f.name), Remedy: remedy}
		}
		f.address = address
	}
	return nil
}

// function is a C function that returns a status, all of whose arguments are integers and pointers.
type function struct {
	name    string
	address uintptr
}

// call returns the function's result. Arguments that are converted from pointers where call is called stay where they are
// until it returns.
//
//go:uintptrescapes
func (f *function) call(arguments ...uintptr) int32 {
	result, _, _ := purego.SyscallN(f.address, arguments...)
	return int32(result)
}

// Error is a call that failed.
type Error struct {
	// Call is the function, such as "cuMemAlloc_v2".
	Call string
	// Code is what it returned.
	Code int32
	// Name is the code's name, such as "CUDA_ERROR_OUT_OF_MEMORY".
	Name string
	// Text says more; it may be empty.
	Text string
}

func (e *Error) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("%s: %s", e.Call, e.Name)
	}
	return fmt.Sprintf("%s: %s (%s)", e.Call, e.Name, e.Text)
}

// text is the C string at an address.
func text(address uintptr) string {
	if address == 0 {
		return ""
	}
	var s strings.Builder
	for at := pointer(address); *(*byte)(at) != 0; address, at = address+1, pointer(address+1) {
		s.WriteByte(*(*byte)(at))
	}
	return s.String()
}
