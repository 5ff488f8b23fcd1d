package cuda

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
)

// memory owns what is allocated on the GPU. But for used and release its methods run on the device's thread.
type memory struct {
	device *Device
	mutex  sync.Mutex
	blocks map[*block]struct{}
	// released are blocks whose arrays have been collected, to be freed on the thread.
	released []*block
	bytes    int64
}

// block is one allocation.
type block struct {
	at    binding.Pointer
	bytes int
}

func newMemory(d *Device) *memory { return &memory{device: d, blocks: map[*block]struct{}{}} }

// FullError says that the GPU's memory is full.
type FullError struct {
	Asked, Free, Total int64
	cause              error
}

func (e *FullError) Error() string {
	return fmt.Sprintf("%d bytes of GPU memory are asked for, %d (%s) of %s are free: use a smaller batch per GPU, a GPU with more memory, or end what else uses this one: %v",
		e.Asked, e.Free, gibibytes(e.Free), gibibytes(e.Total), e.cause)
}

func (e *FullError) Unwrap() error { return e.cause }

// allocate returns memory with any contents.
func (m *memory) allocate(bytes int) (*block, error) {
	if err := m.collect(); err != nil {
		return nil, err
	}
	bytes = max(bytes, 1)
	at, err := m.device.driver.MemAlloc(bytes)
	if binding.OutOfMemory(err) {
		free, total, infoErr := m.device.driver.MemGetInfo()
		if infoErr != nil {
			return nil, errors.Join(err, infoErr)
		}
		return nil, &FullError{Asked: int64(bytes), Free: free, Total: total, cause: err}
	}
	if err != nil {
		return nil, err
	}
	b := &block{at, bytes}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.blocks[b] = struct{}{}
	m.bytes += int64(bytes)
	return b, nil
}

// upload returns memory with the contents of raw.
func (m *memory) upload(raw []byte) (*block, error) {
	b, err := m.allocate(len(raw))
	if err != nil {
		return nil, err
	}
	if err := m.device.upload(b.at, raw); err != nil {
		return nil, errors.Join(err, m.free(b))
	}
	return b, nil
}

// free frees a block; nil is none.
func (m *memory) free(b *block) error {
	if b == nil {
		return nil
	}
	m.mutex.Lock()
	_, ok := m.blocks[b]
	delete(m.blocks, b)
	if ok {
		m.bytes -= int64(b.bytes)
	}
	m.mutex.Unlock()
	if !ok {
		return nil
	}
	return m.device.driver.MemFree(b.at)
}

// release has blocks freed later. It may be called from any goroutine.
func (m *memory) release(blocks ...*block) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.released = append(m.released, blocks...)
}

// collect frees what was released.
func (m *memory) collect() error {
	m.mutex.Lock()
	released := m.released
	m.released = nil
	m.mutex.Unlock()
	var all []error
	for _, b := range released {
		all = append(all, m.free(b))
	}
	return errors.Join(all...)
}

// used is how many bytes are allocated. It may be called from any goroutine.
func (m *memory) used() int64 {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.bytes
}

// close frees all blocks.
func (m *memory) close() error {
	all := []error{m.collect()}
	m.mutex.Lock()
	var rest []*block
	for b := range m.blocks {
		rest = append(rest, b)
	}
	m.mutex.Unlock()
	for _, b := range rest {
		all = append(all, m.free(b))
	}
	return errors.Join(all...)
}
