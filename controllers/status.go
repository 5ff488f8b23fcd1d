package controllers

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// The API's bounds.
const (
	maxConditionMessage = 32768
	maxStatusMessage    = 256
)

// nextStatus computes the status from what was observed, what was decided and how applying that went. It is a pure
// function; a status that was lost is rebuilt by it.
func nextStatus(o observation, p plan, applyErr error) v1alpha1.HRMTrainingJobStatus {
	status := *o.job.Status.DeepCopy()
	status.ObservedGeneration = o.job.Generation
	if finished(o.job) {
		return status
	}
	if o.report != nil {
		figures(&status, *o.report, metav1.NewTime(o.now))
	}
	count(&status, o, p, applyErr)
	conditions(&status, o, p, applyErr)
	status.State = state(status.Conditions)
	status.Message = summary(status)
	return status
}

// count keeps the books: attempts, restarts, disruptions, stalls and times.
func count(status *v1alpha1.HRMTrainingJobStatus, o observation, p plan, applyErr error) {
	b := countDisruptions(o)
	status.Disruptions, status.DisruptionReasons, status.DisruptedPods = b.total, b.reasons, b.pods
	status.ActiveSince = moment(o.activeSince())
	if current, ok := o.current(); ok {
		status.Attempts = max(status.Attempts, current.number)
		status.Restarts = max(status.Restarts, current.restarts)
		status.Stalls = max(status.Stalls, current.stalls)
	}
	if p.stalled {
		recordStall(status, o)
	}
	if started := o.startTime(); status.StartTime == nil {
		status.StartTime = moment(started)
	}
	if p.action == start && applyErr == nil {
		status.Attempts, status.Restarts, status.Stalls = p.next.number, p.next.restarts, p.next.stalls
		status.StartTime, status.ActiveSince = moment(p.next.started), moment(p.next.active)
		status.DisruptedPods = nil
	}
	if suspendWanted(o.job) && !o.alive() && p.verdict == nil {
		status.ActiveSince = nil
	}
	if p.verdict != nil {
		status.CompletionTime = moment(o.now)
	}
}

// moment is a time of the status, nil for none.
func moment(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t}
}

// conditions sets those of the five that say anything: Complete and Failed appear when they are true, Suspended when
// it was asked for first.
func conditions(status *v1alpha1.HRMTrainingJobStatus, o observation, p plan, applyErr error) {
	set := func(kind string, is metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: kind, Status: is, Reason: reason, Message: clip(message, maxConditionMessage),
			ObservedGeneration: o.job.Generation, LastTransitionTime: metav1.NewTime(o.now),
		})
	}
	if p.verdict != nil {
		set(p.verdict.condition, metav1.ConditionTrue, p.verdict.reason, p.verdict.message)
	}
	if is, reason, message, known := suspendedCondition(o, p); known {
		set(v1alpha1.ConditionSuspended, is, reason, message)
	}
	run, reason, message := runningCondition(o, p, applyErr)
	set(v1alpha1.ConditionRunning, run, reason, message)
	if progressing, reason, message, news := progressingCondition(o, p); news {
		set(v1alpha1.ConditionProgressing, progressing, reason, message)
	}
}

// suspendedCondition is true once nothing runs any more because the user wants it so.
func suspendedCondition(o observation, p plan) (status metav1.ConditionStatus, reason, message string, known bool) {
	known = meta.FindStatusCondition(o.job.Status.Conditions, v1alpha1.ConditionSuspended) != nil
	switch {
	case p.verdict != nil || !suspendWanted(o.job):
		return metav1.ConditionFalse, v1alpha1.ReasonResumed, "the job may run", known
	case o.alive():
		return metav1.ConditionFalse, v1alpha1.ReasonStopping, "pods are saving a checkpoint and stopping", true
	}
	return metav1.ConditionTrue, v1alpha1.ReasonSuspended, "set spec.suspend to false to resume from the last checkpoint", true
}

// runningCondition says whether every process of the job runs, and if not, what it is waiting for.
func runningCondition(o observation, p plan, applyErr error) (metav1.ConditionStatus, string, string) {
	current, found := o.current()
	switch {
	case p.verdict != nil:
		return metav1.ConditionFalse, v1alpha1.ReasonFinished, "the job is over"
	case applyErr != nil && permanent(applyErr):
		return metav1.ConditionFalse, v1alpha1.ReasonConfigError, applyErr.Error()
	case p.action == start && applyErr == nil:
		return metav1.ConditionFalse, v1alpha1.ReasonQueued, fmt.Sprintf("attempt %d was created and has no pods yet", p.next.number)
	case p.action == stop || found && current.stopping() || len(o.strays) > 0:
		return metav1.ConditionFalse, v1alpha1.ReasonStopping, stoppingMessage(o)
	case suspendWanted(o.job):
		return metav1.ConditionFalse, v1alpha1.ReasonSuspended, "the job is suspended"
	case found && current.failed():
		return metav1.ConditionFalse, v1alpha1.ReasonRestarting,
			fmt.Sprintf("attempt %d failed and is tried again soon: %s", current.number, failureMessage(current))
	case !found:
		return metav1.ConditionFalse, v1alpha1.ReasonQueued, "no attempt was created yet"
	}
	return attemptRunning(o, current)
}

