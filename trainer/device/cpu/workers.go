//go:build onednn && cgo && linux

package cpu

import (
	"runtime"
	"sync"
)

// workers are threads that run one task at a time together.
type workers struct {
	tasks []chan func(worker int)
	done  sync.WaitGroup
}

func newWorkers(n int) *workers {
	w := &workers{tasks: make([]chan func(int), n)}
	for i := range w.tasks {
		w.tasks[i] = make(chan func(int))
		go w.serve(i)
	}
	return w
}

func (w *workers) serve(i int) {
	runtime.LockOSThread()
	for task := range w.tasks[i] {
		task(i)
		w.done.Done()
	}
}

// do runs the task on every worker and returns when all have finished.
func (w *workers) do(task func(worker int)) {
	w.done.Add(len(w.tasks))
	for _, c := range w.tasks {
		c <- task
	}
	w.done.Wait()
}

func (w *workers) close() {
	for _, c := range w.tasks {
		close(c)
	}
}

// share returns part i of n of the numbers below total.
func share(total, i, n int) (first, end int) { return total * i / n, total * (i + 1) / n }
