package controllers

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// action is what a reconcile does to the world. There is at most one per reconcile; the next one sees its effect.
type action int

const (
	wait   action = iota // change nothing
	start                // create the Job of the next attempt
	stop                 // delete the Jobs that are alive
	remove               // delete the HRMTrainingJob itself
)

// plan is what a reconcile has decided.
type plan struct {
	action   action
	children bool          // keep Service, ConfigMap and NetworkPolicy as they should be
	next     record        // of the attempt to start
	verdict  *verdict      // set when the job is over
	stalled  bool          // the current attempt makes no progress
	after    time.Duration // look again then, even if nothing happens; zero for never
}

// verdict is how a job ended.
type verdict struct {
	condition, reason, message string
}

// decide chooses what to do about a job. The order is the precedence: what has ended stays ended, an end that no
// further attempt can change comes before every wish of the user, and only a job with nothing alive starts anything.
func decide(o observation) plan {
	if finished(o.job) {
		if o.alive() {
			return plan{action: stop}
		}
		return ttl(o)
	}
	if v := invalid(o.job); v != nil && !o.alive() {
		return plan{verdict: v}
	}
	if p, over := ending(o); over {
		return p
	}
	left, hasDeadline := deadlineLeft(o)
	if hasDeadline && left <= 0 {
		return deadline(o)
	}
	p := pursue(o)
	if left, due := hintLeft(o); due && p.action == wait && p.verdict == nil {
		p.after = sooner(p.after, left)
	}
	if hasDeadline && p.verdict == nil {
		p.after = sooner(p.after, left)
	}
	return p
}

// pursue decides for a job that is not over.
func pursue(o observation) plan {
	if suspendWanted(o.job) {
		return suspend(o)
	}
	if o.alive() {
		return stall(o)
	}
	return restart(o)
}

// sooner is the earlier of two moments to look again, of which zero is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b < a {
		return b
	}
	return a
}

// ending recognises an attempt that decides the job. Nothing is called over while a pod may still run.
//
//	it completed:                       the job is complete
//	it failed, and would fail again:    the job failed, with the exit code's reason
//	it failed, and no restart is left:  the job failed
func ending(o observation) (plan, bool) {
	current, ok := o.current()
	switch {
	case !ok || !current.finished() || stallRecorded(o) && current.failed():
		return plan{}, false
	case o.alive():
		return plan{children: true}, true
	case current.complete():
		return plan{verdict: &verdict{v1alpha1.ConditionComplete, v1alpha1.ReasonTrained, trainedMessage(o)}}, true
	}
	if v := fatalVerdict(current); v != nil {
		return plan{verdict: v}, true
	}
	if v := exhaustedVerdict(o, current); v != nil {
		return plan{verdict: v}, true
	}
	return plan{}, false
}

// trained is the message of a job that made all its steps.
const trained = "the model is trained"

// trainedMessage says that a job is complete and, if its process says so, why it is before its last step.
func trainedMessage(o observation) string {
	if o.report == nil || o.report.EndedEarly == "" {
		return trained
	}
	return fmt.Sprintf("%s, and ended early at step %d: %s", trained, o.report.Step, clip(o.report.EndedEarly, maxStatusMessage))
}

// finished says whether the job's status already says how it ended.
func finished(job *v1alpha1.HRMTrainingJob) bool {
	_, ok := finishTime(job)
	return ok
}

// finishTime is when the job ended.
func finishTime(job *v1alpha1.HRMTrainingJob) (time.Time, bool) {
	c := endCondition(job.Status)
	if c == nil {
		return time.Time{}, false
	}
	return c.LastTransitionTime.Time, true
}

// endCondition is the condition that says how a job ended, nil while it has not.
func endCondition(status v1alpha1.HRMTrainingJobStatus) *metav1.Condition {
	for _, kind := range []string{v1alpha1.ConditionComplete, v1alpha1.ConditionFailed} {
		if c := meta.FindStatusCondition(status.Conditions, kind); c != nil && c.Status == metav1.ConditionTrue {
			return c
		}
	}
	return nil
}
