package cli

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

// trainOn runs a job on all devices of this process, side by side: each is a rank of the group of all devices of all
// processes. The first one tells of the run for all. It returns when all have ended.
func trainOn(ctx context.Context, devices []device.Device, o loop.Options) error {
	errs := make([]error, len(devices))
	var running sync.WaitGroup
	for i, member := range collective.Local(o.Group, len(devices)) {
		own := o
		own.Device = devices[i]
		if i > 0 {
			own.Tracker = progress.NewTracker(o.Now, progress.Silent{})
		}
		running.Go(func() {
			errs[i] = dataset.Guarded(func() error { return trainAs(ctx, member, own) })
		})
	}
	running.Wait()
	if o.Group.Rank() == 0 && errs[0] == nil {
		// Everything is saved. Who was told to stop while it waited for that has lost nothing.
		errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, context.Canceled) })
	}
	return causes(errs)
}

// trainAs runs a job as one rank.
func trainAs(ctx context.Context, member collective.Group, o loop.Options) (err error) {
	o.Group = member
	defer func() { err = errors.Join(err, o.Group.Close(loop.Parting(err))) }()
	linked, err := collective.Linked(ctx, member, o.Device, o.Tracker.Note)
	if err != nil {
		return err
	}
	o.Group = linked
	return loop.Run(ctx, o)
}

// causes joins what the ranks of a process have ended with, without what is only due to another one's end, and without
// saying a thing twice.
func causes(errs []error) error {
	var own, due []error
	said := map[string]bool{}
	for _, err := range errs {
		if err == nil || said[err.Error()] {
			continue
		}
		said[err.Error()] = true
		var lost *collective.PeerLostError
		if errors.As(err, &lost) {
			due = append(due, err)
		} else {
			own = append(own, err)
		}
	}
	if len(own) == 0 {
		own = due
	}
	return errors.Join(own...)
}
