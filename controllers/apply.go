package controllers

import (
	"context"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// fieldOwner is the operator's name in managed fields.
const fieldOwner = client.FieldOwner("hrm-operator")

// maxKeptAttempts is how many attempts that are over keep their Job, and with it their pods' logs.
const maxKeptAttempts = 10

// foreignError says that a child's name is taken by an object that is not the job's.
type foreignError struct {
	kind, name string
}

func (e *foreignError) Error() string {
	return fmt.Sprintf("%s %s exists and does not belong to this job: delete it, or give the job another name", e.kind, e.name)
}

// movedError says that the cache was behind: what was decided on is no longer so, and the reconcile starts over.
type movedError struct {
	what string
}

func (e *movedError) Error() string { return e.what + " changed since it was observed" }

// apply carries out a plan. It changes children only; the job's status is the caller's.
func (r *Reconciler) apply(ctx context.Context, o observation, p plan) error {
	if err := r.evict(ctx, o.strays); err != nil {
		return err
	}
	if p.children {
		if err := r.applyChildren(ctx, o); err != nil {
			return err
		}
		if err := r.ensureGang(ctx, o); err != nil {
			return err
		}
	}
	switch p.action {
	case stop:
		return r.stopAttempts(ctx, o)
	case start:
		return r.startAttempt(ctx, o, p)
	case remove:
		return r.remove(ctx, o.job)
	}
	return nil
}

// applyChildren writes those of Service, ConfigMap and NetworkPolicy that are missing or differ from what they should
// be.
func (r *Reconciler) applyChildren(ctx context.Context, o observation) error {
	wanted, err := lastingChildren(o.job, r.Config)
	if err != nil {
		return err
	}
	for _, want := range wanted {
		if err := r.applyChild(ctx, o, want); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reconciler) applyChild(ctx context.Context, o observation, want client.Object) error {
	have := o.child(want)
	if have == nil {
		var err error
		// What exists nevertheless is newer than the cache, or has lost the label that brings it there.
		if have, err = r.create(ctx, o.job, want); err != nil || have == nil {
			return err
		}
	}
	if upToDate(want, have) {
		return nil
	}
	if !metav1.IsControlledBy(have, o.job) {
		return &foreignError{kindOf(want), want.GetName()}
	}
	return r.applyObject(ctx, want)
}

// upToDate says whether everything that is wanted is there; what others added is theirs.
func upToDate(want, have client.Object) bool {
	have = have.DeepCopyObject().(client.Object)
	have.GetObjectKind().SetGroupVersionKind(want.GetObjectKind().GroupVersionKind())
	// Times and numbers are compared even if none is wanted.
	have.SetCreationTimestamp(want.GetCreationTimestamp())
	have.SetGeneration(want.GetGeneration())
	return equality.Semantic.DeepDerivative(want, have)
}

// create creates a child, or returns the one that exists already. The cache holds the operator's own objects only:
// whether a name is taken by someone else's object is known when the apiserver refuses it.
func (r *Reconciler) create(ctx context.Context, job *v1alpha1.HRMTrainingJob, want client.Object) (client.Object, error) {
	err := r.Client.Create(ctx, want.DeepCopyObject().(client.Object), fieldOwner)
	if err == nil {
		return nil, nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("create %s %s: %w", kindOf(want), want.GetName(), err)
	}
	return r.taken(ctx, job, want)
}

// taken returns the object that has a child's name already, if it is the job's own.
func (r *Reconciler) taken(ctx context.Context, job *v1alpha1.HRMTrainingJob, want client.Object) (client.Object, error) {
	taken, err := r.Client.Scheme().New(want.GetObjectKind().GroupVersionKind())
	if err != nil {
		return nil, err
	}
	have := taken.(client.Object)
	err = r.Live.Get(ctx, client.ObjectKeyFromObject(want), have)
	if apierrors.IsNotFound(err) {
		return nil, &movedError{kindOf(want) + " " + want.GetName()}
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s %s: %w", kindOf(want), want.GetName(), err)
	}
	if !metav1.IsControlledBy(have, job) {
		return nil, &foreignError{kindOf(want), want.GetName()}
	}
	return have, nil
}

// applyObject is one server-side apply.
func (r *Reconciler) applyObject(ctx context.Context, object client.Object) error {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", kindOf(object), object.GetName(), err)
	}
	unstructured.RemoveNestedField(fields, "status")
	unstructured.RemoveNestedField(fields, "metadata", "creationTimestamp")
	wanted := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: fields})
	if err := r.Client.Apply(ctx, wanted, fieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("apply %s %s: %w", kindOf(object), object.GetName(), err)
	}
	return nil
}

// startAttempt creates the Job of the plan's attempt, if the world is still the one the plan was made for: a stale
// cache must not start a second attempt beside a running one.
func (r *Reconciler) startAttempt(ctx context.Context, o observation, p plan) error {
	job := attemptJob(o.job, r.Config, p.next)
	if err := r.checkUnmoved(ctx, o); err != nil {
		return err
	}
	err := r.createJob(ctx, job)
	if apierrors.IsAlreadyExists(err) {
		_, err := r.taken(ctx, o.job, job)
		return err
	}
	if err != nil {
		return fmt.Errorf("create Job %s: %w", job.Name, err)
	}
	return r.prune(ctx, o)
}

