package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// retryMoved is the wait for the cache to catch up.
const retryMoved = time.Second

// Config is what whoever runs the operator decides.
type Config struct {
	TrainerImage      string        // of jobs that name none
	OperatorNamespace string        // from which pods may be asked for their progress
	NetworkPolicies   bool          // whether to guard the pods
	RestartBackoff    time.Duration // before the first restart; doubles with each further one
}

// Reconciler runs HRMTrainingJobs.
type Reconciler struct {
	Client   client.Client
	Live     client.Reader // the apiserver itself, without a cache
	Recorder events.EventRecorder
	Clock    clock.PassiveClock
	Poller   *Poller
	Config   Config
}

// +kubebuilder:rbac:groups=hrm.dev,resources=hrmtrainingjobs,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=hrm.dev,resources=hrmtrainingjobs/status,verbs=update
// +kubebuilder:rbac:groups=hrm.dev,resources=hrmtrainingjobs/finalizers,verbs=update
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=configmaps;services,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile takes one step: observe, decide, apply, write the status once, send events.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	job := &v1alpha1.HRMTrainingJob{}
	if err := r.Client.Get(ctx, request.NamespacedName, job); err != nil {
		if apierrors.IsNotFound(err) {
			r.Poller.Forget(request.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("get job %s: %w", request.NamespacedName, err)
	}
	if !job.DeletionTimestamp.IsZero() {
		r.Poller.Forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	o, err := r.observe(ctx, job)
	if err != nil {
		return ctrl.Result{}, err
	}
	r.follow(o)
	return r.step(ctx, o, decide(o))
}

// step carries a plan out and makes the result known.
func (r *Reconciler) step(ctx context.Context, o observation, p plan) (ctrl.Result, error) {
	applyErr := r.apply(ctx, o, p)
	var moved *movedError
	if errors.As(applyErr, &moved) {
		ctrl.LoggerFrom(ctx).V(1).Info("starting over", "because", applyErr.Error())
		return ctrl.Result{RequeueAfter: retryMoved}, nil
	}
	if p.action == remove {
		return ctrl.Result{}, applyErr
	}
	before := o.job.Status
	after := nextStatus(o, p, applyErr)
	if !equality.Semantic.DeepEqual(before, after) {
		updated := o.job.DeepCopy()
		updated.Status = after
		err := r.Client.Status().Update(ctx, updated)
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return ctrl.Result{RequeueAfter: retryMoved}, nil
		}
		if err != nil {
			return ctrl.Result{}, errors.Join(applyErr, fmt.Errorf("write the status of job %s: %w", o.job.Name, err))
		}
		r.announce(updated, before, after)
	}
	if applyErr != nil {
		return ctrl.Result{}, applyErr
	}
	return ctrl.Result{RequeueAfter: p.after}, nil
}

// announce sends events and counts, after the status they speak of was written.
func (r *Reconciler) announce(job *v1alpha1.HRMTrainingJob, before, after v1alpha1.HRMTrainingJobStatus) {
	for _, n := range notices(before, after) {
		r.Recorder.Eventf(job, nil, n.kind, n.reason, n.action, "%s", n.note)
	}
	attemptsStarted.Add(float64(max(0, after.Attempts-before.Attempts)))
	restartsUsed.Add(float64(max(0, after.Restarts-before.Restarts)))
	if c := endCondition(after); c != nil && endCondition(before) == nil {
		jobsFinished.WithLabelValues(c.Type, c.Reason).Inc()
	}
}

// follow tells the poller whom to ask.
func (r *Reconciler) follow(o observation) {
	name := client.ObjectKeyFromObject(o.job)
	current, ok := o.current()
	if !ok || !current.live() {
		r.Poller.Forget(name)
		return
	}
	if pod, ok := rankZero(current.pods); ok {
		r.Poller.Watch(name, pollTarget{job: o.job.UID, attempt: current.number, podIP: pod.Status.PodIP})
	}
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(manager ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(manager).
		Named("hrmtrainingjob").
		For(&v1alpha1.HRMTrainingJob{}).
		Owns(&batchv1.Job{}).
		Owns(&corev1.Service{}).
		Owns(&corev1.ConfigMap{}).
		Owns(&networkingv1.NetworkPolicy{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(jobOfPod)).
		WatchesRawSource(source.Channel(r.Poller.Changes(), &handler.TypedEnqueueRequestForObject[*v1alpha1.HRMTrainingJob]{})).
		Complete(r)
}

// jobOfPod finds a pod's job by its label: the pod's owner is the Job, not the HRMTrainingJob.
func jobOfPod(_ context.Context, pod client.Object) []reconcile.Request {
	name := pod.GetLabels()[jobLabel]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.GetNamespace(), Name: name}}}
}

// CacheOptions keep everything that is not the operator's own out of its memory.
func CacheOptions() cache.Options {
	own := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{managedByLabel: managedBy})}
	return cache.Options{ByObject: map[client.Object]cache.ByObject{
		&batchv1.Job{}:                own,
		&corev1.Pod{}:                 own,
		&corev1.Service{}:             own,
		&corev1.ConfigMap{}:           own,
		&networkingv1.NetworkPolicy{}: own,
	}}
}
