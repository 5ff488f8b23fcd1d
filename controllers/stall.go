package controllers

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// stall decides for a job with an attempt alive.
//
//	it is not running, or has no progress deadline: wait
//	it stalled, and the status says so:             stop it; the next attempt uses up a restart
//	it stalled just now:                            say so first, so that a crash of the operator cannot lose the reason
//	it makes progress:                              wait, and look again when the deadline would be over
func stall(o observation) plan {
	p := plan{children: true}
	left, watched := progressLeft(o)
	switch {
	case !watched:
		return p
	case left > 0:
		p.after = left
		return p
	case stallRecorded(o):
		p.action = stop
	}
	p.stalled = true
	return p
}

// progressLeft is the time until the current attempt counts as stalled. Only running pods can stall: waiting for a
// node or an image is somebody else's time.
func progressLeft(o observation) (time.Duration, bool) {
	seconds := o.job.Spec.ProgressDeadlineSeconds
	current, ok := o.current()
	if !ok || seconds == nil || current.stopping() || running(current.pods) < nodes(o.job) {
		return 0, false
	}
	return lastProgress(o, current).Add(time.Duration(*seconds) * time.Second).Sub(o.now), true
}

// lastProgress is when the attempt last got further: its last step, or the start of its youngest process.
func lastProgress(o observation, current attempt) time.Time {
	var last time.Time
	for _, pod := range current.pods {
		if pod.Status.StartTime != nil && pod.Status.StartTime.After(last) {
			last = pod.Status.StartTime.Time
		}
	}
	if p := o.job.Status.Progress; p != nil && p.LastUpdate != nil && p.LastUpdate.After(last) {
		last = p.LastUpdate.Time
	}
	return last
}

// stallRecorded says whether the status already calls the current attempt stalled.
func stallRecorded(o observation) bool {
	current, ok := o.current()
	c := stallCondition(o.job)
	return ok && c != nil && c.LastTransitionTime.After(current.job.CreationTimestamp.Time)
}

// stalledBefore says whether the last attempt, whose Job is gone by now, was stopped because it stalled.
func stalledBefore(o observation) bool {
	c := stallCondition(o.job)
	if c == nil {
		return false
	}
	current, ok := o.current()
	return !ok || current.number < o.job.Status.Attempts
}

func stallCondition(job *v1alpha1.HRMTrainingJob) *metav1.Condition {
	c := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionProgressing)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonStalled {
		return nil
	}
	return c
}

// stallMessage says what did not happen.
func stallMessage(job *v1alpha1.HRMTrainingJob, attempt int32) string {
	return fmt.Sprintf("attempt %d made no progress within progressDeadlineSeconds (%d)", attempt, *job.Spec.ProgressDeadlineSeconds)
}
