package cuda

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
)

// NCCLVariable names the environment variable that keeps NCCL from being used if it is "off".
const NCCLVariable = "HRM_NCCL"

const (
	// watchEvery is how often a link asks whether connections have failed.
	watchEvery = time.Second
	// callTime is how long an abort waits for a call that is under way. Calls only add work to a stream, but for the first of
	// their kind, which connect, and wait for ever for one that is gone.
	callTime = 2 * time.Second
	// verdictTime is how long a link that another one of the process has broken waits to be aborted: who does that knows more.
	verdictTime = 2 * time.Second
	// freeTime is how long the end of a device waits for NCCL to give up a communicator.
	freeTime = 30 * time.Second
)

var errLinkClosed = errors.New("the link is closed")

// link is a GPU's place in an NCCL communicator.
type link struct {
	device     *Device
	nccl       *binding.NCCL
	comm       binding.Comm
	rank, size int
	gate       *gate

	// using holds the communicator for one call at a time.
	using chan struct{}
	// ended is closed when err is set; freed when the communicator is, or when that has failed with freeErr.
	mutex        sync.Mutex
	err, freeErr error
	ended, freed chan struct{}
}

var (
	_ device.Linker = (*Device)(nil)
	_ device.Link   = (*link)(nil)
)

// libnccl opens NCCL, once. It may be called from any goroutine.
func (d *Device) libnccl() (*binding.NCCL, error) {
	d.linking.Lock()
	defer d.linking.Unlock()
	if d.nccl != nil {
		return d.nccl, nil
	}
	if os.Getenv(NCCLVariable) == "off" {
		return nil, fmt.Errorf("NCCL is not used: %s is off", NCCLVariable)
	}
	version, err := d.driver.Version()
	if err == nil {
		d.nccl, err = binding.OpenNCCL(d.options.search(), version)
	}
	return d.nccl, err
}

// LinkKind is NCCL and its version: all GPUs of a communicator must have the same.
func (d *Device) LinkKind() (string, error) {
	n, err := d.libnccl()
	if err != nil {
		return "", err
	}
	version, err := n.Version()
	if err != nil {
		return "", err
	}
	return "nccl " + version.String(), nil
}

// NewLinkID asks NCCL for an identifier. It leads to this process.
func (d *Device) NewLinkID() ([]byte, error) {
	n, err := d.libnccl()
	if err != nil {
		return nil, err
	}
	id, err := n.GetUniqueID()
	return id.Bytes(), err
}

// Link makes the GPU a rank of a communicator.
func (d *Device) Link(ctx context.Context, id []byte, rank, size int) (device.Link, error) {
	n, err := d.libnccl()
	if err != nil {
		return nil, err
	}
	unique, err := binding.MakeUniqueID(id)
	if err != nil {
		return nil, err
	}
	l := &link{
		device: d, nccl: n, rank: rank, size: size, gate: enterGate(id),
		using: make(chan struct{}, 1), ended: make(chan struct{}), freed: make(chan struct{}),
	}
	defer forgetGate(id)
	if err := l.join(ctx, unique); err != nil {
		l.gate.end(err)
		return nil, fmt.Errorf("link GPU %d as rank %d of %d (NCCL_DEBUG=INFO says more): %w", d.info.Index, rank, size, err)
	}
	d.linking.Lock()
	d.links[l] = struct{}{}
	d.linking.Unlock()
	go l.watch()
	// What the others still do to join may wait for this GPU: it has no collective before all are done.
	if err := l.meet(); err != nil {
		l.Abort(err)
		return nil, err
	}
	return l, nil
}

// join makes the communicator on a thread that is left behind if ctx ends before all have come: the library cannot be told
// to stop waiting.
func (l *link) join(ctx context.Context, id binding.UniqueID) error {
	joined := make(chan error, 1)
	go func() {
		joined <- l.onThread(func() (err error) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			l.comm, err = l.nccl.CommInitRank(l.size, id, l.rank)
			return err
		})
	}()
	select {
	case err := <-joined:
		return err
	case <-ctx.Done():
		go func() {
			if <-joined == nil {
				_ = l.onThread(func() error { return l.nccl.CommAbort(l.comm) })
			}
		}()
		return context.Cause(ctx)
	}
}