// prune deletes the oldest attempts, which nothing is read from any more, so that a job whose pods are taken away again
// and again does not fill the apiserver.
func (r *Reconciler) prune(ctx context.Context, o observation) error {
	for i := range len(o.attempts) - maxKeptAttempts {
		err := r.Client.Delete(ctx, &o.attempts[i].job, client.PropagationPolicy(metav1.DeletePropagationBackground),
			client.Preconditions{UID: &o.attempts[i].job.UID})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete the old Job %s: %w", o.attempts[i].job.Name, err)
		}
	}
	return nil
}

// evict deletes pods that outlive their Job and that nobody else will: those the Job was deleted from under, which
// keep running without an owner. Those whose owner is named are the garbage collector's.
func (r *Reconciler) evict(ctx context.Context, strays []corev1.Pod) error {
	for i := range strays {
		if pod := &strays[i]; metav1.GetControllerOf(pod) == nil && pod.DeletionTimestamp == nil {
			err := r.Client.Delete(ctx, pod, client.Preconditions{UID: &pod.UID})
			if client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("delete pod %s, whose Job is gone: %w", pod.Name, err)
			}
		}
	}
	return nil
}

// sweep removes what a job that is gone left running.
func (r *Reconciler) sweep(ctx context.Context, job types.NamespacedName) error {
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, r.ofJob(job)...); err != nil {
		return fmt.Errorf("list the pods that job %s left: %w", job, err)
	}
	return r.evict(ctx, straysOf(nil, pods.Items))
}

// checkUnmoved compares the observation with the apiserver itself. The first attempt needs no look at the Jobs: another
// first attempt would have the same name.
func (r *Reconciler) checkUnmoved(ctx context.Context, o observation) error {
	var live v1alpha1.HRMTrainingJob
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(o.job), &live); err != nil {
		return fmt.Errorf("look at job %s again: %w", o.job.Name, err)
	}
	if live.UID != o.job.UID || live.ResourceVersion != o.job.ResourceVersion {
		return &movedError{"job " + o.job.Name}
	}
	if live.Status.Attempts == 0 && len(o.attempts) == 0 {
		return nil
	}
	var jobs batchv1.JobList
	if err := r.Live.List(ctx, &jobs, client.InNamespace(o.job.Namespace), client.MatchingLabels(selectorLabels(o.job))); err != nil {
		return fmt.Errorf("list the Jobs of job %s: %w", o.job.Name, err)
	}
	owned := 0
	for i := range jobs.Items {
		if metav1.IsControlledBy(&jobs.Items[i], o.job) {
			owned++
		}
	}
	if owned != len(o.attempts) {
		return &movedError{"the attempts of job " + o.job.Name}
	}
	var pods corev1.PodList
	if err := r.Live.List(ctx, &pods, client.InNamespace(o.job.Namespace), client.MatchingLabels(selectorLabels(o.job))); err != nil {
		return fmt.Errorf("list the pods of job %s: %w", o.job.Name, err)
	}
	if len(straysOf(jobs.Items, pods.Items)) > 0 || slices.ContainsFunc(attemptsOf(o.job, jobs.Items, pods.Items), attempt.live) {
		return &movedError{"the pods of job " + o.job.Name}
	}
	return nil
}

// stopAttempts deletes every Job that still has pods to stop. In the foreground: the Job stays until its pods are
// gone for certain, and nothing is started or declared over before that.
func (r *Reconciler) stopAttempts(ctx context.Context, o observation) error {
	for _, a := range o.attempts {
		if !a.live() || a.job.DeletionTimestamp != nil {
			continue
		}
		err := r.Client.Delete(ctx, &a.job,
			client.PropagationPolicy(metav1.DeletePropagationForeground),
			client.Preconditions{UID: &a.job.UID})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete Job %s: %w", a.job.Name, err)
		}
	}
	return nil
}

// remove deletes the job; its children follow by their owner references.
func (r *Reconciler) remove(ctx context.Context, job *v1alpha1.HRMTrainingJob) error {
	err := r.Client.Delete(ctx, job,
		client.PropagationPolicy(metav1.DeletePropagationBackground),
		client.Preconditions{UID: &job.UID, ResourceVersion: &job.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete job %s, whose time to live is over: %w", job.Name, err)
	}
	return nil
}

func kindOf(object client.Object) string {
	switch object.(type) {
	case *corev1.Service:
		return "Service"
	case *corev1.ConfigMap:
		return "ConfigMap"
	case *networkingv1.NetworkPolicy:
		return "NetworkPolicy"
	case *batchv1.Job:
		return "Job"
	}
	return object.GetObjectKind().GroupVersionKind().Kind
}
