package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is a file whose content is in the address space, but in memory only as far as the page cache holds it. No
// finalizer unmaps it: the garbage collector does not see the slices that point into it.
type mapping struct {
	name string
	data []byte
}

// mapped lists the files that are mapped now.
var mapped struct {
	sync.Mutex
	files []*mapping
}

// mapNPY maps a .npy file. The error wraps errors.ErrUnsupported if the file has to be read instead, from its beginning:
// it is none, or it lies where files cannot be mapped.
func mapNPY(f *os.File) (NPY, *mapping, error) {
	info, err := f.Stat()
	if err != nil {
		return NPY{}, nil, err
	}
	if !info.Mode().IsRegular() {
		return NPY{}, nil, errors.ErrUnsupported
	}
	content := io.NewSectionReader(f, 0, info.Size())
	a, size, err := readNPYHeader(content)
	if err != nil {
		return NPY{}, nil, err
	}
	begin, err := content.Seek(0, io.SeekCurrent)
	if err != nil {
		return NPY{}, nil, err
	}
	switch end := begin + int64(size); {
	case info.Size() < end:
		return NPY{}, nil, short(io.ErrUnexpectedEOF)
	case info.Size() > end:
		return NPY{}, nil, errTrailing
	}
	whole, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return NPY{}, nil, fmt.Errorf("map %s: %w: %w", f.Name(), err, errors.ErrUnsupported)
	}
	m := &mapping{f.Name(), whole}
	mapped.Lock()
	mapped.files = append(mapped.files, m)
	mapped.Unlock()
	a.Data = whole[begin:]
	return a, m, nil
}

// advise tells the kernel how the file will be read. It is a hint: that it is not taken does no harm.
func (m *mapping) advise(advice int) { _ = unix.Madvise(m.data, advice) }

func (m *mapping) unmap() error {
	mapped.Lock()
	mapped.files = slices.DeleteFunc(mapped.files, func(other *mapping) bool { return other == m })
	mapped.Unlock()
	return unix.Munmap(m.data)
}

// mappedAt names the file that an address belongs to.
func mappedAt(address uintptr) (name string, found bool) {
	mapped.Lock()
	defer mapped.Unlock()
	for _, m := range mapped.files {
		begin := uintptr(unsafe.Pointer(unsafe.SliceData(m.data)))
		if address >= begin && address-begin < uintptr(len(m.data)) {
			return m.name, true
		}
	}
	return "", false
}

// Guarded runs do, which reads datasets on its own goroutine. A mapped file that is cut short meanwhile, or whose disk
// fails, has no bytes to give: the kernel then stops the process in the middle of a read. Here that becomes an error.
func Guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		caught := recover()
		if caught == nil {
			return
		}
		if fault, ok := caught.(interface{ Addr() uintptr }); ok {
			if name, found := mappedAt(fault.Addr()); found {
				err = fmt.Errorf("%s cannot be read any more: it was changed in place or its disk fails; nothing may write to a dataset that is in use", name)
				return
			}
		}
		panic(caught)
	}()
	return do()
}
