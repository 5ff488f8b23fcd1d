//go:build onednn && cgo && linux

package cpu

// #include <stdlib.h>
// #include "products.h"
import "C"

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// memory owns the C memory of arrays. A block is freed when its array is collected, or when the device is closed.
type memory struct {
	mu     sync.Mutex
	blocks map[*block]struct{}
	bytes  int64
}

type block struct {
	data  unsafe.Pointer
	size  int
	packs []*pack
}

// pack is an array's content in the layout of some product, made at version.
type pack struct {
	kind    C.int
	c       *C.hrm_pack
	version uint64
}

func (b *block) free() {
	for _, p := range b.packs {
		C.hrm_pack_free(p.c)
	}
	C.free(b.data)
}

func (m *memory) release(b *block) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.blocks[b]; ok {
		delete(m.blocks, b)
		m.bytes -= int64(b.size)
		b.free()
	}
}

func (m *memory) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for b := range m.blocks {
		b.free()
	}
	clear(m.blocks)
	m.bytes = 0
}

// used is how many bytes the arrays take.
func (m *memory) used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}

// alignedZeros returns bytes of zeroed C memory at a multiple of 64, some even if they are none.
func alignedZeros(bytes int) unsafe.Pointer {
	size := C.size_t(max((bytes+63)/64*64, 64))
	p := C.aligned_alloc(64, size)
	if p == nil {
		panic(fmt.Sprintf("out of memory: %d bytes", bytes))
	}
	clear(unsafe.Slice((*byte)(p), int(size)))
	return p
}

type array struct {
	*block
	dtype device.DType
	n     int
	// version counts the writes, so that packed copies know when they are stale.
	version uint64
}

func (m *memory) newArray(t device.DType, n int) *array {
	size := n * t.Size()
	a := &array{block: &block{data: alignedZeros(size), size: size}, dtype: t, n: n, version: 1}
	m.mu.Lock()
	m.blocks[a.block] = struct{}{}
	m.bytes += int64(size)
	m.mu.Unlock()
	runtime.AddCleanup(a, m.release, a.block)
	return a
}

func (a *array) DType() device.DType { return a.dtype }
func (a *array) Len() int            { return a.n }

func (a *array) bytes() []byte { return unsafe.Slice((*byte)(a.data), a.n*a.dtype.Size()) }

func (a *array) floats() *C.float { return (*C.float)(a.data) }

func (a *array) Read(offset int, dst []byte) error {
	if err := a.inside("read", offset, len(dst)); err != nil {
		return err
	}
	copy(dst, a.bytes()[offset*a.dtype.Size():])
	runtime.KeepAlive(a)
	return nil
}

func (a *array) Write(offset int, src []byte) error {
	if err := a.inside("write", offset, len(src)); err != nil {
		return err
	}
	copy(a.bytes()[offset*a.dtype.Size():], src)
	a.version++
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
