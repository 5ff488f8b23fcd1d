package cuda

import (
	"runtime"
	"sync"
)

// thread is a thread of the operating system on which functions run one after another.
type thread struct {
	mutex    sync.Mutex
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

// do runs f on the thread and returns its error.
func (t *thread) do(f func() error) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.task = f
	t.begin <- struct{}{}
	err := <-t.finished
	t.task = nil
	return err
}

// end ends the thread.
func (t *thread) end() { close(t.begin) }
