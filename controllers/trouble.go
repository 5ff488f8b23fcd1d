package controllers

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// hintAfter is how long an attempt may wait for what usually takes seconds before its status says where to look.
const hintAfter = 30 * time.Second

// trouble is why a pod is not running.
type trouble struct {
	reason, message string
}

// podTrouble looks for what keeps a pod from running, or for the first of them that has any.
func podTrouble(o observation, pods []corev1.Pod) (trouble, bool) {
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil {
			if t, ok := stuckTerminating(pod, o.now); ok {
				return t, true
			}
			continue
		}
		if pod.Status.Phase != corev1.PodPending {
			continue
		}
		if t, ok := schedulingTrouble(pod); ok {
			return t, true
		}
		for _, container := range pod.Status.ContainerStatuses {
			if t, ok := waitingTrouble(pod.Name, container.State.Waiting); ok {
				return t, true
			}
		}
	}
	return slowStart(o, pods)
}

func schedulingTrouble(pod corev1.Pod) (trouble, bool) {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			message := fmt.Sprintf("pod %s finds no node: %s", pod.Name, c.Message) + wishes(pod)
			if why := scarceDevice(pod, c.Message); why != "" {
				message = why + ": " + message
			}
			return trouble{v1alpha1.ReasonUnschedulable, message}, true
		}
	}
	return trouble{}, false
}

// wishes names what of the job's template a node must satisfy.
func wishes(pod corev1.Pod) string {
	text := ""
	if len(pod.Spec.NodeSelector) > 0 {
		text += fmt.Sprintf("; spec.template.nodeSelector wants %v", pod.Spec.NodeSelector)
	}
	limits := trainerOf(pod).Resources.Limits
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if quantity := limits[name]; name != corev1.ResourceCPU && name != corev1.ResourceMemory {
			text += fmt.Sprintf("; it wants %s of %s", quantity.String(), name)
		}
	}
	return text
}

// waitingTrouble tells a container that cannot start from one that is about to.
func waitingTrouble(pod string, waiting *corev1.ContainerStateWaiting) (trouble, bool) {
	if waiting == nil {
		return trouble{}, false
	}
	message := fmt.Sprintf("pod %s: %s: %s", pod, waiting.Reason, waiting.Message)
	switch waiting.Reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed":
		return trouble{v1alpha1.ReasonImagePull, message}, true
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError":
		return trouble{v1alpha1.ReasonConfigError, message}, true
	}
	return trouble{}, false
}

// stuckTerminating recognises a pod whose end nobody reports, long after its grace period: its node is likely lost.
// The times are both the apiserver's except for now, whose error only moves the hint.
func stuckTerminating(pod corev1.Pod, now time.Time) (trouble, bool) {
	if hasEnded(pod) || now.Before(pod.DeletionTimestamp.Add(hintAfter)) {
		return trouble{}, false
	}
	return trouble{v1alpha1.ReasonStopping, fmt.Sprintf(
		"pod %s should have ended at %s and node %s does not say that it has: if the node is gone for good, delete the Node, or the pod with --force",
		pod.Name, pod.DeletionTimestamp.UTC().Format(time.RFC3339), pod.Spec.NodeName)}, true
}

// slowStart recognises containers that are being created for long: a volume that cannot be mounted shows in events only.
func slowStart(o observation, pods []corev1.Pod) (trouble, bool) {
	for _, pod := range pods {
		if !slowlyCreated(pod, o.now) {
			continue
		}
		if o.missingCA != "" {
			return trouble{v1alpha1.ReasonConfigError, o.missingCA}, true
		}
		hint := ""
		if class := ptr.Deref(pod.Spec.RuntimeClassName, ""); class != "" {
			hint = fmt.Sprintf("; node %s may not know the handler of runtime class %s", pod.Spec.NodeName, class)
		}
		return trouble{v1alpha1.ReasonStarting, fmt.Sprintf("the container of pod %s is still being created%s; see why: kubectl describe pod %s --namespace %s",
			pod.Name, hint, pod.Name, pod.Namespace)}, true
	}
	return trouble{}, false
}

// slowlyCreated says whether a pod has a node and yet no container for long.
func slowlyCreated(pod corev1.Pod, now time.Time) bool {
	if pod.Status.Phase != corev1.PodPending || pod.DeletionTimestamp != nil || now.Before(pod.CreationTimestamp.Add(hintAfter)) {
		return false
	}
	for _, container := range pod.Status.ContainerStatuses {
		if w := container.State.Waiting; w != nil && w.Reason == "ContainerCreating" {
			return true
		}
	}
	return false
}

// noPods says what an attempt without pods waits for. What keeps the Job controller from making them, such as a quota,
// a pod security standard or a runtime class that does not exist, is told in events of the Job only, which the operator does
// not read.
func noPods(o observation, a attempt) string {
	text := fmt.Sprintf("attempt %d has no pods yet", a.number)
	if o.now.Before(a.job.CreationTimestamp.Add(hintAfter)) {
		return text
	}
	if class := ptr.Deref(a.job.Spec.Template.Spec.RuntimeClassName, ""); class != "" {
		text += fmt.Sprintf("; RuntimeClass %s may not exist", class)
	}
	return text + fmt.Sprintf("; a quota or the namespace's pod security may forbid them: kubectl describe job %s --namespace %s", a.job.Name, a.job.Namespace)
}

// hintLeft is the time until the status can say more about what an attempt waits for.
func hintLeft(o observation) (time.Duration, bool) {
	current, ok := o.current()
	if !ok || !current.live() || queued(current) {
		return 0, false
	}
	var left time.Duration
	due := func(since time.Time) {
		if d := since.Add(hintAfter).Sub(o.now); d > 0 {
			left = sooner(left, d)
		}
	}
	if len(current.pods) == 0 {
		due(current.job.CreationTimestamp.Time)
	}
	for _, pod := range current.pods {
		switch {
		case hasEnded(pod):
		case pod.DeletionTimestamp != nil:
			due(pod.DeletionTimestamp.Time)
		case pod.Status.Phase == corev1.PodPending:
			due(pod.CreationTimestamp.Time)
		}
	}
	return left, left > 0
}
