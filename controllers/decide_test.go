package controllers

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

// noon is when the observations below are made.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// tried makes an attempt that was created an hour ago, as the operator's cache would hold it.
func tried(job *v1alpha1.HRMTrainingJob, number, restarts int32, edit ...func(*attempt)) attempt {
	rec := record{number: number, restarts: restarts, started: ago(time.Hour), active: ago(time.Hour)}
	a := attempt{record: rec, job: *attemptJob(job, Config{}, rec)}
	a.job.CreationTimestamp = metav1.NewTime(ago(time.Hour))
	for _, e := range edit {
		e(&a)
	}
	stripJob(&a.job)
	for _, pods := range [][]corev1.Pod{a.pods, a.gone} {
		for i := range pods {
			stripPod(&pods[i])
		}
	}
	return a
}

func ended(kind batchv1.JobConditionType, reason string, since time.Duration) func(*attempt) {
	return func(a *attempt) {
		a.job.Status.Conditions = append(a.job.Status.Conditions, batchv1.JobCondition{
			Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: "the Job's words", LastTransitionTime: metav1.NewTime(ago(since)),
		})
	}
}

func deleting(a *attempt) { a.job.DeletionTimestamp = ptr.To(metav1.NewTime(ago(time.Second))) }

func with(pods ...*builders.PodBuilder) func(*attempt) {
	return func(a *attempt) {
		for _, p := range pods {
			a.pods = append(a.pods, *p.OwnedBy(&a.job).Obj())
		}
	}
}

// without makes pods that are gone.
func without(pods ...*builders.PodBuilder) func(*attempt) {
	return func(a *attempt) {
		for _, p := range pods {
			a.gone = append(a.gone, *p.OwnedBy(&a.job).Obj())
		}
	}
}

