package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
	"github.com/hrm-operator/hrm-operator/internal/testing/controlplane"
)

const (
	submitter = "submitter" // the user that creates the jobs
	namespace = "scale"
	patience  = 15 * time.Minute // for a block of jobs
)

// user submits jobs and watches what becomes of them.
type user struct {
	client client.Client

	mu      sync.Mutex
	states  map[string]v1alpha1.HRMTrainingJobStatus
	changed chan struct{}
	leave   context.CancelFunc // stops watching
}

func newUser(ctx context.Context, plane *controlplane.Plane) (*user, error) {
	_, config, err := plane.User(submitter, "system:masters")
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	_ = clientgoscheme.AddToScheme(scheme)
	_ = v1alpha1.AddToScheme(scheme)
	u := &user{states: map[string]v1alpha1.HRMTrainingJobStatus{}, changed: make(chan struct{}, 1)}
	if u.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	if err := u.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return nil, err
	}
	ctx, u.leave = context.WithCancel(ctx)
	informers, err := ctrlcache.New(config, ctrlcache.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	informer, err := informers.GetInformer(ctx, &v1alpha1.HRMTrainingJob{}, ctrlcache.BlockUntilSynced(false))
	if err != nil {
		return nil, err
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    u.see,
		UpdateFunc: func(_, job any) { u.see(job) },
	})
	if err != nil {
		return nil, err
	}
	go func() { _ = informers.Start(ctx) }()
	if !informers.WaitForCacheSync(ctx) {
		return nil, fmt.Errorf("watch jobs: %w", context.Cause(ctx))
	}
	return u, nil
}

// see takes note of a job.
func (u *user) see(object any) {
	job, ok := object.(*v1alpha1.HRMTrainingJob)
	if !ok {
		return
	}
	u.mu.Lock()
	u.states[job.Name] = job.Status
	u.mu.Unlock()
	select {
	case u.changed <- struct{}{}:
	default:
	}
}

// submit creates jobs as fast as the apiserver takes them.
func (u *user) submit(ctx context.Context, names []string, edit func(*v1alpha1.HRMTrainingJob)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, name := range names {
		group.Go(func() error {
			job := builders.Job(name).In(namespace).New()
			edit(job)
			if err := u.client.Create(ctx, job); err != nil {
				return fmt.Errorf("create job %s: %w", name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// await waits until all jobs are as wanted.
func (u *user) await(ctx context.Context, names []string, wanted func(v1alpha1.HRMTrainingJobStatus) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		missing := u.missing(names, wanted)
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-u.changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d jobs, %s first, did not get there: %w", len(missing), len(names), missing[0], ctx.Err())
		}
	}
}

func (u *user) missing(names []string, wanted func(v1alpha1.HRMTrainingJobStatus) bool) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var missing []string
	for _, name := range names {
		if !wanted(u.states[name]) {
			missing = append(missing, name)
		}
	}
	return missing
}

func complete(s v1alpha1.HRMTrainingJobStatus) bool {
	return meta.IsStatusConditionTrue(s.Conditions, v1alpha1.ConditionComplete)
}

func training(s v1alpha1.HRMTrainingJobStatus) bool {
	c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionRunning)
	return c != nil && c.Status == metav1.ConditionTrue && c.Reason == v1alpha1.ReasonTraining
}

// shortJob makes pods succeed after a random time between two bounds.
func shortJob(least, most time.Duration) func(*v1alpha1.HRMTrainingJob) {
	return func(job *v1alpha1.HRMTrainingJob) {
		job.Spec.Template.Tolerations = []corev1.Toleration{
			{Key: controlplane.RunsFor, Operator: corev1.TolerationOpEqual, Value: least.String()},
			{Key: controlplane.RunsForAtMost, Operator: corev1.TolerationOpEqual, Value: most.String()},
		}
	}
}

// longJob runs until the end of the measurement.
func longJob() func(*v1alpha1.HRMTrainingJob) { return func(*v1alpha1.HRMTrainingJob) {} }

func jobNames(from, to int) []string {
	names := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		names = append(names, fmt.Sprintf("job-%05d", i))
	}
	return names
}
