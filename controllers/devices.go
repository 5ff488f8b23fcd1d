package controllers

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// deviceFlag is what a process is to compute on: with a GPU asked for that one and nothing else, with no device at all the
// processor, even if the node shows its GPUs to every pod. For devices that the trainer does not know it takes what it finds.
func deviceFlag(template v1alpha1.PodTemplate) string {
	switch {
	case template.GPUs() > 0:
		return "cuda"
	case len(template.Devices()) > 0:
		return "auto"
	}
	return "cpu"
}

// trainerImage is the job's own or the operator's: the one for GPUs holds CUDA's libraries besides.
func trainerImage(job *v1alpha1.HRMTrainingJob, config Config) string {
	switch {
	case job.Spec.Image != "":
		return job.Spec.Image
	case job.Spec.Template.GPUs() > 0 && config.GPUTrainerImage != "":
		return config.GPUTrainerImage
	}
	return config.TrainerImage
}

// runtimeClass is the job's own, or the operator's for GPUs; nil is the nodes' own runtime.
func runtimeClass(template v1alpha1.PodTemplate, config Config) *string {
	switch {
	case template.RuntimeClassName != "":
		return &template.RuntimeClassName
	case template.GPUs() > 0 && config.GPURuntimeClass != "":
		return &config.GPURuntimeClass
	}
	return nil
}

// podResources gives devices that stand in requests only their limit, which Kubernetes demands.
func podResources(template v1alpha1.PodTemplate) corev1.ResourceRequirements {
	all := *template.Resources.DeepCopy()
	for _, name := range template.Devices() {
		if _, limited := all.Limits[name]; !limited {
			if all.Limits == nil {
				all.Limits = corev1.ResourceList{}
			}
			all.Limits[name] = all.Requests[name]
		}
	}
	return all
}

// podTolerations adds to the job's own those of the devices that it asks for: nodes with devices are often tainted with their
// name, so that nothing else takes their place. Parts of GPUs are on nodes that are tainted as whole ones are.
func podTolerations(template v1alpha1.PodTemplate) []corev1.Toleration {
	keys := template.Devices()
	if template.GPUs() > 0 && !slices.Contains(keys, v1alpha1.GPU) {
		keys = append(keys, v1alpha1.GPU)
	}
	all := slices.Clone(template.Tolerations)
	for _, key := range keys {
		add := corev1.Toleration{Key: string(key), Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}
		if !slices.Contains(all, add) {
			all = append(all, add)
		}
	}
	return all
}

// gpuFailure is the reason for which a process that was told to use a GPU ended, and what to do. What a process says of itself
// is believed only as far as the operator knows the word.
func gpuFailure(pod corev1.Pod, end *corev1.ContainerStateTerminated) (reason, message string, ok bool) {
	report, ok := progress.Parse([]byte(end.Message))
	if !ok || end.ExitCode != exitConfiguration {
		return "", "", false
	}
	switch report.Failure {
	case progress.GPUNotVisible:
		return v1alpha1.ReasonGPUNotVisible, fmt.Sprintf("pod %s on node %s does not see the GPU that it asks for: %s. It says: %s",
			pod.Name, pod.Spec.NodeName, visibilityRemedy(pod), report.Message), true
	case progress.GPUNotUsable:
		return v1alpha1.ReasonGPUNotUsable, fmt.Sprintf("pod %s on node %s cannot use its GPU with image %s: %s",
			pod.Name, pod.Spec.NodeName, trainerOf(pod).Image, report.Message), true
	}
	return "", "", false
}

// visibilityRemedy says where to look if a container is started without the GPU that Kubernetes counted for it.
func visibilityRemedy(pod corev1.Pod) string {
	if class := ptr.Deref(pod.Spec.RuntimeClassName, ""); class != "" {
		return fmt.Sprintf("see whether the node has NVIDIA's driver, and whether runtime class %s is the NVIDIA container runtime's", class)
	}
	return "set spec.template.runtimeClassName to the NVIDIA container runtime's (kubectl get runtimeclasses), or see whether the node has NVIDIA's driver"
}

var (
	nodesLooked = regexp.MustCompile(`^0/(\d+) nodes are available`)
	notHelpful  = regexp.MustCompile(`(\d+) Preemption is not helpful for scheduling`)
)

// scarceDevice explains the scheduler's words about a device. That no pod's end would help, on any node, means that no node has
// so much of it at all.
func scarceDevice(pod corev1.Pod, said string) string {
	limits := trainerOf(pod).Resources.Limits
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		insufficient := regexp.MustCompile(`(\d+) Insufficient ` + regexp.QuoteMeta(string(name)) + `[.,]`).FindStringSubmatch(said)
		if insufficient == nil || !v1alpha1.IsDevice(name) {
			continue
		}
		looked, hopeless := nodesLooked.FindStringSubmatch(said), notHelpful.FindStringSubmatch(said)
		if looked != nil && hopeless != nil && looked[1] == insufficient[1] && looked[1] == hopeless[1] {
			return fmt.Sprintf("no node offers %s: its device plugin is not installed, or does not run where the devices are", name)
		}
		return fmt.Sprintf("no node has %s left: others use it, or its device plugin does not run (kubectl describe nodes shows what they offer)", name)
	}
	return ""
}
