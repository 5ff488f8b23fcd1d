package controllers

import (
	"fmt"
	"time"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// deadlineLeft is the time until spec.activeDeadlineSeconds is over, counted from the start of the first attempt. It
// is false for a job that has no deadline or has not started.
func deadlineLeft(o observation) (time.Duration, bool) {
	seconds := o.job.Spec.ActiveDeadlineSeconds
	started := o.startTime()
	if seconds == nil || started.IsZero() {
		return 0, false
	}
	return started.Add(time.Duration(*seconds) * time.Second).Sub(o.now), true
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
		message:   fmt.Sprintf("the job was not trained within activeDeadlineSeconds (%d)", *o.job.Spec.ActiveDeadlineSeconds),
	}}
}
