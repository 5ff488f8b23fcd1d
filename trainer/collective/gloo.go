//go:build gloo && cgo && linux

package collective

// #cgo CXXFLAGS: -O2 -std=c++14 -Wall
// #cgo LDFLAGS: -lgloo
// #include <stdlib.h>
// #include "gloo.h"
import "C"

import (
	"errors"
	"fmt"
	"os/signal"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Available reports whether this program was built with a transport.
func Available() error { return nil }

// connectTime bounds the connecting of ranks that are all known to be there. Gloo waits five times as long.
const connectTime = 6 * time.Second

// gloo is the transport on CPUs.
type gloo struct {
	mesh       *C.hrm_mesh
	rank, size int
	// aborting keeps abort and close apart.
	aborting sync.Mutex
}

func openTransport(address string, rank, size int) (transport, error) {
	// Gloo writes from a thread of its own. A peer that is gone must be an error there; the signal would end the process,
	// because on threads that are not Go's the runtime leaves it to its default.
	signal.Ignore(syscall.SIGPIPE)
	host := C.CString(address)
	defer C.free(unsafe.Pointer(host))
	t := &gloo{rank: rank, size: size}
	if err := failure(C.hrm_mesh_open(host, C.int(rank), C.int(size), C.int64_t(connectTime.Milliseconds()), &t.mesh)); err != nil {
		return nil, fmt.Errorf("open gloo at %s: %w", address, err)
	}
	return t, nil
}

// failure turns a message of the C side into an error, and frees it.
func failure(message *C.char) error {
	if message == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(message))
	return errors.New(C.GoString(message))
}

// addresses are those of this rank's pairs, by peer.
func (t *gloo) addresses() []byte {
	out := make([]byte, t.size*int(C.hrm_mesh_address_size(t.mesh)))
	if failure(C.hrm_mesh_addresses(t.mesh, unsafe.Pointer(&out[0]))) != nil {
		return nil
	}
	return out
}

// connect takes from every rank's addresses the one that is for this rank.
func (t *gloo) connect(table [][]byte) error {
	each := int(C.hrm_mesh_address_size(t.mesh))
	mine := make([]byte, 0, t.size*each)
	for peer, list := range table {
		if len(list) != t.size*each {
			return fmt.Errorf("rank %d sent %d bytes of addresses, want %d: it runs another version", peer, len(list), t.size*each)
		}
		mine = append(mine, list[t.rank*each:(t.rank+1)*each]...)
	}
	return failure(C.hrm_mesh_connect(t.mesh, unsafe.Pointer(&mine[0])))
}

func (t *gloo) allReduce(raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	return failure(C.hrm_mesh_allreduce(t.mesh, (*C.float)(unsafe.Pointer(&raw[0])), C.size_t(len(raw)/4)))
}

func (t *gloo) allGather(own []byte, sizes []int) ([]byte, error) {
	counts, total := make([]C.size_t, len(sizes)), 0
	for i, n := range sizes {
		counts[i] = C.size_t(n)
		total += n
	}
	out := make([]byte, total)
	if total == 0 {
		return out, nil
	}
	return out, failure(C.hrm_mesh_allgather(t.mesh, unsafe.Pointer(unsafe.SliceData(own)), &counts[0], unsafe.Pointer(&out[0])))
}

func (t *gloo) broadcast(data []byte) error {
	return failure(C.hrm_mesh_broadcast(t.mesh, unsafe.Pointer(&data[0]), C.size_t(len(data))))
}

func (t *gloo) barrier() error { return failure(C.hrm_mesh_barrier(t.mesh)) }

func (t *gloo) abort() {
	t.aborting.Lock()
	defer t.aborting.Unlock()
	if t.mesh != nil {
		C.hrm_mesh_abort(t.mesh)
	}
}

func (t *gloo) close() {
	t.aborting.Lock()
	defer t.aborting.Unlock()
	C.hrm_mesh_close(t.mesh)
	t.mesh = nil
}
