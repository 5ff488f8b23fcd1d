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
	"k8s.io/apimachinery/pkg/api/meta"
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
	strays   []corev1.Pod     // pods of attempts whose Job is gone, that have not ended
	gone     []corev1.Pod     // pods of the newest attempt that are gone, if its Job is as well
	report   *progress.Report // the newest of the newest attempt, nil if there is none
	backoff  time.Duration    // delay before the first restart

	watchedSince time.Time // since when this process has seen the job look as it does, zero if it does not matter
	missingCA    string    // what is wrong with the ConfigMap of the store's authority, if pods may be waiting for it
}

// attempt is one Job and its pods.
type attempt struct {
	record
	job  batchv1.Job
	pods []corev1.Pod
	gone []corev1.Pod // as they were last seen
}

// record is what an attempt's Job remembers of the time before it, so that a lost status can be rebuilt.
type record struct {
	number       int32
	restarts     int32     // restarts used up, this attempt included
	disruptions  int32     // disruptions before this attempt
	stalls       int32     // stalls before this attempt
	stallStep    int64     // the furthest step when the last of them happened
	stallRepeats int32     // how many of them happened in a row without getting past it
	started      time.Time // when the first attempt was created
	active       time.Time // when the clock of activeDeadlineSeconds was started
}

// observe gathers. It reads from the cache, but for what only a pod that waits makes it ask.
func (r *Reconciler) observe(ctx context.Context, job *v1alpha1.HRMTrainingJob) (observation, error) {
	o := observation{now: r.Clock.Now(), job: job, backoff: r.Config.RestartBackoff}
	var err error
	if o.children, err = r.observeChildren(ctx, job); err != nil {
		return o, err
	}
	if err = r.observeAttempts(ctx, &o); err != nil {
		return o, err
	}
	o.report = r.observeReport(o)
	o.watchedSince = r.memory.lookedSo(client.ObjectKeyFromObject(job), look(o), o.now)
	o.missingCA, err = r.observeCA(ctx, o)
	return o, err
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

func (r *Reconciler) observeAttempts(ctx context.Context, o *observation) error {
	job := o.job
	scope := r.ofJob(client.ObjectKeyFromObject(job))
	var jobs batchv1.JobList
	if err := r.Client.List(ctx, &jobs, scope...); err != nil {
		return fmt.Errorf("list the Jobs of job %s: %w", job.Name, err)
	}
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, scope...); err != nil {
		return fmt.Errorf("list the pods of job %s: %w", job.Name, err)
	}
	o.attempts = attemptsOf(job, jobs.Items, pods.Items)
	o.strays = straysOf(jobs.Items, pods.Items)
	newest := job.Status.Attempts
	if current, ok := o.current(); ok {
		newest = max(newest, current.number)
	}
	o.remember(r.memory.departed(client.ObjectKeyFromObject(job), newest), pods.Items)
	return nil
}

// remember adds the pods that are gone to the attempt they belonged to.
func (o *observation) remember(departed, present []corev1.Pod) {
	for _, pod := range departed {
		if slices.ContainsFunc(present, func(p corev1.Pod) bool { return p.UID == pod.UID }) {
			continue
		}
		owner := metav1.GetControllerOf(&pod)
		at := slices.IndexFunc(o.attempts, func(a attempt) bool { return owner != nil && owner.UID == a.job.UID })
		switch {
		case at >= 0:
			o.attempts[at].gone = append(o.attempts[at].gone, pod)
		case podAttempt(pod) == o.job.Status.Attempts:
			o.gone = append(o.gone, pod)
		}
	}
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

// straysOf finds pods that a Job controller made for an attempt and that outlive their Job: they hold GPUs and write to
// the bucket like any other.
func straysOf(jobs []batchv1.Job, pods []corev1.Pod) []corev1.Pod {
	var strays []corev1.Pod
	for _, pod := range pods {
		if hasEnded(pod) || podAttempt(pod) < 0 || pod.Labels[batchv1.ControllerUidLabel] == "" {
			continue
		}
		owner := metav1.GetControllerOf(&pod)
		owned := owner != nil && slices.ContainsFunc(jobs, func(job batchv1.Job) bool { return job.UID == owner.UID })
		if !owned && (owner == nil || owner.Kind == "Job") {
			strays = append(strays, pod)
		}
	}
	return strays
}

// observeReport returns the newest report of the newest attempt: polled from the process that runs, or left behind by
// one that ended.
func (r *Reconciler) observeReport(o observation) *progress.Report {
	current, ok := o.current()
	if !ok || current.number < o.job.Status.Attempts {
		if report, ok := finalReport(o.gone); ok {
			return &report
		}
		return nil
	}
	if _, runs := rankZero(current.pods); !runs {
		if report, ok := finalReport(current.history()); ok {
			return &report
		}
	}
	if sample, ok := r.Poller.Latest(client.ObjectKeyFromObject(o.job), o.job.UID); ok && sample.Attempt == current.number {
		return &sample.Report
	}
	return nil
}

// observeCA looks at the ConfigMap of the store's authority once pods have waited for long. It is the only volume of a
// pod that someone else provides, and the kubelet tells that it is missing in events only.
func (r *Reconciler) observeCA(ctx context.Context, o observation) (string, error) {
	ref := r.Config.Storage.apply(o.job).Spec.Storage.CAConfigMapRef
	current, ok := o.current()
	slow := func(pod corev1.Pod) bool { return slowlyCreated(pod, o.now) }
	if ref == nil || !ok || !slices.ContainsFunc(current.pods, slow) {
		return "", nil
	}
	var ca corev1.ConfigMap
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: o.job.Namespace, Name: ref.Name}, &ca)
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("ConfigMap %s of spec.storage.caConfigMapRef does not exist: create it with the key %s", ref.Name, caFile), nil
	}
	if err != nil {
		return "", fmt.Errorf("look for ConfigMap %s of the store's authority: %w", ref.Name, err)
	}
	if _, ok := ca.Data[caFile]; !ok {
		return fmt.Sprintf("ConfigMap %s of spec.storage.caConfigMapRef has no key %s: add it", ref.Name, caFile), nil
	}
	return "", nil
}

