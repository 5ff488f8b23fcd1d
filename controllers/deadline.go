package controllers

import (
	"fmt"
	"time"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// deadlineLeft is the time until spec.activeDeadlineSeconds is over, counted from the start of the first attempt, or of
// the first one after a suspension: as for a Kubernetes Job, resuming starts the clock anew. It is false for a job that
// has no deadline, has not started, or is suspended.
func deadlineLeft(o observation) (time.Duration, bool) {
	seconds := o.job.Spec.ActiveDeadlineSeconds
	since := o.activeSince()
	if seconds == nil || since.IsZero() || suspendWanted(o.job) {
		return 0, false
	}
	return since.Add(time.Duration(*seconds) * time.Second).Sub(o.now), true
}

// deadline decides for a job whose deadline is over.
//
//	an attempt is alive: stop it, so that the job is not called failed while pods still train
//	none is:             the job failed
func deadline(o observation) plan {
	if o.alive() {
		return plan{action: stop}
	}
	return plan{verdict: &verdict{
		condition: v1alpha1.ConditionFailed,
		reason:    v1alpha1.ReasonDeadlineExceeded,
		message: fmt.Sprintf("the job was not trained within activeDeadlineSeconds (%d)%s",
			*o.job.Spec.ActiveDeadlineSeconds, reached(o.job.Status)),
	}}
}

// reached says how far a job has come that is given up.
func reached(status v1alpha1.HRMTrainingJobStatus) string {
	text := ""
	if p := status.Progress; p != nil && p.StepOfTotal != "" {
		text += "; it came to step " + p.StepOfTotal
	}
	if c := status.LastCheckpoint; c != nil {
		text += "; its last checkpoint is " + c.URI
	}
	return text
}
