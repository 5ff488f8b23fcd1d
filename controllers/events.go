package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

const (
	// maxEventNote is the API's bound on an event's note.
	maxEventNote = 1024
	// maxEventName leaves room for a hash in an event's name.
	maxEventName = 200
	// reportingController is the operator's name in events.
	reportingController = "hrm.dev/hrm-operator"
)

// notice is an event to be.
type notice struct {
	kind, reason, action, note string
}

// warnings are the reasons that someone may have to do something about.
var warnings = map[string]bool{
	v1alpha1.ReasonUnschedulable: true,
	v1alpha1.ReasonImagePull:     true,
	v1alpha1.ReasonConfigError:   true,
	v1alpha1.ReasonRestarting:    true,
	v1alpha1.ReasonStalled:       true,
}

// send sends the events of a transition. That happens before the status is written which makes it past: an operator that
// dies in between is followed by one that finds the same transition and sends the same events again. Their names make
// the second time do nothing: they are made of the version of the job that the transition begins at.
func (r *Reconciler) send(ctx context.Context, job *v1alpha1.HRMTrainingJob, all []notice) error {
	for _, n := range all {
		err := r.Client.Create(ctx, r.event(job, n))
		switch {
		case err == nil, apierrors.IsAlreadyExists(err):
		case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsNotFound(err):
			// Trying again changes nothing, and the status must not wait for it.
			ctrl.LoggerFrom(ctx).Error(err, "an event was refused", "reason", n.reason, "note", n.note)
		default:
			return fmt.Errorf("send event %s of job %s: %w", n.reason, job.Name, err)
		}
	}
	return nil
}

// event names the event of the transition that begins at job.
func (r *Reconciler) event(job *v1alpha1.HRMTrainingJob, n notice) *eventsv1.Event {
	hash := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s/%s", job.UID, job.ResourceVersion, n.reason, n.action))
	name := strings.TrimRight(clip(job.Name, maxEventName), "-.") + "." + hex.EncodeToString(hash[:8])
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: job.Namespace, Name: name},
		EventTime:  metav1.NewMicroTime(r.Clock.Now()),
		Regarding: corev1.ObjectReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind,
			Namespace: job.Namespace, Name: job.Name, UID: job.UID, ResourceVersion: job.ResourceVersion,
		},
		Type: n.kind, Reason: n.reason, Action: n.action, Note: n.note,
		ReportingController: reportingController,
		ReportingInstance:   r.instance(),
	}
}

// instance is who says so.
func (r *Reconciler) instance() string {
	if r.Config.Instance == "" {
		return reportingController
	}
	return clip(r.Config.Instance, 128)
}

// notices compares two statuses and returns one event for every transition between them.
func notices(before, after v1alpha1.HRMTrainingJobStatus) []notice {
	var all []notice
	if after.Attempts > before.Attempts {
		note := fmt.Sprintf("attempt %d was started; restarts so far: %d", after.Attempts, after.Restarts)
		all = append(all, notice{corev1.EventTypeNormal, "AttemptStarted", "StartAttempt", note})
	}
	if after.Disruptions > before.Disruptions {
		note := fmt.Sprintf("pods were taken away and are replaced: %s; disruptions so far: %d", newDisruptions(before, after), after.Disruptions)
		all = append(all, notice{corev1.EventTypeNormal, "Disrupted", "ReplacePods", note})
	}
	for _, c := range after.Conditions {
		old := meta.FindStatusCondition(before.Conditions, c.Type)
		if old != nil && old.Status == c.Status && old.Reason == c.Reason {
			continue
		}
		if n, ok := transition(c); ok {
			all = append(all, n)
		}
	}
	return all
}

// newDisruptions names the reasons that were added.
func newDisruptions(before, after v1alpha1.HRMTrainingJobStatus) string {
	var names []string
	for reason := range addedDisruptions(before, after) {
		names = append(names, reason)
	}
	return strings.Join(names, ", ")
}

// addedDisruptions yields the reasons whose count rose, and by how much.
func addedDisruptions(before, after v1alpha1.HRMTrainingJobStatus) func(func(string, int32) bool) {
	return func(yield func(string, int32) bool) {
		for _, now := range after.DisruptionReasons {
			more := now.Count
			for _, then := range before.DisruptionReasons {
				if then.Reason == now.Reason {
					more -= then.Count
				}
			}
			if more > 0 && !yield(now.Reason, more) {
				return
			}
		}
	}
}

// transition is the event of a condition that changed. Changes that another event tells already have none.
func transition(c metav1.Condition) (notice, bool) {
	n := notice{corev1.EventTypeNormal, c.Reason, "Observe" + c.Type, clip(c.Message, maxEventNote)}
	if c.Type == v1alpha1.ConditionFailed || warnings[c.Reason] {
		n.kind = corev1.EventTypeWarning
	}
	switch c.Type {
	case v1alpha1.ConditionProgressing:
		return n, c.Reason == v1alpha1.ReasonStalled
	case v1alpha1.ConditionRunning:
		return n, c.Reason != v1alpha1.ReasonFinished && c.Reason != v1alpha1.ReasonSuspended
	case v1alpha1.ConditionSuspended:
		return n, c.Reason != v1alpha1.ReasonStopping
	}
	return n, true
}
