package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

func TestPod_trainsOnTheDeviceThatItAsksFor(t *testing.T) {
	config := Config{TrainerImage: "trainer:1", GPUTrainerImage: "trainer-cuda:1", GPURuntimeClass: "nvidia"}
	tolerates := func(keys ...string) []corev1.Toleration {
		var all []corev1.Toleration
		for _, key := range keys {
			all = append(all, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
		}
		return all
	}
	type got struct {
		Device, Image string
		RuntimeClass  string // empty for the nodes' own
		Tolerations   []corev1.Toleration
	}
	own := corev1.Toleration{Key: "dedicated", Operator: corev1.TolerationOpExists}
	for _, c := range []struct {
		name string
		job  *builders.TrainingJob
		want got
	}{
		{"the processor without any", builders.Job("a"), got{Device: "cpu", Image: "trainer:1"}},
		{"or with none of them", builders.Job("a").Limit("nvidia.com/gpu", "0"), got{Device: "cpu", Image: "trainer:1"}},
		{"a GPU", builders.Job("a").Limit("nvidia.com/gpu", "1"),
			got{"cuda", "trainer-cuda:1", "nvidia", tolerates("nvidia.com/gpu")}},
		{"a part of a GPU", builders.Job("a").Limit("nvidia.com/mig-1g.10gb", "1"),
			got{"cuda", "trainer-cuda:1", "nvidia", tolerates("nvidia.com/mig-1g.10gb", "nvidia.com/gpu")}},
		{"a GPU that others use, too", builders.Job("a").Limit("nvidia.com/gpu.shared", "1"),
			got{"cuda", "trainer-cuda:1", "nvidia", tolerates("nvidia.com/gpu.shared", "nvidia.com/gpu")}},
		{"a GPU beside another device", builders.Job("a").Limit("nvidia.com/gpu", "1").Limit("rdma/hca", "1"),
			got{"cuda", "trainer-cuda:1", "nvidia", tolerates("nvidia.com/gpu", "rdma/hca")}},
		{"a GPU of the job's own wishes", builders.Job("a").Limit("nvidia.com/gpu", "1").Image("mine:2").RuntimeClass("kata").Tolerate(own).Tolerate(tolerates("nvidia.com/gpu")[0]),
			got{"cuda", "mine:2", "kata", append([]corev1.Toleration{own}, tolerates("nvidia.com/gpu")...)}},
		{"what it finds of another vendor's", builders.Job("a").Limit("amd.com/gpu", "2"),
			got{Device: "auto", Image: "trainer:1", Tolerations: tolerates("amd.com/gpu")}},
		{"the processor in a runtime class", builders.Job("a").RuntimeClass("gvisor"), got{Device: "cpu", Image: "trainer:1", RuntimeClass: "gvisor"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := podTemplate(c.job.Obj(), config, 1).Spec
			args := pod.Containers[0].Args
			have := got{
				Image: pod.Containers[0].Image, RuntimeClass: ptr.Deref(pod.RuntimeClassName, ""), Tolerations: pod.Tolerations,
				Device: args[slices.Index(args, "--device")+1],
			}
			if diff := cmp.Diff(c.want, have); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestPod_givesSeveralGPUsMemoryToShare(t *testing.T) {
	for n, want := range map[string]bool{"1": false, "8": true} {
		pod := podTemplate(builders.Job("a").Limit("nvidia.com/gpu", n).Obj(), Config{}, 1).Spec
		mounted := slices.ContainsFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == "/dev/shm" })
		inMemory := slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool {
			return v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumMemory
		})
		if mounted != want || inMemory != want {
			t.Errorf("%s GPUs: mounted %t, in memory %t, want %t", n, mounted, inMemory, want)
		}
	}
}

func TestPod_takesTheOneImageIfThereIsNoneForGPUs(t *testing.T) {
	pod := podTemplate(builders.Job("a").Limit("nvidia.com/gpu", "1").Obj(), Config{TrainerImage: "trainer:1"}, 1).Spec
	if pod.Containers[0].Image != "trainer:1" || pod.RuntimeClassName != nil {
		t.Errorf("image %s, runtime class %v", pod.Containers[0].Image, pod.RuntimeClassName)
	}
}

func TestPod_limitsDevicesThatAreOnlyRequested(t *testing.T) {
	job := builders.Job("a").Request("nvidia.com/gpu", "1").Request("cpu", "2").Obj()
	resources := podTemplate(job, Config{}, 1).Spec.Containers[0].Resources
	if limit := resources.Limits["nvidia.com/gpu"]; limit.String() != "1" || len(resources.Limits) != 1 {
		t.Errorf("limits %v, want one GPU only", resources.Limits)
	}
	if job.Spec.Template.Resources.Limits != nil {
		t.Error("the job itself was changed")
	}
}

func TestGPUFailure_failsTheJobAtOnce(t *testing.T) {
	const missing = "cuda device: libcuda.so.1 was not found"
	fatally := ended(batchv1.JobFailed, batchv1.JobReasonPodFailurePolicy, 0)
	says := func(code int32, failure string) *builders.PodBuilder {
		return builders.Pod("a-1-0", 0).On("n1").Exited(code, fmt.Sprintf(`{"failure":%q,"message":%q}`, failure, missing), noon)
	}
	for _, c := range []struct {
		name   string
		pods   []*builders.PodBuilder
		reason string
		says   []string
	}{
		{"no GPU is seen", []*builders.PodBuilder{says(78, "GPUNotVisible")}, "GPUNotVisible",
			[]string{"pod a-1-0 on node n1", "set spec.template.runtimeClassName", "NVIDIA's driver", missing}},
		{"nor in a runtime class", []*builders.PodBuilder{says(78, "GPUNotVisible").RuntimeClass("nvidia")}, "GPUNotVisible",
			[]string{"whether runtime class nvidia is", missing}},
		{"a GPU is seen and the image lacks libraries", []*builders.PodBuilder{says(78, "GPUNotUsable")}, "GPUNotUsable",
			[]string{"pod a-1-0 on node n1", "with image hrm", missing}},
		{"one of two sees none, the other one was ended for it", []*builders.PodBuilder{builders.Pod("a-1-1", 1).Exited(143, "", ago(1)), says(78, "GPUNotVisible")},
			"GPUNotVisible", []string{"pod a-1-0"}},
		{"another reason of the configuration", []*builders.PodBuilder{says(78, "")}, "ConfigError", []string{missing}},
		{"a word that means nothing", []*builders.PodBuilder{says(78, "Not A Reason")}, "ConfigError", []string{missing}},
		{"the word with another exit code", []*builders.PodBuilder{says(65, "GPUNotVisible")}, "DatasetError", []string{missing}},
	} {
		t.Run(c.name, func(t *testing.T) {
			job := builders.Job("a").Limit("nvidia.com/gpu", "1").MaxRestarts(3).Obj()
			o := observation{now: noon, job: job, attempts: []attempt{tried(job, 1, 0, fatally, with(c.pods...))}}
			status := nextStatus(o, decide(o), nil)
			failed := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionFailed)
			if failed == nil || failed.Status != metav1.ConditionTrue || failed.Reason != c.reason {
				t.Fatalf("condition %+v, want reason %s", failed, c.reason)
			}
			for _, words := range c.says {
				if !strings.Contains(failed.Message, words) {
					t.Errorf("%q does not say %q", failed.Message, words)
				}
			}
		})
	}
}

func TestScarceDevice_tellsNoneFromNoneLeft(t *testing.T) {
	const gpu, taken, none = "nvidia.com/gpu", "no node has nvidia.com/gpu left: others use it", "no node offers nvidia.com/gpu: its device plugin is not installed"
	for _, c := range []struct{ name, said, want string }{
		{"no node has any", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.", none},
		{"no node has any, nor the memory", "0/2 nodes are available: 2 Insufficient memory, 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.", none},
		{"others use them", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.", taken},
		{"others use that of the one node that has any", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.", taken},
		{"the nodes that have them are tainted", "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint {team: x}. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.", taken},
		{"a scheduler that says no more", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", taken},
		{"it is something else", "0/3 nodes are available: 3 Insufficient memory.", ""},
		{"of another name", "0/3 nodes are available: 3 Insufficient nvidia.com/gpumem.", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := *builders.Pod("a-1-0", 0).Limit(gpu, "1").Limit("memory", "1Gi").Obj()
			got := scarceDevice(pod, c.said)
			if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
				t.Errorf("says %q, want %q", got, c.want)
			}
		})
	}
}

func TestGPUJob_endsWhenItsPodSeesNoGPU(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("blind").Request("nvidia.com/gpu", "1").RuntimeClass("nvidia").MaxRestarts(3))
	attempt := w.attempt("blind-1")
	if limit := attempt.Spec.Template.Spec.Containers[0].Resources.Limits["nvidia.com/gpu"]; limit.String() != "1" {
		t.Errorf("the apiserver holds limit %s", limit.String())
	}
	w.pod(attempt, builders.Pod("blind-1-0", 0).Exited(78, `{"failure":"GPUNotVisible","message":"no libcuda.so.1"}`, time.Now()))
	w.finish("blind-1", batchv1.JobFailed, batchv1.JobReasonPodFailurePolicy)
	job := w.awaitCondition("blind", v1alpha1.ConditionFailed, metav1.ConditionTrue, v1alpha1.ReasonGPUNotVisible)
	if job.Status.Attempts != 1 || job.Status.Restarts != 0 || !strings.HasPrefix(job.Status.Message, "GPUNotVisible: pod blind-1-0") {
		t.Errorf("status %+v", job.Status)
	}
	w.awaitEvents("blind", "AttemptStarted", v1alpha1.ReasonGPUNotVisible)
}
