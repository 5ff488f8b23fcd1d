package controllers

import (
	"time"
)

// ttl decides when a finished job is deleted.
//
//	unset:       never
//	not yet due: wait, and look again when it is
//	due:         remove
func ttl(o observation) plan {
	seconds := o.job.Spec.TTLSecondsAfterFinished
	finished, ok := finishTime(o.job)
	if seconds == nil || !ok {
		return plan{action: wait}
	}
	left := finished.Add(time.Duration(*seconds) * time.Second).Sub(o.now)
	if left > 0 {
		return plan{action: wait, after: left}
	}
	return plan{action: remove}
}
