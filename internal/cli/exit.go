package cli

import (
	"context"
	"errors"

	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// The exit codes, which the operator's pod failure policy reads: 64, 65 and 78 will not get better by trying again,
// 75 asks to be started again (the process was asked to stop, or lost a peer), 70 may be either.
const (
	exitDone          = 0
	exitUsage         = 64
	exitData          = 65
	exitInternal      = 70
	exitInterrupted   = 75
	exitConfiguration = 78
)

// usageError says that the command line is wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// configurationError says that a job, or what it refers to, is wrong.
type configurationError struct{ error }

func (e configurationError) Unwrap() error { return e.error }

// statusError ends the process with a status of its own: that of a job that was watched, for example. Nothing is printed
// if it wraps no error.
type statusError struct {
	status int
	error
}

func (e statusError) Unwrap() error { return e.error }

// exitCode maps an error to what the process answers.
func exitCode(err error) int {
	var usage usageError
	var configuration configurationError
	var data *dataset.DataError
	var status statusError
	var diverged *loop.NotFiniteError
	var lost *collective.PeerLostError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &status):
		return status.status
	case errors.As(err, &diverged):
		// The same step from the same checkpoint comes to the same numbers: trying again will not help.
		return exitConfiguration
	case errors.Is(err, loop.ErrInterrupted), errors.Is(err, context.Canceled), errors.As(err, &lost):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &data):
		return exitData
	case errors.As(err, &configuration), errors.Is(err, loop.ErrConfiguration), objectstore.Permanent(err):
		return exitConfiguration
	}
	return exitInternal
}
