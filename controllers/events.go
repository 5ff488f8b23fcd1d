package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// maxEventNote is the API's bound on an event's note.
const maxEventNote = 1024

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

// notices compares two statuses and returns one event for every transition between them.
func notices(before, after v1alpha1.HRMTrainingJobStatus) []notice {
	var all []notice
	if after.Attempts > before.Attempts {
		note := fmt.Sprintf("attempt %d was started; restarts so far: %d", after.Attempts, after.Restarts)
		all = append(all, notice{corev1.EventTypeNormal, "AttemptStarted", "StartAttempt", note})
	}
	if after.Disruptions > before.Disruptions {
		note := fmt.Sprintf("%d pods were taken away and are replaced", after.Disruptions-before.Disruptions)
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

// transition is the event of a condition that changed. Changes that another event tells already have none.
func transition(c metav1.Condition) (notice, bool) {
	n := notice{corev1.EventTypeNormal, c.Reason, "Observe", clip(c.Message, maxEventNote)}
	if c.Type == v1alpha1.ConditionFailed || warnings[c.Reason] {
		n.kind = corev1.EventTypeWarning
	}
	switch c.Type {
	case v1alpha1.ConditionProgressing:
		return n, c.Reason == v1alpha1.ReasonStalled
	case v1alpha1.ConditionRunning:
		return n, c.Reason != v1alpha1.ReasonFinished && c.Reason != v1alpha1.ReasonSuspended
	case v1alpha1.ConditionSuspended:
		return n, c.Reason != reasonStopping
	}
	return n, true
}
