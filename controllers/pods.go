package controllers

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

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

	exitKilled     = 128 + 9  // by SIGKILL: out of memory, or still there when the grace period was over
	exitTerminated = 128 + 15 // by SIGTERM, before the process could handle it
)

// fatalExitCodes are those after which another attempt would end the same way.
var fatalExitCodes = []int32{exitUsage, exitData, exitConfiguration}

// active says whether any of the pods may still do something.
func active(pods []corev1.Pod) bool {
	return slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return !hasEnded(pod) })
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

// trainerOf returns the container that trains.
func trainerOf(pod corev1.Pod) corev1.Container {
	for _, c := range pod.Spec.Containers {
		if c.Name == v1alpha1.TrainerContainer {
			return c
		}
	}
	return corev1.Container{}
}

// terminated returns the end of the training container, if it has ended.
func terminated(pod corev1.Pod) *corev1.ContainerStateTerminated {
	for _, container := range pod.Status.ContainerStatuses {
		if container.Name == v1alpha1.TrainerContainer {
			return container.State.Terminated
		}
	}
	return nil
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
	return slices.Contains(fatalExitCodes, exitCode)
}

// lastWords says in one sentence how a container ended, with what the process had to say, or what to do.
func lastWords(pod corev1.Pod, end *corev1.ContainerStateTerminated) string {
	if outOfMemory(end) {
		return fmt.Sprintf("pod %s is out of memory: raise spec.template.resources.limits.memory (now %s) or lower training.globalBatchSize per node",
			pod.Name, limitOf(pod, corev1.ResourceMemory))
	}
	if overStorage(pod) {
		return fmt.Sprintf("pod %s was evicted: %s: raise spec.template.resources.limits.ephemeral-storage (now %s); datasets are built in it",
			pod.Name, strings.TrimRight(pod.Status.Message, ". "), limitOf(pod, corev1.ResourceEphemeralStorage))
	}
	said := end.Message
	if report, ok := progress.Parse([]byte(said)); ok {
		said = report.Message
	}
	how := fmt.Sprintf("pod %s exited with code %d", pod.Name, end.ExitCode)
	if end.Reason != "" && end.Reason != "Error" {
		how += " (" + end.Reason + ")"
	}
	if said == "" {
		return how
	}
	return how + ": " + said
}

// outOfMemory says whether the kernel killed a container for its memory.
func outOfMemory(end *corev1.ContainerStateTerminated) bool {
	return end != nil && end.Reason == "OOMKilled"
}

// overStorage says whether the kubelet ended a pod for what it wrote to its node's disk: an eviction that is not for the
// node's sake.
func overStorage(pod corev1.Pod) bool {
	return pod.Status.Reason == "Evicted" && terminated(pod) != nil && disruptionTarget(pod) == nil
}

func limitOf(pod corev1.Pod, resource corev1.ResourceName) string {
	if limit, ok := trainerOf(pod).Resources.Limits[resource]; ok {
		return limit.String()
	}
	return "unlimited, so the node has no more"
}

// rejected finds a pod that ended without ever starting its process, which happens when a kubelet refuses it.
func rejected(pods []corev1.Pod) string {
	for _, pod := range pods {
		if pod.Status.Phase == corev1.PodFailed && terminated(pod) == nil && !disrupted(pod) && pod.Status.Reason != "" {
			return fmt.Sprintf("pod %s was refused by its node: %s: %s", pod.Name, pod.Status.Reason, pod.Status.Message)
		}
	}
	return ""
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
