package e2e

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// wanting asks for one of a device besides what every job asks for. The image is named because the one with CUDA's libraries
// cannot be built everywhere, and is not needed to see no GPU.
func (j trainingJob) wanting(device corev1.ResourceName) trainingJob {
	return j.with(func(s *v1alpha1.HRMTrainingJobSpec) {
		s.Image, s.Template.Resources.Limits[device] = "hrm-trainer:dev", resource.MustParse("1")
	})
}

// The nodes say that they have a GPU, and have none: as where the runtime class is missing, the job must not train on the
// processor, nor try again.
func TestGPUNotVisible(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("blind").wanting(v1alpha1.GPU))
	w.expect(job, outcome{condition: v1alpha1.ConditionFailed, reason: v1alpha1.ReasonGPUNotVisible, attempts: 1, message: "libcuda.so.1 was not found"})
	w.awaitEvent(job, v1alpha1.ReasonGPUNotVisible)
	for _, words := range []string{"GPUNotVisible: pod blind-1-0", "spec.template.runtimeClassName"} {
		if message := w.job(job).Status.Message; !strings.Contains(message, words) {
			t.Errorf("the job's message %q does not say %q", message, words)
		}
	}
}

func TestGPUNotVisibleToTwo(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("blind").wanting(v1alpha1.GPU).nodes(2))
	w.expect(job, outcome{condition: v1alpha1.ConditionFailed, reason: v1alpha1.ReasonGPUNotVisible, attempts: 1, message: "libcuda.so.1 was not found"})
}

func TestGPUNoNodeOffers(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("hopeful").wanting("nvidia.com/mig-1g.10gb"))
	w.waits(job, v1alpha1.ReasonUnschedulable, "no node offers nvidia.com/mig-1g.10gb: its device plugin is not installed", "pod hopeful-1-0")
}

func TestRuntimeClassDoesNotExist(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("classy").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Template.RuntimeClassName = "no-such-class" }))
	w.eventually("a word about the runtime class", func() error {
		running := meta.FindStatusCondition(w.job(job).Status.Conditions, v1alpha1.ConditionRunning)
		if running == nil || running.Reason != v1alpha1.ReasonQueued || !strings.Contains(running.Message, "RuntimeClass no-such-class may not exist") {
			return fmt.Errorf("Running is %+v", running)
		}
		return nil
	})
}
