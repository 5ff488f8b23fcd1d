package controllers

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// maxDisruptedPods is the API's bound on status.disruptedPods.
const maxDisruptedPods = 128

// books are the disruptions of a job so far.
type books struct {
	total   int32
	reasons []v1alpha1.DisruptionCount
	pods    []string // UIDs of the current attempt's pods that are accounted for
}

// countDisruptions continues the books with what the current attempt's pods show.
//
//	a pod was taken away:                   an incident begins
//	another of the same gang was as well:   it belongs to the incident, and so do those that only lost their peer
//	peers lost each other and are all back: an incident of the network
//	the operator stops the attempt itself:  nothing is counted
//
// Pods are told apart by their UIDs, which the status keeps, so that an incident is counted once however often and by
// whomever it is looked at. Times that are compared are all creation times: one clock, the apiserver's.
func countDisruptions(o observation) books {
	current, ok := o.current()
	if !ok || o.stoppedByUs(current) {
		return booksOf(o.job.Status)
	}
	b := booksOf(o.job.Status)
	if o.job.Status.Attempts < current.number {
		// The status is older than the attempt, or lost: the attempt's Job remembers what was before it.
		b = books{total: max(b.total, current.disruptions), reasons: b.reasons}
	}
	history := current.history()
	slices.SortStableFunc(history, older)
	for i := range history {
		if reason := takenAway(history[i]); reason != "" {
			if reason == v1alpha1.DisruptionDeleted && ptr.Deref(current.job.Spec.Suspend, false) {
				reason = v1alpha1.DisruptionQueue
			}
			b.account(history, i, reason)
		}
	}
	for i := range history {
		if lostPeer(history[i]) && allBack(current.pods, nodes(o.job), history[i]) {
			b.account(history, i, v1alpha1.DisruptionPeerLost)
		}
	}
	b.trim(history)
	return b
}

// allBack says whether every member of a gang runs in a pod that is newer than one that lost its peer. An older one may
// be the lost peer itself, whose end its node has not reported yet.
func allBack(pods []corev1.Pod, nodes int32, lost corev1.Pod) bool {
	return running(pods) == nodes && !slices.ContainsFunc(pods, func(pod corev1.Pod) bool {
		return pod.Status.Phase == corev1.PodRunning && !lost.CreationTimestamp.Before(&pod.CreationTimestamp)
	})
}

func booksOf(status v1alpha1.HRMTrainingJobStatus) books {
	return books{
		total:   status.Disruptions,
		reasons: slices.Clone(status.DisruptionReasons),
		pods:    slices.Clone(status.DisruptedPods),
	}
}

// account counts the end of history[i], unless it is part of an incident that was counted.
func (b *books) account(history []corev1.Pod, i int, reason string) {
	if b.has(history[i]) {
		return
	}
	known := slices.ContainsFunc(history, func(pod corev1.Pod) bool { return b.has(pod) && together(history, history[i], pod) })
	b.pods = append(b.pods, string(history[i].UID))
	for _, pod := range history {
		if lostPeer(pod) && !b.has(pod) && together(history, history[i], pod) {
			b.pods = append(b.pods, string(pod.UID))
		}
	}
	if known {
		return
	}
	b.total++
	for k := range b.reasons {
		if b.reasons[k].Reason == reason {
			b.reasons[k].Count++
			return
		}
	}
	b.reasons = append(b.reasons, v1alpha1.DisruptionCount{Reason: reason, Count: 1})
}

func (b *books) has(pod corev1.Pod) bool { return slices.Contains(b.pods, string(pod.UID)) }

// trim keeps those UIDs that can still be met, the newest if there are too many.
func (b *books) trim(history []corev1.Pod) {
	b.pods = slices.DeleteFunc(b.pods, func(uid string) bool {
		return !slices.ContainsFunc(history, func(pod corev1.Pod) bool { return string(pod.UID) == uid })
	})
	if over := len(b.pods) - maxDisruptedPods; over > 0 {
		b.pods = b.pods[over:]
	}
}

// together says whether two pods were members of one gang: each was made before the other one's successor.
func together(history []corev1.Pod, a, b corev1.Pod) bool {
	if completionIndex(a) == completionIndex(b) {
		return false
	}
	return madeBeforeSuccessor(history, a, b) && madeBeforeSuccessor(history, b, a)
}

func madeBeforeSuccessor(history []corev1.Pod, a, of corev1.Pod) bool {
	at := slices.IndexFunc(history, func(pod corev1.Pod) bool { return pod.UID == of.UID })
	for _, next := range history[at+1:] {
		if completionIndex(next) == completionIndex(of) {
			return a.CreationTimestamp.Before(&next.CreationTimestamp)
		}
	}
	return true
}

// older orders pods by their creation; those of one second by whether they have ended.
func older(a, b corev1.Pod) int {
	return cmp.Or(
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(livingLast(a), livingLast(b)),
		cmp.Compare(a.Name, b.Name),
	)
}

func livingLast(pod corev1.Pod) int {
	if hasEnded(pod) || pod.DeletionTimestamp != nil {
		return 0
	}
	return 1
}

// disruptionReasons translates what Kubernetes says in the condition DisruptionTarget.
var disruptionReasons = map[string]string{
	"EvictionByEvictionAPI":  v1alpha1.DisruptionEvicted,
	"PreemptionByScheduler":  v1alpha1.DisruptionPreempted,
	"DeletionByTaintManager": v1alpha1.DisruptionNodeLost,
	"DeletionByPodGC":        v1alpha1.DisruptionNodeLost,
	"TerminationByKubelet":   v1alpha1.DisruptionNodePressure,
}

// takenAway says why a pod's place was taken away, or nothing if it was not. A pod that never ran lost nothing; one that
// is still saving has not ended.
func takenAway(pod corev1.Pod) string {
	if pod.Status.Phase != corev1.PodFailed {
		return ""
	}
	end := terminated(pod)
	if end != nil && fatal(end.ExitCode) {
		return ""
	}
	if c := disruptionTarget(pod); c != nil {
		return cmp.Or(disruptionReasons[c.Reason], v1alpha1.DisruptionEvicted)
	}
	switch {
	case lostPeer(pod) || outOfMemory(end):
		return ""
	case pod.DeletionTimestamp == nil:
		if end == nil || end.ExitCode != exitInterrupted {
			return ""
		}
		if overStorage(pod) {
			return v1alpha1.DisruptionStorageLimit
		}
		return v1alpha1.DisruptionInterrupted
	case end == nil || end.ExitCode == exitInterrupted || end.ExitCode == exitKilled || end.ExitCode == exitTerminated:
		return v1alpha1.DisruptionDeleted
	}
	return ""
}

// disruptionTarget is the condition by which Kubernetes says that it takes a pod away.
func disruptionTarget(pod corev1.Pod) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// lostPeer says whether a process stopped only because another one was lost.
func lostPeer(pod corev1.Pod) bool {
	end := terminated(pod)
	if end == nil || end.ExitCode != exitInterrupted || disruptionTarget(pod) != nil {
		return false
	}
	report, ok := progress.Parse([]byte(end.Message))
	return ok && report.Interruption == progress.PeerLost
}

// disrupted says whether a pod ended for a reason that is not its own.
func disrupted(pod corev1.Pod) bool { return takenAway(pod) != "" || lostPeer(pod) }

// hasEnded says whether nothing of a pod runs any more.
func hasEnded(pod corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}
