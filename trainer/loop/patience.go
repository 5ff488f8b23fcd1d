package loop

import (
	"context"
	"fmt"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// Patiently does something with a store again and again while the store is away, until ctx ends: what bounds the waiting
// is the job's deadlines. An error that only a change of the job, its credentials or its bucket can mend, or that is of
// an unknown kind, is returned at once. backoff nil means 1 to 30 seconds.
func Patiently[T any](ctx context.Context, note func(string), backoff func(attempt int) time.Duration, do func() (T, error)) (T, error) {
	if backoff == nil {
		backoff = exponential
	}
	for attempt := 0; ; attempt++ {
		x, err := do()
		if err == nil || ctx.Err() != nil || !objectstore.Transient(err) {
			return x, err
		}
		wait := backoff(attempt)
		note(fmt.Sprintf("waiting for the store, next try in %s: %v", wait, err))
		select {
		case <-ctx.Done():
			return x, ctx.Err()
		case <-time.After(wait):
		}
	}
}
