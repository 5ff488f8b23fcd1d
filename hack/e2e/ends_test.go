package e2e

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

func TestComplete(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("plain"))
	w.expect(job, complete)
	for _, reason := range []string{"AttemptStarted", v1alpha1.ReasonTraining, v1alpha1.ReasonTrained} {
		w.awaitEvent(job, reason)
	}
	line := w.kubectl("get", "hrmjobs", job, "--no-headers")
	if !strings.Contains(line, "Complete") || !strings.Contains(line, fmt.Sprintf("%d/%d", totalSteps, totalSteps)) {
		t.Errorf("kubectl get hrmjobs prints %q", line)
	}
	w.kubectl("delete", "hrmjob", job)
	w.gone(job)
}

func TestTwoNodesComplete(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("gang").nodes(2).apart())
	w.await(job, v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonTraining)
	on := map[string]bool{}
	for _, pod := range w.pods(job) {
		on[pod.Spec.NodeName] = true
	}
	if len(on) != 2 {
		t.Errorf("the pods are on %v, want two nodes", on)
	}
	want := complete
	want.nodes = 2
	w.expect(job, want)
}

func TestActiveDeadline(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("late").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.ActiveDeadlineSeconds = new(int64(8)) }))
	w.expect(job, outcome{condition: v1alpha1.ConditionFailed, reason: v1alpha1.ReasonDeadlineExceeded, attempts: 1})
	w.awaitEvent(job, v1alpha1.ReasonDeadlineExceeded)
}

func TestTTL(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("brief").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.TTLSecondsAfterFinished = new(int32(1)) }))
	w.awaitStep(job, 10)
	w.gone(job)
	if got, err := lastCheckpoint(w.ctx, w.prefix(job)); err != nil || got.Step != totalSteps {
		t.Errorf("the checkpoint of a job that was cleared away: %+v, %v", got, err)
	}
}

func TestDeleteTheJob(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("unwanted"))
	w.awaitStep(job, 200)
	w.kubectl("delete", "hrmjob", job, "--wait=false")
	w.gone(job)
	got, err := lastCheckpoint(w.ctx, w.prefix(job))
	if err != nil || got.Step < 200 {
		t.Errorf("deleted at step 200 or later, the last checkpoint is %+v (%v)", got, err)
	}
}

func TestDeleteTheBatchJob(t *testing.T) {
	for _, how := range []string{"foreground", "background", "orphan"} {
		t.Run(how, func(t *testing.T) {
			w := begin(t)
			job := w.submit(smallJob("robbed"))
			w.awaitStep(job, 300)
			w.fault(job, func() { w.kubectl("delete", "job", job+"-1", "--cascade="+how, "--wait=false") })
			w.expect(job, resumed)
		})
	}
}

func TestDeleteAPod(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("bereft"))
	w.awaitStep(job, 300)
	w.fault(job, func() { w.kubectl("delete", "pod", w.runningPod(job, 0).Name, "--wait=false") })
	w.expect(job, disturbed)
}

func TestDeleteTheLastingChildren(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("lasting"))
	w.awaitStep(job, 100)
	for _, kind := range []string{"service", "configmap", "networkpolicy"} {
		w.kubectl("delete", kind, job)
		w.eventually("another "+kind, func() error {
			_, err := output(w.ctx, "", "kubectl", "-n", w.namespace, "get", kind, job)
			return err
		})
	}
	w.expect(job, complete)
}

func TestFinishedStaysFinished(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("done").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Training.Steps = new(int64(50)) }))
	w.await(job, v1alpha1.ConditionComplete, metav1.ConditionTrue, v1alpha1.ReasonTrained)
	w.kubectl("delete", "job", job+"-1")
	// A second job shows when the operator has had its say about the first.
	witness := w.submit(smallJob("witness").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Training.Steps = new(int64(10)) }))
	w.await(witness, v1alpha1.ConditionComplete, metav1.ConditionTrue, v1alpha1.ReasonTrained)
	if out := w.kubectl("get", "jobs", "-l", "hrm.dev/job="+job, "-o", "name"); strings.TrimSpace(out) != "" {
		t.Errorf("a finished job runs again: %s", out)
	}
	if s := w.job(job).Status; s.Attempts != 1 || s.State != v1alpha1.ConditionComplete {
		t.Errorf("status %+v", s)
	}
}
