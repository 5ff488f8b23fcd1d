package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// clockTolerance is how far the clocks of two operators may be apart, one of which takes over from the other.
const clockTolerance = 10 * time.Minute

// stall decides for a job with an attempt alive.
//
//	something of it is waited for, or it has no progress deadline: wait
//	it stalled, and the status says so:                            stop it; the next attempt uses up no restart
//	it stalled just now:                                           say so first, so that a crash of the operator cannot
//	                                                               lose the reason
//	it makes progress:                                             wait, and look again when the deadline would be over
func stall(o observation) plan {
	p := plan{children: true}
	if stallRecorded(o) {
		p.action, p.stalled = stop, true
		return p
	}
	left, watched := progressLeft(o)
	switch {
	case !watched:
		return p
	case left > 0:
		p.after = left
		return p
	}
	p.stalled = true
	return p
}

// progressLeft is the time until the current attempt counts as stalled. Only processes that run can stall: waiting for a
// node, an image or a place in the quota is somebody else's time, and while one node waits the others can only wait too.
func progressLeft(o observation) (time.Duration, bool) {
	seconds := o.job.Spec.ProgressDeadlineSeconds
	current, ok := o.current()
	if !ok || seconds == nil || current.stopping() || !allStarted(current, nodes(o.job)) {
		return 0, false
	}
	deadline := time.Duration(*seconds) * time.Second
	left := lastProgress(o).Add(deadline).Sub(o.now)
	if o.watchedSince.IsZero() {
		return left, true
	}
	// Whatever the clock of the operator before this one said, this one has seen nothing move for so long.
	return max(left, o.watchedSince.Add(min(deadline, clockTolerance)).Sub(o.now)), true
}

// allStarted says whether every node's newest pod runs, or is done, and at least one runs.
func allStarted(a attempt, n int32) bool {
	started := map[int]bool{}
	for _, pod := range a.pods {
		switch {
		case pod.DeletionTimestamp != nil && !hasEnded(pod), pod.Status.Phase == corev1.PodPending:
			return false
		case pod.Status.Phase == corev1.PodRunning, pod.Status.Phase == corev1.PodSucceeded:
			started[completionIndex(pod)] = true
		}
	}
	return int32(len(started)) >= n && running(a.pods) > 0
}

// lastProgress is when the attempt last got further, or began to run, by the operator's own clock: the times on the
// status were written by it. One that lies after what this process saw itself was written by a clock that was ahead.
func lastProgress(o observation) time.Time {
	var last time.Time
	if c := meta.FindStatusCondition(o.job.Status.Conditions, v1alpha1.ConditionRunning); c != nil && c.Status == metav1.ConditionTrue {
		last = c.LastTransitionTime.Time
	} else {
		last = o.now // the status does not say yet that it runs
	}
	if p := o.job.Status.Progress; p != nil && p.LastUpdate != nil && p.LastUpdate.After(last) {
		last = p.LastUpdate.Time
	}
	if !o.watchedSince.IsZero() && last.After(o.watchedSince) {
		last = o.watchedSince
	}
	return last
}

// look describes what must change for a job to be seen moving: its attempt, its processes, its last progress.
func look(o observation) string {
	current, ok := o.current()
	if !ok {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d failed=%t", current.number, current.failed())
	if p := o.job.Status.Progress; p != nil && p.LastUpdate != nil {
		fmt.Fprintf(&b, " progress=%d", p.LastUpdate.Unix())
	}
	var uids []string
	for _, pod := range current.pods {
		if pod.Status.Phase == corev1.PodRunning {
			uids = append(uids, string(pod.UID))
		}
	}
	slices.Sort(uids)
	fmt.Fprintf(&b, " pods=%s", strings.Join(uids, ","))
	return b.String()
}

// stallRecorded says whether the status already calls the current attempt stalled.
func stallRecorded(o observation) bool {
	current, ok := o.current()
	s := o.job.Status.LastStall
	return ok && s != nil && s.Attempt == current.number
}

// recordStall notes that the current attempt has stalled.
func recordStall(status *v1alpha1.HRMTrainingJobStatus, o observation) {
	current, ok := o.current()
	if !ok || stallRecorded(o) {
		return
	}
	before := v1alpha1.StallStatus{Step: current.stallStep, Repeats: current.stallRepeats}
	if s := status.LastStall; s != nil {
		before = *s
	}
	next := &v1alpha1.StallStatus{Attempt: current.number, Step: before.Step, Repeats: before.Repeats + 1, Time: &metav1.Time{Time: o.now}}
	if p := status.Progress; p != nil && p.Step > before.Step {
		next.Step, next.Repeats = p.Step, 1
	}
	status.LastStall = next
	status.Stalls = max(status.Stalls, current.stalls) + 1
}

// stalledForGood recognises a job that is over because its last attempt stalled where others did before.
func stalledForGood(o observation) *verdict {
	s := o.job.Status.LastStall
	limit := maxRestarts(o.job)
	if s == nil || s.Repeats <= limit || s.Attempt < o.job.Status.Attempts {
		return nil
	}
	if current, ok := o.current(); ok && current.number > s.Attempt {
		return nil
	}
	return &verdict{v1alpha1.ConditionFailed, v1alpha1.ReasonStalled, fmt.Sprintf(
		"%d attempts in a row stalled without getting past step %d, more often than maxRestarts (%d) allows: see the pods' logs, or raise progressDeadlineSeconds if a step takes longer",
		s.Repeats, s.Step, limit)}
}

func stallCondition(job *v1alpha1.HRMTrainingJob) *metav1.Condition {
	c := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionProgressing)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonStalled {
		return nil
	}
	return c
}

// stallMessage says what did not happen.
func stallMessage(o observation, attempt int32) string {
	text := fmt.Sprintf("attempt %d made no progress within progressDeadlineSeconds (%d)", attempt, *o.job.Spec.ProgressDeadlineSeconds)
	if o.report == nil {
		return text + " and does not answer at /progress: it hangs, or a network policy keeps the operator out"
	}
	return text
}
