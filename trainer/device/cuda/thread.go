package cuda

import (
	"errors"
	"runtime"
	"sync"
)

// thread is a thread of the operating system on which functions run one after another.
type thread struct {
	mutex    sync.Mutex
	ended    bool
	task     func() error
	begin    chan struct{}
	finished chan error
}

func newThread() *thread {
	t := &thread{begin: make(chan struct{}), finished: make(chan error)}
	go func() {
		// It is not unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		for range t.begin {
			t.finished <- t.task()
		}
	}()
	return t
}

var errClosed = errors.New("the cuda device is closed")

// do runs f on the thread and returns its error.
func (t *thread) do(f func() error) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.ended {
		return errClosed
	}
	t.task = f
	t.begin <- struct{}{}
	err := <-t.finished
	t.task = nil
	return err
}

// end runs f on the thread as its last function; a thread that has ended runs nothing, which is no error.
func (t *thread) end(f func() error) error {
	err := t.do(f)
	if errors.Is(err, errClosed) {
		return nil
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.ended = true
	close(t.begin)
	return err
}
