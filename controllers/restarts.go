package controllers

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// maxRestartDelay bounds the wait between attempts.
const maxRestartDelay = 5 * time.Minute

// restart decides for a job that is not over and has nothing alive.
//
//	no attempt yet:                     start the first
//	the last one failed:                start another, which uses up a restart, after a delay that doubles each time
//	                                    (ending has dealt with those after which none is left)
//	its pods were only taken away:      start another, which uses up none, after the shortest delay
//	it stalled:                         start another, which uses up none, unless stalls repeat too often at one step
//	it was stopped otherwise:           start another, which uses up none (a suspended job was resumed, or someone
//	                                    deleted the Job)
func restart(o observation) plan {
	if v := stalledForGood(o); v != nil {
		return plan{verdict: v}
	}
	next := nextRecord(o)
	p := plan{children: true}
	if left := restartDelayLeft(o, next); left > 0 {
		p.after = left
		return p
	}
	p.action, p.next = start, next
	return p
}

// nextRecord continues the books of the attempts so far.
func nextRecord(o observation) record {
	status := o.job.Status
	next := record{
		number:      status.Attempts + 1,
		restarts:    status.Restarts,
		disruptions: countDisruptions(o).total,
		stalls:      status.Stalls,
		started:     o.startTime(),
		active:      o.activeSince(),
	}
	if s := status.LastStall; s != nil {
		next.stallStep, next.stallRepeats = s.Step, s.Repeats
	}
	if next.started.IsZero() {
		next.started = o.now
	}
	if next.active.IsZero() {
		next.active = o.now
	}
	current, ok := o.current()
	if !ok {
		return next
	}
	next.number = max(next.number, current.number+1)
	next.restarts = max(next.restarts, current.restarts)
	next.stalls = max(next.stalls, current.stalls)
	if status.LastStall == nil {
		next.stallStep, next.stallRepeats = current.stallStep, current.stallRepeats
	}
	if current.failed() && !current.onlyTakenAway() && !stallRecorded(o) {
		// The failure of an attempt is counted once, however many uncounted attempts came after it.
		next.restarts = max(next.restarts, current.restarts+1)
	}
	return next
}

// restartDelayLeft is how long the next attempt has to wait: a cause that passes by itself, such as a store that is
// down, must not use up all restarts within seconds. The end of the attempt is by the clock of the Job controller: one
// that is ahead of the operator's must not make the wait longer than it is.
func restartDelayLeft(o observation, next record) time.Duration {
	current, ok := o.current()
	if !ok || !current.failed() || o.backoff <= 0 {
		return 0
	}
	delay := o.backoff
	for n := int32(1); n < next.restarts && delay < maxRestartDelay && !current.onlyTakenAway(); n++ {
		delay *= 2
	}
	delay = min(delay, maxRestartDelay)
	left := current.condition(batchv1.JobFailed).LastTransitionTime.Add(delay).Sub(o.now)
	if o.watchedSince.IsZero() {
		return left
	}
	return min(left, o.watchedSince.Add(delay).Sub(o.now))
}

// fatalVerdict recognises an attempt that failed in a way that no other attempt can mend.
func fatalVerdict(a attempt) *verdict {
	byPolicy := a.condition(batchv1.JobFailed).Reason == batchv1.JobReasonPodFailurePolicy
	pod, end, ok := culprit(a.history())
	if !ok {
		if !byPolicy {
			return nil
		}
		return &verdict{v1alpha1.ConditionFailed, v1alpha1.ReasonConfigError, a.condition(batchv1.JobFailed).Message}
	}
	if !fatal(end.ExitCode) {
		return nil
	}
	if reason, message, ok := gpuFailure(pod, end); ok {
		return &verdict{v1alpha1.ConditionFailed, reason, message}
	}
	return &verdict{v1alpha1.ConditionFailed, fatalReason(end.ExitCode), lastWords(pod, end)}
}

func fatalReason(exitCode int32) string {
	switch exitCode {
	case exitUsage:
		return v1alpha1.ReasonUsageError
	case exitData:
		return v1alpha1.ReasonDatasetError
	}
	return v1alpha1.ReasonConfigError
}

// exhaustedVerdict recognises a failed attempt after which no restart is left.
func exhaustedVerdict(o observation, a attempt) *verdict {
	limit := maxRestarts(o.job)
	if a.restarts < limit || a.onlyTakenAway() {
		return nil
	}
	message := fmt.Sprintf("attempt %d failed and maxRestarts (%d) is used up: %s", a.number, limit, failureMessage(a))
	return &verdict{v1alpha1.ConditionFailed, v1alpha1.ReasonRestartsExceeded, message}
}

// onlyTakenAway says whether an attempt failed for no other reason than that its pods were taken away: Kubernetes counts
// a pod that someone deletes, and that does not end within its grace period, like one that failed.
func (a attempt) onlyTakenAway() bool {
	c := a.condition(batchv1.JobFailed)
	if c == nil || c.Reason == batchv1.JobReasonPodFailurePolicy || rejected(a.history()) != "" {
		return false
	}
	if _, _, found := culprit(a.history()); found {
		return false
	}
	for _, pod := range a.history() {
		if takenAway(pod) != "" {
			return true
		}
	}
	return false
}

// failureMessage says why an attempt failed: in the words of its pods if there are any, else in those of its Job.
func failureMessage(a attempt) string {
	if pod, end, ok := culprit(a.history()); ok {
		return lastWords(pod, end)
	}
	if text := rejected(a.history()); text != "" {
		return text
	}
	if a.onlyTakenAway() {
		return "its pods were taken away"
	}
	if c := a.condition(batchv1.JobFailed); c != nil && c.Message != "" {
		return c.Message
	}
	return "its pods left no message"
}