// stoppingMessage says whose end is waited for.
func stoppingMessage(o observation) string {
	if current, ok := o.current(); ok {
		if t, stuck := podTrouble(o, current.pods); stuck && t.reason == v1alpha1.ReasonStopping {
			return t.message
		}
	}
	if len(o.strays) > 0 {
		return fmt.Sprintf("pod %s of an attempt whose Job is gone still runs; the next attempt waits for its end", o.strays[0].Name)
	}
	return "pods are stopping"
}

// attemptRunning speaks of an attempt that is alive and meant to be.
func attemptRunning(o observation, a attempt) (metav1.ConditionStatus, string, string) {
	if queued(a) {
		return metav1.ConditionFalse, v1alpha1.ReasonQueued, fmt.Sprintf("attempt %d waits to be admitted by queue %s", a.number, a.job.Labels[kueueQueueLabel])
	}
	if t, ok := podTrouble(o, a.pods); ok {
		return metav1.ConditionFalse, t.reason, t.message
	}
	if n, want := running(a.pods), nodes(o.job); n < want {
		if len(a.pods) == 0 {
			return metav1.ConditionFalse, v1alpha1.ReasonQueued, noPods(o, a)
		}
		return metav1.ConditionFalse, v1alpha1.ReasonStarting, fmt.Sprintf("%d of %d pods of attempt %d run", n, want, a.number)
	}
	if o.report == nil || o.report.Phase == progress.PreparingDataset || o.report.Phase == "" {
		return metav1.ConditionTrue, v1alpha1.ReasonPreparingDataset, fmt.Sprintf("attempt %d prepares its dataset", a.number)
	}
	return metav1.ConditionTrue, v1alpha1.ReasonTraining, fmt.Sprintf("attempt %d trains", a.number)
}

// queued says whether the attempt waits for a queue's admission: before it, and again when it was taken back.
func queued(a attempt) bool {
	return ptr.Deref(a.job.Spec.Suspend, false) && a.job.DeletionTimestamp == nil
}

// progressingCondition is false for an attempt that got no further within the progress deadline, until the next
// attempt starts. It stays as it is while nothing new is known.
func progressingCondition(o observation, p plan) (status metav1.ConditionStatus, reason, message string, news bool) {
	current, found := o.current()
	recorded := stallCondition(o.job) != nil
	switch {
	case p.verdict != nil && (p.verdict.condition == v1alpha1.ConditionComplete || !recorded):
		return metav1.ConditionFalse, v1alpha1.ReasonFinished, "the job is over", true
	case p.stalled && found:
		return metav1.ConditionFalse, v1alpha1.ReasonStalled, stallMessage(o, current.number), true
	case p.action == start:
		return metav1.ConditionTrue, v1alpha1.ReasonProgressing, fmt.Sprintf("attempt %d was started", p.next.number), true
	case recorded && (!found || !current.live() || stallRecorded(o)):
		return "", "", "", false
	case suspendWanted(o.job):
		return metav1.ConditionFalse, v1alpha1.ReasonSuspended, "the job is suspended", true
	}
	return metav1.ConditionTrue, v1alpha1.ReasonProgressing, "", true
}

// summary is the line that people see beside the state: why the job failed or ended early, or what keeps it from running.
func summary(status v1alpha1.HRMTrainingJobStatus) string {
	text := ""
	end := endCondition(status)
	run := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionRunning)
	switch {
	case end != nil && end.Type == v1alpha1.ConditionFailed:
		text = end.Reason + ": " + end.Message
	case end != nil:
		if end.Message != trained {
			text = end.Message
		}
	case status.State == v1alpha1.ReasonStalled:
		text = meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionProgressing).Message
	case run != nil && run.Status == metav1.ConditionFalse && run.Reason != v1alpha1.ReasonSuspended:
		text = run.Message
	}
	return clip(strings.ReplaceAll(text, "\n", " "), maxStatusMessage)
}

// state is the one word that people see: how the job ended, or what it is doing.
func state(conditions []metav1.Condition) string {
	for _, kind := range []string{v1alpha1.ConditionComplete, v1alpha1.ConditionFailed, v1alpha1.ConditionSuspended} {
		if meta.IsStatusConditionTrue(conditions, kind) {
			return kind
		}
	}
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionProgressing); c != nil && c.Reason == v1alpha1.ReasonStalled {
		return v1alpha1.ReasonStalled
	}
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionRunning); c != nil {
		return c.Reason
	}
	return v1alpha1.ReasonQueued
}

// permanent tells errors that a retry alone does not mend.
func permanent(err error) bool {
	var foreign *foreignError
	return errors.As(err, &foreign) || apierrors.IsInvalid(err) || apierrors.IsForbidden(err)
}

// clip shortens text to at most n bytes at a character's border.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

func nodes(job *v1alpha1.HRMTrainingJob) int32 { return max(1, job.Spec.Nodes) }

func maxRestarts(job *v1alpha1.HRMTrainingJob) int32 { return ptr.Deref(job.Spec.MaxRestarts, 0) }

func suspendWanted(job *v1alpha1.HRMTrainingJob) bool { return ptr.Deref(job.Spec.Suspend, false) }
