package controllers

import (
	"fmt"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// Exit codes of a training process. They are a contract with the trainer: 0 is trained, and any code that is not
// named here ends the attempt.
const (
	exitUsage         = 64 // the command line is wrong
	exitData          = 65 // the dataset is wrong
	exitInterrupted   = 75 // a checkpoint was saved on SIGTERM, or a peer was lost
	exitConfiguration = 78 // the job's spec is wrong
)

// fatalExitCodes are those after which another attempt would end the same way.
var fatalExitCodes = []int32{exitUsage, exitData, exitConfiguration}

// trouble is why a pod is not running.
type trouble struct {
	reason, message string
}

// podTrouble looks for what keeps a pod from running, or for the first of them that has any.
func podTrouble(pods []corev1.Pod) (trouble, bool) {
	for _, pod := range pods {
		if pod.Status.Phase != corev1.PodPending || pod.DeletionTimestamp != nil {
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
	return trouble{}, false
}

func schedulingTrouble(pod corev1.Pod) (trouble, bool) {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return trouble{v1alpha1.ReasonUnschedulable, fmt.Sprintf("pod %s finds no node: %s", pod.Name, c.Message)}, true
		}
	}
	return trouble{}, false
}

// waitingTrouble tells a container that cannot start from one that is about to.
func waitingTrouble(pod string, waiting *corev1.ContainerStateWaiting) (trouble, bool) {
	if waiting == nil {
		return trouble{}, false
	}
	message := fmt.Sprintf("pod %s: %s: %s", pod, waiting.Reason, waiting.Message)
	switch waiting.Reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError":
		return trouble{v1alpha1.ReasonImagePull, message}, true
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError":
		return trouble{v1alpha1.ReasonConfigError, message}, true
	}
	return trouble{}, false
}

// running counts pods whose process runs.
func running(pods []corev1.Pod) int32 {
	var n int32
	for _, pod := range pods {
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			n++
		}
	}
	return n
}

// rankZero returns the newest running pod of completion index 0: the one that serves progress.
func rankZero(pods []corev1.Pod) (corev1.Pod, bool) {
	var found corev1.Pod
	ok := false
	for _, pod := range pods {
		if completionIndex(pod) != 0 || pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP == "" {
			continue
		}
		if !ok || found.CreationTimestamp.Before(&pod.CreationTimestamp) {
			found, ok = pod, true
		}
	}
	return found, ok
}

// completionIndex is a pod's rank, or -1 if it has none.
func completionIndex(pod corev1.Pod) int {
	n, err := strconv.Atoi(pod.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil {
		return -1
	}
	return n
}

// terminated returns the end of the training container, if it has ended.
func terminated(pod corev1.Pod) *corev1.ContainerStateTerminated {
	for _, container := range pod.Status.ContainerStatuses {
		if container.Name == trainerContainer {
			return container.State.Terminated
		}
	}
	return nil
}

// disrupted says whether a pod ended for a reason that is not its own: the cluster took its place away, or it stopped
// after saving because it was told to or because a peer was lost.
func disrupted(pod corev1.Pod) bool {
	if pod.Status.Phase != corev1.PodFailed {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	end := terminated(pod)
	return end != nil && end.ExitCode == exitInterrupted
}

// disruptions counts the disrupted pods.
func disruptions(pods []corev1.Pod) int32 {
	var n int32
	for _, pod := range pods {
		if disrupted(pod) {
			n++
		}
	}
	return n
}

// culprit returns the pod whose end explains a failed attempt: one with a fatal exit code, else the one that failed
// first. Pods that were merely disrupted explain nothing.
func culprit(pods []corev1.Pod) (corev1.Pod, *corev1.ContainerStateTerminated, bool) {
	var found corev1.Pod
	var why *corev1.ContainerStateTerminated
	for _, pod := range pods {
		end := terminated(pod)
		if end == nil || end.ExitCode == 0 || disrupted(pod) {
			continue
		}
		if why == nil || betterCulprit(end, why) {
			found, why = pod, end
		}
	}
	return found, why, why != nil
}

func betterCulprit(a, b *corev1.ContainerStateTerminated) bool {
	if fatal(a.ExitCode) != fatal(b.ExitCode) {
		return fatal(a.ExitCode)
	}
	return a.FinishedAt.Before(&b.FinishedAt)
}

func fatal(exitCode int32) bool {
	for _, code := range fatalExitCodes {
		if code == exitCode {
			return true
		}
	}
	return false
}

// lastWords says in one sentence how a container ended, with what the process had to say.
func lastWords(pod string, end *corev1.ContainerStateTerminated) string {
	said := end.Message
	if report, ok := progress.Parse([]byte(said)); ok {
		said = report.Message
	}
	how := fmt.Sprintf("pod %s exited with code %d", pod, end.ExitCode)
	if end.Reason != "" && end.Reason != "Error" {
		how += " (" + end.Reason + ")"
	}
	if said == "" {
		return how
	}
	return how + ": " + said
}

// finalReport is what rank 0 left in its termination message.
func finalReport(pods []corev1.Pod) (progress.Report, bool) {
	var newest *corev1.ContainerStateTerminated
	var report progress.Report
	for _, pod := range pods {
		end := terminated(pod)
		if completionIndex(pod) != 0 || end == nil || (newest != nil && end.FinishedAt.Before(&newest.FinishedAt)) {
			continue
		}
		if r, ok := progress.Parse([]byte(end.Message)); ok {
			newest, report = end, r
		}
	}
	return report, newest != nil
}