func TestDecide(t *testing.T) {
	complete := ended(batchv1.JobComplete, batchv1.JobReasonCompletionsReached, time.Minute)
	failed := ended(batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded, time.Minute)
	fatally := ended(batchv1.JobFailed, batchv1.JobReasonPodFailurePolicy, time.Minute)
	// The status says that it has run for half an hour.
	running := func(a *attempt) {
		with(builders.Pod("p", 0).Running("10.0.0.1", ago(2*time.Hour)))(a)
	}
	isTrue := metav1.ConditionTrue

	for _, c := range []struct {
		name     string
		job      *builders.TrainingJob
		attempts func(*v1alpha1.HRMTrainingJob) []attempt
		backoff  time.Duration
		strays   int

		action   action
		children bool
		next     record // number and restarts are compared
		verdict  string // its reason
		stalled  bool
		after    time.Duration
	}{
		{name: "a new job starts its first attempt", job: builders.Job("a"),
			action: start, children: true, next: record{number: 1}},
		{name: "a suspended new job waits", job: builders.Job("a").Suspend(true),
			action: wait, children: true},
		{name: "a name that is no host name fails the job", job: builders.Job("a.b"), verdict: v1alpha1.ReasonInvalidSpec},
		{name: "a batch that does not divide over nodes fails the job", job: builders.Job("a").Nodes(5), verdict: v1alpha1.ReasonInvalidSpec},
		{name: "a running attempt is left alone until its progress is due", job: builders.Job("a").ProgressDeadline(3600), attempts: one(1, 0, running),
			action: wait, children: true, after: 30 * time.Minute},
		{name: "an attempt that is queued does not stall", job: builders.Job("a").ProgressDeadline(60), attempts: one(1, 0),
			action: wait, children: true},
		{name: "a stall is recorded first", job: builders.Job("a").ProgressDeadline(600), attempts: one(1, 0, running),
			action: wait, children: true, stalled: true},
		{name: "a recorded stall stops the attempt", job: builders.Job("a").ProgressDeadline(600).Status(stalledAt(1, 0, 1)), attempts: one(1, 0, running),
			action: stop, children: true, stalled: true},
		{name: "a stall that an earlier attempt had does not stop this one", job: builders.Job("a").ProgressDeadline(3600).Status(stalledAt(1, 0, 1)),
			attempts: one(2, 1, running), action: wait, children: true, after: 30 * time.Minute},
		{name: "a stalled attempt that is gone uses up no restart", job: builders.Job("a").Status(attempted(1, 0)).Status(stalledAt(1, 0, 1)),
			action: start, children: true, next: record{number: 2}},
		{name: "nor one that failed while it was stopped", job: builders.Job("a").Status(attempted(1, 0)).Status(stalledAt(1, 0, 1)), attempts: one(1, 0, failed),
			action: start, children: true, next: record{number: 2}},
		{name: "stalls that repeat more often than maxRestarts fail the job", job: builders.Job("a").MaxRestarts(2).Status(attempted(3, 0)).Status(stalledAt(3, 100, 3)),
			verdict: v1alpha1.ReasonStalled},
		{name: "but not while pods of the last one run", job: builders.Job("a").MaxRestarts(2).Status(attempted(3, 0)).Status(stalledAt(3, 100, 3)),
			attempts: one(3, 0, running), action: stop, children: true, stalled: true},
		{name: "an attempt whose pods were only taken away uses up no restart", job: builders.Job("a").MaxRestarts(0),
			attempts: one(1, 0, failed, with(builders.Pod("p", 0).Exited(137, "", noon).Deleted(noon))), action: start, children: true, next: record{number: 2}},
		{name: "nor does one whose pods are gone since", job: builders.Job("a").MaxRestarts(0),
			attempts: one(1, 0, failed, without(builders.Pod("p", 0).Exited(143, "", noon).Deleted(noon))), action: start, children: true, next: record{number: 2}},
		{name: "one that ran out of memory does", job: builders.Job("a").MaxRestarts(0),
			attempts: one(1, 0, failed, with(builders.Pod("p", 0).OutOfMemory(noon))), verdict: v1alpha1.ReasonRestartsExceeded},
		{name: "one of whose pods failed and whose others were taken away does", job: builders.Job("a").Nodes(2).MaxRestarts(0),
			attempts: one(1, 0, failed, with(builders.Pod("p", 0).Exited(137, "", noon).Deleted(noon), builders.Pod("q", 1).Exited(1, "", noon))),
			verdict:  v1alpha1.ReasonRestartsExceeded},
		{name: "a failed attempt is not the end while a pod of it runs", job: builders.Job("a").MaxRestarts(0), attempts: one(1, 0, failed, running),
			action: wait, children: true},
		{name: "nor is a complete one", job: builders.Job("a"), attempts: one(1, 0, complete, running), action: wait, children: true},
		{name: "a stray pod holds the next attempt back", job: builders.Job("a").Status(attempted(1, 0)), strays: 1,
			action: wait, children: true},
		{name: "an attempt that somebody deleted uses up no restart", job: builders.Job("a").MaxRestarts(0).Status(attempted(1, 0)),
			action: start, children: true, next: record{number: 2}},
		{name: "a completed attempt completes the job", job: builders.Job("a"), attempts: one(1, 0, complete),
			verdict: v1alpha1.ReasonTrained},
		{name: "even a suspended one, and late", job: builders.Job("a").Suspend(true).Deadline(1), attempts: one(1, 0, complete),
			verdict: v1alpha1.ReasonTrained},
		{name: "a failed attempt is followed by another", job: builders.Job("a"), attempts: one(1, 0, failed),
			action: start, children: true, next: record{number: 2, restarts: 1}},
		{name: "which waits for its backoff", job: builders.Job("a"), attempts: one(2, 1, failed), backoff: time.Minute,
			action: wait, children: true, after: time.Minute},
		{name: "a failure is counted once, however many attempts were suspended after it", job: builders.Job("a").Status(attempted(4, 1)), attempts: one(1, 0, failed),
			action: start, children: true, next: record{number: 5, restarts: 1}},
		{name: "the last allowed attempt fails and the job with it", job: builders.Job("a").MaxRestarts(2), attempts: one(3, 2, failed),
			verdict: v1alpha1.ReasonRestartsExceeded},
		{name: "broken data fails the job at once", job: builders.Job("a"),
			attempts: one(1, 0, fatally, with(builders.Pod("p", 0).Exited(65, "", noon))), verdict: v1alpha1.ReasonDatasetError},
		{name: "a wrong command line fails the job at once", job: builders.Job("a"),
			attempts: one(1, 0, fatally, with(builders.Pod("p", 0).Exited(64, "", noon))), verdict: v1alpha1.ReasonUsageError},
		{name: "a wrong configuration fails the job at once", job: builders.Job("a"),
			attempts: one(1, 0, fatally, with(builders.Pod("p", 0).Exited(78, "", noon))), verdict: v1alpha1.ReasonConfigError},
		{name: "pods that are being stopped are waited for", job: builders.Job("a"), attempts: one(1, 0, running, deleting),
			action: wait, children: true},
		{name: "suspending stops what runs", job: builders.Job("a").Suspend(true), attempts: one(1, 0, running),
			action: stop},
		{name: "a deadline in sight is looked at when it is due", job: builders.Job("a").Deadline(3601), attempts: one(1, 0),
			action: wait, children: true, after: time.Second},
		{name: "a deadline that is over stops what runs", job: builders.Job("a").Deadline(3600), attempts: one(1, 0, running),
			action: stop},
		{name: "and fails the job when nothing does", job: builders.Job("a").Deadline(3600).Status(func(s *v1alpha1.HRMTrainingJobStatus) {
			s.Attempts, s.ActiveSince = 1, ptr.To(metav1.NewTime(ago(time.Hour)))
		}), verdict: v1alpha1.ReasonDeadlineExceeded},
		{name: "a finished job stays as it is", job: builders.Job("a").Condition(v1alpha1.ConditionComplete, isTrue, v1alpha1.ReasonTrained, ago(time.Hour)),
			action: wait},
		{name: "even if its Job failed later", job: builders.Job("a").Condition(v1alpha1.ConditionComplete, isTrue, v1alpha1.ReasonTrained, ago(time.Hour)),
			attempts: one(1, 0, failed), action: wait},
		{name: "until its time to live is over", job: builders.Job("a").TTL(3600).Condition(v1alpha1.ConditionFailed, isTrue, v1alpha1.ReasonStalled, ago(time.Hour)),
			action: remove},
		{name: "which is waited for", job: builders.Job("a").TTL(3601).Condition(v1alpha1.ConditionComplete, isTrue, v1alpha1.ReasonTrained, ago(time.Hour)),
			action: wait, after: time.Second},
		{name: "a finished job has nothing running", job: builders.Job("a").Condition(v1alpha1.ConditionFailed, isTrue, v1alpha1.ReasonStalled, ago(time.Hour)),
			attempts: one(1, 0, running), action: stop},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := observation{now: noon, backoff: c.backoff,
				job: c.job.Condition(v1alpha1.ConditionRunning, isTrue, v1alpha1.ReasonTraining, ago(30*time.Minute)).Obj()}
			for range c.strays {
				o.strays = append(o.strays, *builders.Pod("stray", 0).Running("10.0.0.9", noon).Obj())
			}
			if c.attempts != nil {
				o.attempts = c.attempts(o.job)
			}
			p := decide(o)
			if p.action != c.action || p.children != c.children || p.stalled != c.stalled || p.after != c.after {
				t.Errorf("plan %+v, want action %d, children %t, stalled %t, after %s", p, c.action, c.children, c.stalled, c.after)
			}
			if p.next.number != c.next.number || p.next.restarts != c.next.restarts {
				t.Errorf("next attempt %+v, want %+v", p.next, c.next)
			}
			reason := ""
			if p.verdict != nil {
				reason = p.verdict.reason
			}
			if reason != c.verdict {
				t.Errorf("verdict %q, want %q", reason, c.verdict)
			}
		})
	}
}

