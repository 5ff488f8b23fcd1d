package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

// The variables that say which process of a job this is. The operator sets them; without any it is the only one.
const (
	rankVariable       = "HRM_RANK"
	worldSizeVariable  = "HRM_WORLD_SIZE"
	rendezvousVariable = "HRM_RENDEZVOUS"
	attemptVariable    = "HRM_ATTEMPT"
	jobVariable        = "HRM_JOB"
)

// placeOf reads from the environment which process of the job this is.
func placeOf(job *v1alpha1.HRMTrainingJob, env func(string) string) (collective.World, error) {
	w := collective.World{Job: env(jobVariable), Rendezvous: env(rendezvousVariable), Recipe: loop.Recipe(&job.Spec)}
	if w.Job == "" {
		w.Job = job.Name
	}
	var err error
	if w.Size, err = number(env, worldSizeVariable, 1, 1); err != nil {
		return w, err
	}
	if env(worldSizeVariable) == "" && job.Spec.Nodes > 1 {
		return w, configurationError{fmt.Errorf("the job wants %[1]d processes that train together: start each with %[2]s=%[1]d, %[3]s=0 to %[4]d and %[5]s=HOST of rank 0, or set spec.nodes to 1 (--set nodes=1)",
			job.Spec.Nodes, worldSizeVariable, rankVariable, job.Spec.Nodes-1, rendezvousVariable)}
	}
	if w.Attempt, err = number(env, attemptVariable, 0, 0); err != nil {
		return w, err
	}
	if w.Size == 1 {
		return w, nil
	}
	if w.Rank, err = number(env, rankVariable, -1, 0); err != nil {
		return w, err
	}
	switch {
	case w.Rank < 0 || w.Rank >= w.Size:
		return w, configurationError{fmt.Errorf("%s is %q: want 0 to %d", rankVariable, env(rankVariable), w.Size-1)}
	case w.Rank > 0 && w.Rendezvous == "":
		return w, configurationError{fmt.Errorf("%s is not set: want the host of rank 0", rendezvousVariable)}
	case int(job.Spec.Training.GlobalBatchSize) < w.Size:
		return w, configurationError{fmt.Errorf("a batch of %d cannot be split among %d processes: raise spec.training.globalBatchSize", job.Spec.Training.GlobalBatchSize, w.Size)}
	}
	if err := collective.Available(); err != nil {
		return w, configurationError{err}
	}
	return w, nil
}

// onDevices makes the place that of a process that trains on so many devices.
func onDevices(w collective.World, devices int, job *v1alpha1.HRMTrainingJob) (collective.World, error) {
	w.Devices = devices
	if batch := int(job.Spec.Training.GlobalBatchSize); devices > 1 && batch < w.Size*devices {
		return w, configurationError{fmt.Errorf("a batch of %d cannot be split among %d devices: raise spec.training.globalBatchSize, or name fewer of this machine's %d with --device, as in cuda:0",
			batch, w.Size*devices, devices)}
	}
	return w, nil
}

// number reads a variable that holds a number of at least minimum.
func number(env func(string) string, name string, unset, minimum int) (int, error) {
	text := env(name)
	if text == "" {
		return unset, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < minimum {
		return 0, configurationError{fmt.Errorf("%s is %q: want a number from %d", name, text, minimum)}
	}
	return n, nil
}

// label adds to every line of a log which process of which job wrote it, if the environment says so.
func label(log *slog.Logger, env func(string) string) *slog.Logger {
	for _, l := range []struct{ name, variable string }{{"job", jobVariable}, {"attempt", attemptVariable}, {"rank", rankVariable}} {
		if value := env(l.variable); value != "" {
			log = log.With(l.name, value)
		}
	}
	return log
}

// join meets the other processes of the job.
func join(ctx context.Context, w collective.World, tracker *progress.Tracker) (collective.Group, error) {
	group, err := collective.Join(ctx, w, collective.Timing{}, tracker.Note)
	if err != nil {
		return nil, mismatch(err)
	}
	if w.Size > 1 {
		tracker.Note(fmt.Sprintf("all %d processes are connected", w.Size))
		context.AfterFunc(group.Context(), func() {
			var lost *collective.PeerLostError
			if errors.As(context.Cause(group.Context()), &lost) {
				tracker.PeerLost()
				tracker.Note(lost.Error())
			}
		})
	}
	return group, nil
}

// mismatch tells processes of different jobs, which only a human can mend, from those that came too late.
func mismatch(err error) error {
	var refused *collective.RefusedError
	if errors.As(err, &refused) && refused.Mismatch {
		return configurationError{err}
	}
	return err
}
