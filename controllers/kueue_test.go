package controllers

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

// queue plays Kueue by its contract for a Job: while the Job is suspended it may change where its pods go, then it
// admits the Job by setting suspend to false; it evicts by setting suspend to true and putting the template back.
type queue struct{ *world }

func (q queue) admit(name, flavor string) {
	q.t.Helper()
	q.eventually(func() error {
		job := q.attempt(name)
		if !ptr.Deref(job.Spec.Suspend, false) {
			return fmt.Errorf("Job %s was not created suspended", name)
		}
		job.Spec.Template.Spec.NodeSelector = map[string]string{"flavor": flavor}
		job.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Key: flavor, Operator: corev1.TolerationOpExists}}
		job.Spec.Template.Labels["kueue.x-k8s.io/podset"] = "main"
		job.Spec.Suspend = ptr.To(false)
		return q.client.Update(q.ctx, job)
	})
}

func (q queue) evict(name string) {
	q.t.Helper()
	q.eventually(func() error {
		job := q.attempt(name)
		job.Spec.Suspend = ptr.To(true)
		return q.client.Update(q.ctx, job)
	})
	// The Job controller: it says that the Job is suspended, and forgets when it started.
	q.eventually(func() error {
		job := q.attempt(name)
		job.Status = batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobSuspended, Status: corev1.ConditionTrue, Reason: "JobSuspended"}}}
		return q.client.Status().Update(q.ctx, job)
	})
}

func TestKueue_admitsEvictsAndReadmits(t *testing.T) {
	w := newWorld(t, 1)
	q := queue{w}
	w.submit(builders.Job("queued").Nodes(2).MaxRestarts(0).Label(kueueQueueLabel, "gpus").Label(kueuePriorityLabel, "high"))
	attempt := w.attempt("queued-1")
	if attempt.Labels[kueueQueueLabel] != "gpus" || attempt.Labels[kueuePriorityLabel] != "high" {
		t.Errorf("labels %v", attempt.Labels)
	}
	w.awaitCondition("queued", v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonQueued)

	q.admit("queued-1", "spot")
	attempt = w.attempt("queued-1")
	for rank := range 2 {
		w.pod(attempt, builders.Pod(fmt.Sprintf("queued-1-%d-a", rank), rank).Running("10.0.0.1", time.Now()))
	}
	w.awaitCondition("queued", v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonPreparingDataset)

	q.evict("queued-1")
	w.endPods("queued", `{"step":3,"interruption":"Terminated","lastCheckpoint":{"uri":"s3://hrm/queued/3","step":3,"time":"2026-01-02T03:04:05Z"}}`)
	job := w.awaitCondition("queued", v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonQueued)
	w.eventually(func() error {
		if s := w.job("queued").Status; s.Disruptions != 1 || s.LastCheckpoint == nil {
			return fmt.Errorf("%d disruptions, last checkpoint %+v; want one and one", s.Disruptions, s.LastCheckpoint)
		}
		return nil
	})
	if job.Status.Restarts != 0 || job.Status.Attempts != 1 || endCondition(job.Status) != nil {
		t.Errorf("an eviction is no failure: %+v", job.Status)
	}

	q.admit("queued-1", "reserved")
	attempt = w.attempt("queued-1")
	for rank := range 2 {
		w.pod(attempt, builders.Pod(fmt.Sprintf("queued-1-%d-b", rank), rank).Running("10.0.0.1", time.Now()))
	}
	job = w.awaitCondition("queued", v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonPreparingDataset)
	if job.Status.Attempts != 1 || job.Status.Restarts != 0 || job.Status.Disruptions != 1 {
		t.Errorf("re-admitted: %+v", job.Status)
	}
	if got := w.attempt("queued-1").Spec.Template.Spec; got.NodeSelector["flavor"] != "reserved" || len(got.Tolerations) != 1 {
		t.Errorf("what the queue injected was changed: %+v", got)
	}
	for _, f := range w.attempt("queued-1").ManagedFields {
		if f.Manager == string(fieldOwner) && f.Operation == metav1.ManagedFieldsOperationUpdate && f.Subresource == "" && f.Time.After(attempt.CreationTimestamp.Add(2*time.Second)) {
			t.Errorf("the operator updated a Job of the queue: %+v", f)
		}
	}

	// The user's own suspension gives the Job up, and its place in the queue with it.
	w.change("queued", func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = new(true) })
	w.collect("queued-1")
	w.endPods("queued", `{"step":4,"interruption":"Terminated"}`)
	w.awaitCondition("queued", v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	w.change("queued", func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = new(false) })
	if !ptr.Deref(w.attempt("queued-2").Spec.Suspend, false) {
		t.Error("a resumed job does not wait in its queue")
	}
}

// endPods plays the kubelet and the Job controller: the pods that run save, exit with 75 and are gone.
func (w *world) endPods(name, message string) {
	w.t.Helper()
	var pods corev1.PodList
	if err := w.client.List(w.ctx, &pods, client.InNamespace(w.namespace), client.MatchingLabels{v1alpha1.JobLabel: name}); err != nil {
		w.t.Fatal(err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if hasEnded(*pod) {
			continue
		}
		pod.Status = builders.Pod("", 0).Exited(75, message, time.Now()).Obj().Status
		if err := w.client.Status().Update(w.ctx, pod); err != nil {
			w.t.Fatal(err)
		}
		if err := w.client.Delete(w.ctx, pod, client.GracePeriodSeconds(0)); err != nil {
			w.t.Fatal(err)
		}
	}
}
