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
//	the last one stalled, and no restart is left: the job failed (ending has dealt with attempts that failed)
//	the last one failed or stalled:     start another, which uses up a restart, after a delay that doubles each time
//	the last one was stopped otherwise: start another, which uses up none (a suspended job was resumed, or someone
//	                                    deleted the Job)
func restart(o observation) plan {
	next := nextRecord(o)
	if limit := maxRestarts(o.job); next.restarts > limit {
		message := fmt.Sprintf("attempt %d stalled and maxRestarts (%d) is used up", next.number-1, limit)
		return plan{verdict: &verdict{v1alpha1.ConditionFailed, v1alpha1.ReasonStalled, message}}
	}
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
	next := record{
		number:      o.job.Status.Attempts + 1,
		restarts:    o.job.Status.Restarts,
		disruptions: disruptionsSoFar(o),
		started:     o.startTime(),
	}
	if next.started.IsZero() {
		next.started = o.now
	}
	current, ok := o.current()
	if ok {
		next.number = max(next.number, current.number+1)
		next.restarts = max(next.restarts, current.restarts)
	}
	if ok && current.failed() {
		// The failure of an attempt is counted once, however many uncounted attempts came after it.
		next.restarts = max(next.restarts, current.restarts+1)
	}
	if stalledBefore(o) {
		next.restarts++
	}
	return next
}

// restartDelayLeft is how long the next attempt has to wait: a cause that passes by itself, such as a store that is
// down, must not use up all restarts within seconds.
func restartDelayLeft(o observation, next record) time.Duration {
	current, ok := o.current()
	if !ok || !current.failed() || o.backoff <= 0 {
		return 0
	}
	delay := o.backoff
	for n := int32(1); n < next.restarts && delay < maxRestartDelay; n++ {
		delay *= 2
	}
	delay = min(delay, maxRestartDelay)
	return current.condition(batchv1.JobFailed).LastTransitionTime.Add(delay).Sub(o.now)
}

// disruptionsSoFar counts disrupted pods over all attempts. Pods that are gone are remembered by the status, and by
// the Jobs that came after them. Pods that the operator itself is stopping do not count.
func disruptionsSoFar(o observation) int32 {
	n := o.job.Status.Disruptions
	if current, ok := o.current(); ok && current.job.DeletionTimestamp == nil && !suspendWanted(o.job) {
		n = max(n, current.disruptions+disruptions(current.pods))
	}
	return n
}

// fatalVerdict recognises an attempt that failed in a way that no other attempt can mend.
func fatalVerdict(a attempt) *verdict {
	byPolicy := a.condition(batchv1.JobFailed).Reason == batchv1.JobReasonPodFailurePolicy
	pod, end, ok := culprit(a.pods)
	if !ok {
		if !byPolicy {
			return nil
		}
		return &verdict{v1alpha1.ConditionFailed, v1alpha1.ReasonConfigError, a.condition(batchv1.JobFailed).Message}
	}
	if !fatal(end.ExitCode) {
		return nil
	}
	return &verdict{v1alpha1.ConditionFailed, fatalReason(end.ExitCode), lastWords(pod.Name, end)}
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
	if a.restarts < limit {
		return nil
	}
	message := fmt.Sprintf("attempt %d failed and maxRestarts (%d) is used up: %s", a.number, limit, failureMessage(a))
	return &verdict{v1alpha1.ConditionFailed, v1alpha1.ReasonRestartsExceeded, message}
}

// failureMessage says why an attempt failed: in the words of its pods if there are any, else in those of its Job.
func failureMessage(a attempt) string {
	if pod, end, ok := culprit(a.pods); ok {
		return lastWords(pod.Name, end)
	}
	if c := a.condition(batchv1.JobFailed); c != nil && c.Message != "" {
		return c.Message
	}
	return "its pods left no message"
}