// write puts the record on a Job.
func (r record) write(job *batchv1.Job) {
	job.Labels[v1alpha1.AttemptLabel] = strconv.Itoa(int(r.number))
	for key, n := range map[string]int64{
		restartsAnnotation:     int64(r.restarts),
		disruptionsAnnotation:  int64(r.disruptions),
		stallsAnnotation:       int64(r.stalls),
		stallStepAnnotation:    r.stallStep,
		stallRepeatsAnnotation: int64(r.stallRepeats),
	} {
		job.Annotations[key] = strconv.FormatInt(n, 10)
	}
	job.Annotations[startedAnnotation] = r.started.UTC().Format(time.RFC3339)
	job.Annotations[activeAnnotation] = r.active.UTC().Format(time.RFC3339)
}

// readRecord is the inverse of write. Only the number is indispensable.
func readRecord(job *batchv1.Job) (record, bool) {
	number, err := strconv.ParseInt(job.Labels[v1alpha1.AttemptLabel], 10, 32)
	if err != nil {
		return record{}, false
	}
	count := func(key string, bits int) int64 {
		n, err := strconv.ParseInt(job.Annotations[key], 10, bits)
		if err != nil {
			return 0
		}
		return n
	}
	moment := func(key string, otherwise time.Time) time.Time {
		t, err := time.Parse(time.RFC3339, job.Annotations[key])
		if err != nil {
			return otherwise
		}
		return t
	}
	r := record{
		number:       int32(number),
		restarts:     int32(count(restartsAnnotation, 32)),
		disruptions:  int32(count(disruptionsAnnotation, 32)),
		stalls:       int32(count(stallsAnnotation, 32)),
		stallStep:    count(stallStepAnnotation, 64),
		stallRepeats: int32(count(stallRepeatsAnnotation, 32)),
		started:      moment(startedAnnotation, job.CreationTimestamp.Time),
	}
	if r.active = moment(activeAnnotation, r.started); r.active.IsZero() {
		r.active = r.started
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

// alive says whether any pod of the job may still run.
func (o observation) alive() bool {
	return len(o.strays) > 0 || slices.ContainsFunc(o.attempts, attempt.live)
}

// stoppedByUs says whether what happens to the pods of an attempt is what the operator, or whoever deletes its Job, wants.
func (o observation) stoppedByUs(a attempt) bool {
	return a.job.DeletionTimestamp != nil || suspendWanted(o.job) || stallRecorded(o) || finished(o.job)
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

// activeSince is when the clock of activeDeadlineSeconds was started, zero while it stands: before the first attempt, and
// from a suspension to the attempt that resumes.
func (o observation) activeSince() time.Time {
	if o.job.Status.ActiveSince != nil {
		return o.job.Status.ActiveSince.Time
	}
	suspended := meta.FindStatusCondition(o.job.Status.Conditions, v1alpha1.ConditionSuspended) != nil
	current, ok := o.current()
	if !ok || suspended && current.number <= o.job.Status.Attempts {
		return time.Time{}
	}
	return current.active
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

// history is every pod of the attempt that is known of, those that are gone included.
func (a attempt) history() []corev1.Pod { return slices.Concat(a.gone, a.pods) }

// live says whether the attempt may still have running pods. Since version 1.31 Kubernetes calls a Job finished only when
// all of its pods have ended; before that it did so earlier, and then the pods tell. A Job that is deleted in the
// foreground stays until they are gone.
func (a attempt) live() bool { return !a.finished() || active(a.pods) }

// stopping says whether the attempt is on its way out.
func (a attempt) stopping() bool {
	return a.live() && (a.job.DeletionTimestamp != nil || a.finished() || a.condition(batchv1.JobFailureTarget) != nil)
}