// one makes a single attempt.
func one(number, restarts int32, edit ...func(*attempt)) func(*v1alpha1.HRMTrainingJob) []attempt {
	return func(job *v1alpha1.HRMTrainingJob) []attempt { return []attempt{tried(job, number, restarts, edit...)} }
}

// stalledAt says that an attempt stalled at a step, the n-th to do so in a row.
func stalledAt(attempt int32, step int64, n int32) func(*v1alpha1.HRMTrainingJobStatus) {
	return func(s *v1alpha1.HRMTrainingJobStatus) {
		s.LastStall = &v1alpha1.StallStatus{Attempt: attempt, Step: step, Repeats: n}
	}
}

func attempted(attempts, restarts int32) func(*v1alpha1.HRMTrainingJobStatus) {
	return func(s *v1alpha1.HRMTrainingJobStatus) { s.Attempts, s.Restarts = attempts, restarts }
}

func TestRestartDelay_doublesUpToFiveMinutes(t *testing.T) {
	for restarts, want := range map[int32]time.Duration{1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 6: 5 * time.Minute, 900: 5 * time.Minute} {
		job := builders.Job("a").MaxRestarts(1000).Obj()
		o := observation{now: noon, job: job, backoff: 10 * time.Second,
			attempts: []attempt{tried(job, restarts, restarts-1, ended(batchv1.JobFailed, "", 0))}}
		if got := decide(o).after; got != want {
			t.Errorf("before restart %d: %s, want %s", restarts, got, want)
		}
	}
}

func TestRecord_survivesOnTheJob(t *testing.T) {
	job := builders.Job("a").Obj()
	want := record{number: 7, restarts: 3, disruptions: 2, stalls: 5, stallStep: 1 << 40, stallRepeats: 4, started: ago(time.Hour), active: ago(time.Minute)}
	got, ok := readRecord(attemptJob(job, Config{}, want))
	if !ok || got != want {
		t.Errorf("read %+v (%t), want %+v", got, ok, want)
	}
	if _, ok := readRecord(&batchv1.Job{}); ok {
		t.Error("a Job without the label was taken for an attempt")
	}
}