// onThread calls f on a thread of its own with the GPU's context: the device's may be waiting.
func (l *link) onThread(f func() error) error {
	done := make(chan error)
	go func() {
		// It is not unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		err := l.device.driver.CtxSetCurrent(l.device.context)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// AllReduce adds the sums and minima to the device's stream.
func (l *link) AllReduce(arrays []device.Array) error {
	own := make([]*array, len(arrays))
	for i, x := range arrays {
		a, ok := l.device.owned(x)
		if !ok || a.dtype == device.BFloat16 {
			return fmt.Errorf("sum over all GPUs: array %d: want F32 or I32 on this device", i)
		}
		own[i] = a
	}
	err := l.launch(func() error {
		return l.device.thread.do(func() error { return l.allReduce(l.device.stream, own) })
	})
	if err != nil {
		return fmt.Errorf("sum over all GPUs: %w", err)
	}
	for _, a := range own {
		a.version++
	}
	return nil
}

// allReduce adds the sums and minima to a stream, which may be one that is captured, as one operation, on the thread. Work
// that runs at once must be added within launch.
func (l *link) allReduce(s binding.Stream, arrays []*array) error {
	return l.call(func() error {
		return l.nccl.Group(func() error {
			for _, a := range arrays {
				reduce := l.nccl.SumFloat32
				if a.dtype == device.Int32 {
					reduce = l.nccl.MinInt32
				}
				if a.n == 0 {
					continue
				}
				if err := reduce(a.data.at, a.n, l.comm, s); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// AllGather adds the exchange to the device's stream.
func (l *link) AllGather(own, all device.Array) error {
	from, ok := l.device.owned(own)
	to, also := l.device.owned(all)
	if !ok || !also || from.dtype != to.dtype || to.n != l.size*from.n {
		return fmt.Errorf("gather from all GPUs: want arrays of one type on this device, the second %d times as long as the first", l.size)
	}
	if from.n == 0 {
		return nil
	}
	err := l.launch(func() error {
		return l.device.thread.do(func() error { return l.allGather(l.device.stream, from, to) })
	})
	if err != nil {
		return fmt.Errorf("gather from all GPUs: %w", err)
	}
	to.version++
	return nil
}

// allGather is to AllGather what allReduce is to AllReduce.
func (l *link) allGather(s binding.Stream, own, all *array) error {
	return l.gather(s, own.data.at, all.data.at, own.n*own.dtype.Size())
}

// gather is allGather of so many bytes of each rank.
func (l *link) gather(s binding.Stream, own, all binding.Pointer, bytes int) error {
	return l.call(func() error { return l.nccl.AllGather(own, all, bytes, l.comm, s) })
}

// minimum replaces n int32 by their minima over all ranks, as allReduce does.
func (l *link) minimum(s binding.Stream, at binding.Pointer, n int) error {
	return l.call(func() error { return l.nccl.MinInt32(at, n, l.comm, s) })
}

// launch calls f, which adds collectives to streams or launches graphs that have some, while the other GPUs of this process
// do the same. It is called from the device's goroutine.
func (l *link) launch(f func() error) error {
	for _, do := range []func() error{l.meet, f, l.meet} {
		if err := do(); err != nil {
			l.Abort(err)
			return err
		}
	}
	return nil
}

// meet comes to the gate.
func (l *link) meet() error {
	if l.gate.meet() == nil {
		return nil
	}
	return l.siblingFailed()
}

// siblingFailed is why the link is aborted, or, if nobody does that soon, why the gate is broken.
func (l *link) siblingFailed() error {
	select {
	case <-l.ended:
		return l.Err()
	case <-time.After(verdictTime):
		return fmt.Errorf("another GPU of this process: %w", l.gate.reason)
	}
}

// call holds the communicator for a call of the library. An abort holds it until no graph uses it any more, one that is being
// captured neither: who captures must hear of the abort without waiting for it.
func (l *link) call(f func() error) error {
	select {
	case l.using <- struct{}{}:
		defer func() { <-l.using }()
	case <-l.ended:
	}
	if err := l.Err(); err != nil {
		return err
	}
	return f()
}

// watch looks for what has failed in the background, until the link ends. When another GPU of the process fails, this one's
// thread may wait for it wherever it is.
func (l *link) watch() {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	broken := l.gate.broken
	for {
		select {
		case <-l.ended:
			return
		case <-broken:
			if errors.Is(l.gate.reason, errLinkClosed) {
				broken = nil // the other one has nothing more to do
				continue
			}
			l.Abort(l.siblingFailed())
			return
		case <-ticker.C:
		}
		if err := l.call(func() error { return l.nccl.CommGetAsyncError(l.comm) }); err != nil {
			l.Abort(err)
		}
	}
}

// Err is why the link is broken.
func (l *link) Err() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.err
}

// end ends the link for a reason, and says whether it was the first.
func (l *link) end(reason error) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.err != nil {
		return false
	}
	l.err = reason
	close(l.ended)
	l.gate.end(reason)
	return true
}

// Abort has NCCL leave the kernels that wait for others. It does not wait for that: NCCL frees a communicator only when no graph
// uses it any more, which is so when the device is closed.
func (l *link) Abort(reason error) {
	if !l.end(reason) {
		return
	}
	go func() {
		defer close(l.freed)
		select {
		case l.using <- struct{}{}:
			defer func() { <-l.using }()
		case <-time.After(callTime):
			// The call connects to one that is gone. It ends with the abort.
		}
		l.freeErr = l.onThread(func() error { return l.nccl.CommAbort(l.comm) })
	}()
}

// Close frees the communicator when the device's work is done.
func (l *link) Close() error {
	d := l.device
	err := d.thread.do(func() error {
		err := d.synchronize()
		if !l.end(errLinkClosed) {
			return nil // aborted
		}
		defer close(l.freed)
		// A call of the watch may be under way.
		l.using <- struct{}{}
		defer func() { <-l.using }()
		return errors.Join(err, l.nccl.CommDestroy(l.comm))
	})
	if errors.Is(err, errClosed) {
		return nil // the device has closed it
	}
	return err
}

// closeLinks ends all links for good, on the thread, when no graph is left.
func (d *Device) closeLinks() error {
	d.linking.Lock()
	links := d.links
	d.links = nil
	d.linking.Unlock()
	var all []error
	for l := range links {
		l.Abort(errLinkClosed)
		select {
		case <-l.freed:
			all = append(all, l.freeErr)
		case <-time.After(freeTime):
			// After some failures no graph can be freed, and NCCL waits for that. The process ends anyway.
			all = append(all, errors.New("NCCL does not give a communicator up"))
		}
	}
	return errors.Join(all...)
}
