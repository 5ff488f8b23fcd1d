package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// retryAfter is how long a cluster that does not answer is left alone.
const retryAfter = time.Second

// errDeleted says that a job that was followed is no more.
var errDeleted = errors.New("it was deleted")

// followJob calls see with the job as it is now, and after every change, until see says that it has seen enough. It goes
// on over lost connections, expired watches and restarts of the apiserver, and notes them.
func (k *cluster) followJob(ctx context.Context, name string, note func(string), see func(*v1alpha1.HRMTrainingJob) bool) error {
	f := &follower{cluster: k, name: name, see: see}
	silent := false
	for first := true; ; first = false {
		enough, err := f.once(ctx, func() {
			if silent {
				note("the cluster answers again")
			}
			silent = false
		})
		switch {
		case enough:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil: // the watch ran out
			continue
		case errors.Is(err, errDeleted), !passing(err), first:
			return fmt.Errorf("job %s: %w", k.key(name), err)
		case !silent:
			note(fmt.Sprintf("the cluster does not answer: %v; trying on", err))
			silent = true
		}
		if err := pause(ctx, retryAfter); err != nil {
			return err
		}
	}
}

// follower remembers which job it follows: another one may take its name.
type follower struct {
	cluster *cluster
	name    string
	uid     types.UID
	see     func(*v1alpha1.HRMTrainingJob) bool
}

// once reads the job and then every change, for as long as one watch lasts.
func (f *follower) once(ctx context.Context, answered func()) (enough bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	job := &v1alpha1.HRMTrainingJob{}
	if err := f.cluster.Get(ctx, f.cluster.key(f.name), job); err != nil {
		if f.uid != "" && client.IgnoreNotFound(err) == nil {
			err = errDeleted
		}
		return false, err
	}
	answered()
	if enough, err := f.show(job); enough || err != nil {
		return enough, err
	}
	changes, err := f.cluster.Watch(ctx, &v1alpha1.HRMTrainingJobList{}, &client.ListOptions{
		Namespace: f.cluster.namespace, FieldSelector: nameIs(f.name), Raw: since(job.ResourceVersion),
	})
	if err != nil {
		return false, err
	}
	defer changes.Stop()
	for event := range changes.ResultChan() {
		job, ok := event.Object.(*v1alpha1.HRMTrainingJob)
		switch {
		case event.Type == apiwatch.Deleted:
			return false, errDeleted
		case !ok || event.Type == apiwatch.Error:
			return false, nil // expired: what is now is read again
		}
		if enough, err := f.show(job); enough || err != nil {
			return enough, err
		}
	}
	return false, ctx.Err()
}

func (f *follower) show(job *v1alpha1.HRMTrainingJob) (enough bool, err error) {
	if f.uid == "" {
		f.uid = job.UID
	}
	if f.uid != job.UID {
		return false, errDeleted
	}
	return f.see(job), nil
}

// pause waits, or ends with the context.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
