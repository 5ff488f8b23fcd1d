package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// resumed is the end of a job that was suspended once: a new attempt, and nothing held against it.
var resumed = outcome{condition: v1alpha1.ConditionComplete, reason: v1alpha1.ReasonTrained, attempts: 2}

func TestSuspendBeforeStart(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("early").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = new(true) }))
	w.await(job, v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	if pods := w.pods(job); len(pods) != 0 {
		t.Errorf("a job that was born suspended has %d pods", len(pods))
	}
	w.suspend(job, false)
	w.expect(job, complete)
}

func TestSuspendDuringDatasetBuilding(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("building").with(func(s *v1alpha1.HRMTrainingJobSpec) {
		s.Dataset.Subsample, s.Dataset.Augmentations = new(int32(2000)), 500
	}))
	w.await(job, v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonPreparingDataset)
	w.suspend(job, true)
	w.await(job, v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	w.nothingRuns(job)
	w.suspend(job, false)
	want := resumed
	want.otherModel = true // another dataset
	w.expect(job, want)
}

func TestSuspendDuringTraining(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("pause"))
	w.awaitStep(job, 300)
	asked := time.Now()
	w.fault(job, func() {
		w.suspend(job, true)
		w.await(job, v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
		if took, grace := time.Since(asked), 20*time.Second; took > grace+5*time.Second {
			t.Errorf("suspending took %s, the grace period is %s", took, grace)
		}
		w.nothingRuns(job)
		status := w.job(job).Status
		if c := status.LastCheckpoint; c == nil || c.Step < 300 || status.Progress.Step != c.Step {
			t.Errorf("suspended at step %d, but the last checkpoint is %+v", status.Progress.Step, c)
		}
		w.change(job, func(s *v1alpha1.HRMTrainingJobSpec) {
			s.Template.Resources.Requests[corev1.ResourceCPU] = resource.MustParse("60m")
		})
		w.suspend(job, false)
	})
	if got := w.runningPod(job, 0).Spec.Containers[0].Resources.Requests.Cpu().String(); got != "60m" {
		t.Errorf("the resumed pod requests %s of CPU, want what was set while suspended (60m)", got)
	}
	w.expect(job, resumed)
}

func TestSuspendAndResumeAtOnce(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("restless"))
	w.awaitStep(job, 200)
	for _, on := range []bool{true, false, true, false, true} {
		w.suspend(job, on)
	}
	w.await(job, v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	before := w.job(job).Status.Attempts
	w.suspend(job, false)
	want := complete
	want.attempts = before + 1
	w.expect(job, want)
}

func TestChangeNodesWhileSuspended(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("grow").apart())
	w.awaitStep(job, 300)
	err := cluster.client.Update(w.ctx, func() *v1alpha1.HRMTrainingJob { j := w.job(job); j.Spec.Nodes = 2; return j }())
	if err == nil || !strings.Contains(err.Error(), "set suspend to true first") {
		t.Errorf("changing nodes of a running job: got %v", err)
	}
	w.suspend(job, true)
	w.await(job, v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	w.change(job, func(s *v1alpha1.HRMTrainingJobSpec) { s.Nodes = 2 })
	w.suspend(job, false)
	w.eventually("a word about the other number of processes", func() error {
		said := w.logs(w.runningPod(job, 0))
		if !strings.Contains(said, "2 processes") && !strings.Contains(said, "1 to 2") {
			return fmt.Errorf("rank 0 says %q", said)
		}
		return nil
	})
	want := resumed
	want.otherModel = true
	w.expect(job, want)
	w.cost = "none: 1 node before, 2 after"
}
