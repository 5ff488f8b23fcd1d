package loop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// shelf is where a test's snapshots arrive; while it is shut they do not.
type shelf struct {
	mu     sync.Mutex
	shut   bool
	steps  []int64
	failed chan int64
}

func newShelf() *shelf { return &shelf{failed: make(chan int64, 100)} }

func (s *shelf) snapshot(step int64, best bool) snapshot {
	return snapshot{step: step, best: best, save: func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.shut {
			s.failed <- step
			return errors.New("connection refused")
		}
		s.steps = append(s.steps, step)
		return nil
	}}
}

func (s *shelf) set(shut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = shut
}

func TestSaver_triesAgainUntilTheStoreIsBack(t *testing.T) {
	shelf, gate := newShelf(), make(chan struct{})
	shelf.set(true)
	s := newSaver(t.Context(), func(string) {}, func(int) time.Duration { <-gate; return 0 })
	s.offer(shelf.snapshot(10, false))
	<-shelf.failed
	shelf.set(false)
	close(gate)
	if err := s.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(shelf.steps, []int64{10}) {
		t.Errorf("saved %v, want step 10", shelf.steps)
	}
}

func TestSaver_givesUpOldSnapshotsButNotTheBest(t *testing.T) {
	shelf, gate := newShelf(), make(chan struct{})
	shelf.set(true)
	s := newSaver(t.Context(), func(string) {}, func(int) time.Duration { <-gate; return 0 })
	s.offer(shelf.snapshot(10, false))
	<-shelf.failed
	for _, next := range []snapshot{shelf.snapshot(20, true), shelf.snapshot(30, false), shelf.snapshot(40, false)} {
		s.offer(next)
	}
	shelf.set(false)
	close(gate)
	if err := s.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(shelf.steps, []int64{20, 40}) {
		t.Errorf("saved %v, want the best and the newest, 20 and 40", shelf.steps)
	}
}

func TestSaver_stopsWhenAnotherProcessOwnsThePlace(t *testing.T) {
	s := newSaver(t.Context(), func(string) {}, func(int) time.Duration { return 0 })
	s.offer(snapshot{step: 5, save: func(context.Context) error {
		return fmt.Errorf("latest.json: %w", objectstore.ErrPrecondition)
	}})
	if err := s.wait(t.Context()); !errors.Is(err, objectstore.ErrPrecondition) {
		t.Errorf("got %v, want the precondition's error", err)
	}
}

func TestSaver_waitEndsWithItsContext(t *testing.T) {
	shelf := newShelf()
	shelf.set(true)
	ctx, stop := context.WithCancel(t.Context())
	s := newSaver(ctx, func(string) {}, func(int) time.Duration { return time.Hour })
	s.offer(shelf.snapshot(1, false))
	<-shelf.failed
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.wait(short); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want to be told that nothing was saved", err)
	}
	stop()
	<-s.idle
}
