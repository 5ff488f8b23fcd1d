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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// retryMoved is the wait for the cache to catch up.
const retryMoved = time.Second

// Config is what whoever runs the operator decides.
type Config struct {
	TrainerImage      string            // of jobs that name none
	GPUTrainerImage   string            // of those of them that ask for GPUs; empty is TrainerImage
	GPURuntimeClass   string            // of jobs that ask for GPUs and name none
	ImagePullSecrets  []string          // by which training pods pull it
	ImagePullPolicy   corev1.PullPolicy // of training pods
	OperatorNamespace string            // from which pods may be asked for their progress
	NetworkPolicies   bool              // whether to guard the pods
	RestartBackoff    time.Duration     // before the first restart; doubles with each further one
	Storage           StorageDefaults   // of jobs that name no endpoint
	Gangs             Gangs             // how pods are placed together
	Instance          string            // this process's name in events
}

// Reconciler runs HRMTrainingJobs.
type Reconciler struct {
	Client client.Client
	Live   client.Reader // the apiserver itself, without a cache
	Clock  clock.PassiveClock
	Poller *Poller
	Config Config

	memory  memory
	indexed bool // whether Client reads from a cache that has jobIndex
}

// +kubebuilder:rbac:groups=hrm.dev,resources=hrmtrainingjobs,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=hrm.dev,resources=hrmtrainingjobs/status,verbs=update
// +kubebuilder:rbac:groups=hrm.dev,resources=hrmtrainingjobs/finalizers,verbs=update
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=configmaps;services,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create
// +kubebuilder:rbac:groups=scheduling.k8s.io,resources=workloads,verbs=create

// Reconcile takes one step: observe, decide, apply, send events, write the status once.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	job := &v1alpha1.HRMTrainingJob{}
	if err := r.Client.Get(ctx, request.NamespacedName, job); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(request.NamespacedName)
			return ctrl.Result{}, r.sweep(ctx, request.NamespacedName)
		}
		return ctrl.Result{}, fmt.Errorf("get job %s: %w", request.NamespacedName, err)
	}
	if !job.DeletionTimestamp.IsZero() {
		r.forget(request.NamespacedName)
		return ctrl.Result{}, r.sweep(ctx, request.NamespacedName)
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
		if err := r.send(ctx, o.job, notices(before, after)); err != nil {
			return ctrl.Result{}, errors.Join(applyErr, err)
		}
		updated := o.job.DeepCopy()
		updated.Status = after
		err := r.Client.Status().Update(ctx, updated)
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return ctrl.Result{RequeueAfter: retryMoved}, nil
		}
		if err != nil {
			return ctrl.Result{}, errors.Join(applyErr, fmt.Errorf("write the status of job %s: %w", o.job.Name, err))
		}
		tell(ctx, o.job, before, after)
	}
	if applyErr != nil {
		return ctrl.Result{}, applyErr
	}
	return ctrl.Result{RequeueAfter: p.after}, nil
}

// forget drops what is remembered of a job that is gone.
func (r *Reconciler) forget(job types.NamespacedName) {
	r.Poller.Forget(job)
	r.memory.forget(job)
}

// follow tells the poller whom to ask.
func (r *Reconciler) follow(o observation) {
	name := client.ObjectKeyFromObject(o.job)
	current, ok := o.current()
	if !ok || current.finished() {
		r.Poller.Forget(name)
		return
	}
	if pod, ok := rankZero(current.pods); ok {
		r.Poller.Watch(name, pollTarget{job: o.job.UID, attempt: current.number, podIP: pod.Status.PodIP})
	}
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(manager ctrl.Manager) error {
	if err := registerStates(manager.GetCache()); err != nil {
		return err
	}
	if err := r.index(manager.GetFieldIndexer()); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(manager).
		Named("hrmtrainingjob").
		For(&v1alpha1.HRMTrainingJob{}).
		Owns(&batchv1.Job{}).
		Owns(&corev1.Service{}).
		Owns(&corev1.ConfigMap{}).
		Owns(&networkingv1.NetworkPolicy{}).
		Watches(&corev1.Pod{}, r.podHandler()).
		WatchesRawSource(source.Channel(r.Poller.Changes(), &handler.TypedEnqueueRequestForObject[*v1alpha1.HRMTrainingJob]{})).
		Complete(r)
}
