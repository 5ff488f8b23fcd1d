package controllers

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// observation is everything a decision may depend on.
type observation struct {
	now      time.Time
	job      *v1alpha1.HRMTrainingJob
	children []client.Object  // Service, ConfigMap, NetworkPolicy, as far as they exist
	attempts []attempt        // in order; those whose Job still exists
	report   *progress.Report // the newest of the current attempt, nil if there is none
	backoff  time.Duration    // delay before the first restart
}

// attempt is one Job and its pods.
type attempt struct {
	record
	job  batchv1.Job
	pods []corev1.Pod
}

// record is what an attempt's Job remembers of the time before it, so that a lost status can be rebuilt.
type record struct {
	number      int32
	restarts    int32     // restarts used up, this attempt included
	disruptions int32     // disruptions before this attempt
	started     time.Time // when the first attempt was created
}

// observe gathers. It reads from the cache only.
func (r *Reconciler) observe(ctx context.Context, job *v1alpha1.HRMTrainingJob) (observation, error) {
	o := observation{now: r.Clock.Now(), job: job, backoff: r.Config.RestartBackoff}
	var err error
	if o.children, err = r.observeChildren(ctx, job); err != nil {
		return o, err
	}
	if o.attempts, err = r.observeAttempts(ctx, job); err != nil {
		return o, err
	}
	if current, ok := o.current(); ok {
		o.report = r.observeReport(job, current)
	}
	return o, nil
}

func (r *Reconciler) observeChildren(ctx context.Context, job *v1alpha1.HRMTrainingJob) ([]client.Object, error) {
	var found []client.Object
	for _, object := range []client.Object{&corev1.Service{}, &corev1.ConfigMap{}, &networkingv1.NetworkPolicy{}} {
		name := types.NamespacedName{Namespace: job.Namespace, Name: childName(job)}
		err := r.Client.Get(ctx, name, object)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("get %s %s: %w", kindOf(object), name.Name, err)
		}
		found = append(found, object)
	}
	return found, nil
}

func (r *Reconciler) observeAttempts(ctx context.Context, job *v1alpha1.HRMTrainingJob) ([]attempt, error) {
	scope := []client.ListOption{client.InNamespace(job.Namespace), client.MatchingLabels(selectorLabels(job))}
	var jobs batchv1.JobList
	if err := r.Client.List(ctx, &jobs, scope...); err != nil {
		return nil, fmt.Errorf("list the Jobs of job %s: %w", job.Name, err)
	}
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, scope...); err != nil {
		return nil, fmt.Errorf("list the pods of job %s: %w", job.Name, err)
	}
	return attemptsOf(job, jobs.Items, pods.Items), nil
}

// attemptsOf sorts Jobs and pods into attempts. What merely wears the labels does not count.
func attemptsOf(owner *v1alpha1.HRMTrainingJob, jobs []batchv1.Job, pods []corev1.Pod) []attempt {
	var attempts []attempt
	for _, job := range jobs {
		if !metav1.IsControlledBy(&job, owner) {
			continue
		}
		rec, ok := readRecord(&job)
		if !ok {
			continue
		}
		a := attempt{record: rec, job: job}
		for _, pod := range pods {
			if metav1.IsControlledBy(&pod, &job) {
				a.pods = append(a.pods, pod)
			}
		}
		slices.SortFunc(a.pods, func(x, y corev1.Pod) int { return completionIndex(x) - completionIndex(y) })
		attempts = append(attempts, a)
	}
	slices.SortFunc(attempts, func(x, y attempt) int { return int(x.number - y.number) })
	return attempts
}

// observeReport returns the newest report of an attempt: polled, or left behind by a process that ended.
func (r *Reconciler) observeReport(job *v1alpha1.HRMTrainingJob, current attempt) *progress.Report {
	if report, ok := finalReport(current.pods); ok && current.finished() {
		return &report
	}
	if sample, ok := r.Poller.Latest(client.ObjectKeyFromObject(job), job.UID); ok && sample.Attempt == current.number {
		return &sample.Report
	}
	return nil
}

// write puts the record on a Job.
func (r record) write(job *batchv1.Job) {
	job.Labels[attemptLabel] = strconv.Itoa(int(r.number))
	job.Annotations[restartsAnnotation] = strconv.Itoa(int(r.restarts))
	job.Annotations[disruptionsAnnotation] = strconv.Itoa(int(r.disruptions))
	job.Annotations[startedAnnotation] = r.started.UTC().Format(time.RFC3339)
}

// readRecord is the inverse of write. Only the number is indispensable.
func readRecord(job *batchv1.Job) (record, bool) {
	number, err := strconv.ParseInt(job.Labels[attemptLabel], 10, 32)
	if err != nil {
		return record{}, false
	}
	r := record{number: int32(number), started: job.CreationTimestamp.Time}
	if n, err := strconv.ParseInt(job.Annotations[restartsAnnotation], 10, 32); err == nil {
		r.restarts = int32(n)
	}
	if n, err := strconv.ParseInt(job.Annotations[disruptionsAnnotation], 10, 32); err == nil {
		r.disruptions = int32(n)
	}
	if t, err := time.Parse(time.RFC3339, job.Annotations[startedAnnotation]); err == nil {
		r.started = t
	}
	return r, true
}

// current is the newest attempt.
func (o observation) current() (attempt, bool) {
	if len(o.attempts) == 0 {
		return attempt{}, false
	}
	return o.attempts[len(o.attempts)-1], true
}

// alive says whether any attempt may still have running pods.
func (o observation) alive() bool {
	return slices.ContainsFunc(o.attempts, attempt.live)
}

// startTime is when the first attempt was created, zero before that.
func (o observation) startTime() time.Time {
	if current, ok := o.current(); ok {
		return current.started
	}
	if o.job.Status.StartTime != nil {
		return o.job.Status.StartTime.Time
	}
	return time.Time{}
}

// child returns what exists in the place of want, nil if nothing does.
func (o observation) child(want client.Object) client.Object {
	for _, have := range o.children {
		if kindOf(have) == kindOf(want) && have.GetName() == want.GetName() {
			return have
		}
	}
	return nil
}

// condition returns the Job's condition of that type if it is true.
func (a attempt) condition(kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range a.job.Status.Conditions {
		if c := &a.job.Status.Conditions[i]; c.Type == kind && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

func (a attempt) complete() bool { return a.condition(batchv1.JobComplete) != nil }
func (a attempt) failed() bool   { return a.condition(batchv1.JobFailed) != nil }
func (a attempt) finished() bool { return a.complete() || a.failed() }

// live says whether the attempt may still have running pods: Kubernetes calls a Job finished only when all of them
// have ended, and keeps a Job that is deleted in the foreground until they are gone.
func (a attempt) live() bool { return !a.finished() }

// stopping says whether the attempt is on its way out.
func (a attempt) stopping() bool {
	return a.live() && (a.job.DeletionTimestamp != nil || a.condition(batchv1.JobFailureTarget) != nil)
}
