package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

func TestExitCode(t *testing.T) {
	asked, ask := context.WithCancel(t.Context())
	ask()
	unsaved := fmt.Errorf("the last checkpoint was not saved in time: %w", context.Canceled)
	for _, c := range []struct {
		name         string
		ctx          context.Context
		err          error
		code         int
		interruption string
	}{
		{"trained", t.Context(), nil, 0, ""},
		{"asked to stop", asked, loop.ErrInterrupted, 75, progress.Terminated},
		{"another rank was asked to stop", t.Context(), loop.ErrInterrupted, 75, progress.PeerLost},
		{"a peer is lost", t.Context(), fmt.Errorf("step 3: %w", &collective.PeerLostError{Rank: 1}), 75, progress.PeerLost},
		{"a peer is lost while this one is asked to stop", asked, &collective.PeerLostError{Rank: 1}, 75, progress.Terminated},
		{"a loss is no number", t.Context(), errors.Join(&loop.NotFiniteError{Step: 3}, unsaved), 78, ""},
		{"wrong credentials", t.Context(), fmt.Errorf("open: %w", objectstore.ErrDenied), 78, ""},
		{"no bucket", t.Context(), fmt.Errorf("open: %w", objectstore.ErrNoBucket), 78, ""},
		{"processes of different jobs", t.Context(), mismatch(&collective.RefusedError{Mismatch: true}), 78, ""},
		{"a process of an earlier attempt", t.Context(), mismatch(&collective.RefusedError{Reason: "over"}), 70, ""},
		{"anything else", t.Context(), errors.New("no space left"), 70, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := exitCode(c.err); got != c.code {
				t.Errorf("exits with %d, want %d", got, c.code)
			}
			if got := interruption(c.ctx, c.err); got != c.interruption {
				t.Errorf("interruption is %q, want %q", got, c.interruption)
			}
		})
	}
}
