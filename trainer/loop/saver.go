package loop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// maxWaiting is how many snapshots wait for a store that is away; memory is finite.
const maxWaiting = 2

// snapshot is a state on its way to the store.
type snapshot struct {
	step int64
	best bool
	// save writes it; a save that failed is tried again.
	save func(context.Context) error
}

// saver writes snapshots while training goes on, in order and one at a time. A store that is away costs checkpoints,
// not the run: saving is tried again until it works or newer snapshots have taken the place.
type saver struct {
	note    func(string)
	backoff func(attempt int) time.Duration
	// failed, if not nil, is called whenever saving has failed.
	failed func()

	mu      sync.Mutex
	waiting []snapshot
	busy    bool
	idle    chan struct{} // closed whenever nothing is being saved
	fatal   error
	ctx     context.Context
}

// newSaver returns a saver that works until ctx ends.
func newSaver(ctx context.Context, note func(string), backoff func(int) time.Duration) *saver {
	idle := make(chan struct{})
	close(idle)
	return &saver{ctx: ctx, note: note, backoff: backoff, idle: idle}
}

// exponential waits 1, 2, 4, … seconds, at most 30.
func exponential(attempt int) time.Duration {
	return min(30*time.Second, time.Second<<min(attempt, 5))
}

// offer queues a snapshot and returns at once. When too many wait, the oldest that is not the best so far is dropped.
func (s *saver) offer(n snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, n)
	if len(s.waiting) > maxWaiting {
		drop := max(0, slices.IndexFunc(s.waiting[:maxWaiting], func(n snapshot) bool { return !n.best }))
		s.note(fmt.Sprintf("the checkpoint of step %d is given up: the store does not keep pace", s.waiting[drop].step))
		s.waiting = slices.Delete(s.waiting, drop, drop+1)
	}
	if !s.busy {
		s.busy, s.idle = true, make(chan struct{})
		go s.work()
	}
}

// work saves until nothing waits.
func (s *saver) work() {
	for {
		s.mu.Lock()
		if len(s.waiting) == 0 || s.ctx.Err() != nil || s.fatal != nil {
			s.busy = false
			close(s.idle)
			s.mu.Unlock()
			return
		}
		next := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.mu.Unlock()
		if err := s.persist(next); err != nil {
			s.mu.Lock()
			s.fatal = err
			s.mu.Unlock()
		}
	}
}

// persist saves one snapshot, again and again until it works, ctx ends, or a newer one that is at least as good waits.
// It returns an error that trying again will not cure.
func (s *saver) persist(n snapshot) error {
	for attempt := 0; ; attempt++ {
		err := n.save(s.ctx)
		if err == nil || s.ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, objectstore.ErrPrecondition) {
			return fmt.Errorf("save step %d: another process trains into the same place: %w", n.step, err)
		}
		if s.failed != nil {
			s.failed()
		}
		wait := s.backoff(attempt)
		s.note(fmt.Sprintf("the checkpoint of step %d could not be saved, training goes on, next try in %s: %v", n.step, wait, err))
		select {
		case <-s.ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if s.superseded(n) {
			s.note(fmt.Sprintf("the checkpoint of step %d is given up for a newer one", n.step))
			return nil
		}
	}
}

func (s *saver) superseded(n snapshot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.waiting, func(w snapshot) bool { return w.best || !n.best })
}

// err returns what ended the saver's work for good.
func (s *saver) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fatal
}

// wait blocks until everything is saved, or until ctx ends.
func (s *saver) wait(ctx context.Context) error {
	s.mu.Lock()
	idle := s.idle
	s.mu.Unlock()
	select {
	case <-idle:
		return s.err()
	case <-ctx.Done():
		return fmt.Errorf("the last checkpoint was not saved in time: %w", ctx.Err())
	}
}
