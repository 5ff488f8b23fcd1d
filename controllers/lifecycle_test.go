package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

func TestSuspendedFromTheStart_createsNoJob(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("later").Suspend(true))
	w.awaitCondition("later", v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	if got := w.attempts(); len(got) != 0 {
		t.Errorf("Jobs %v of a job that was created suspended", got)
	}
	w.change("later", func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = new(false) })
	w.attempt("later-1")
}

func TestSuspended_changesTakeEffectWithTheNextAttempt(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("grown"))
	w.pod(w.attempt("grown-1"), builders.Pod("grown-1-0", 0).Running("10.0.0.1", time.Now()))
	w.change("grown", func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = new(true) })
	// While the pods are still stopping the user changes their number.
	w.change("grown", func(s *v1alpha1.HRMTrainingJobSpec) { s.Nodes = 2 })
	w.collect("grown-1")
	w.awaitCondition("grown", v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonStopping)
	w.endPods("grown", `{"step":5,"totalSteps":9,"interruption":"Terminated","lastCheckpoint":{"uri":"s3://hrm/grown/5","step":5,"time":"2026-01-02T03:04:05Z"}}`)
	job := w.awaitCondition("grown", v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	w.eventually(func() error {
		if c := w.job("grown").Status.LastCheckpoint; c == nil || c.Step != 5 {
			return fmt.Errorf("last checkpoint %+v, want that of the pod that stopped", c)
		}
		return nil
	})
	if job.Status.Disruptions != 0 || job.Status.Restarts != 0 {
		t.Errorf("%d disruptions, %d restarts; want none", job.Status.Disruptions, job.Status.Restarts)
	}
	w.change("grown", func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = new(false) })
	if got := *w.attempt("grown-2").Spec.Completions; got != 2 {
		t.Errorf("%d nodes, want 2", got)
	}
}

func TestSuspend_toggledQuicklyConverges(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("flip").MaxRestarts(0))
	w.attempt("flip-1")
	for _, on := range []bool{true, false, true} {
		w.change("flip", func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = &on })
	}
	gone := map[string]bool{}
	w.eventually(func() error {
		var jobs batchv1.JobList
		if err := w.client.List(w.ctx, &jobs, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		for i := range jobs.Items {
			if job := &jobs.Items[i]; job.DeletionTimestamp != nil {
				gone[job.Name], job.Finalizers = true, nil
				if err := w.client.Update(w.ctx, job); err != nil {
					return err
				}
			}
		}
		if job := w.job("flip"); job.Status.State != v1alpha1.ConditionSuspended || len(jobs.Items) > 0 {
			return fmt.Errorf("state %s with %d Jobs", job.Status.State, len(jobs.Items))
		}
		return nil
	})
	if s := w.job("flip").Status; s.Restarts != 0 || s.Attempts > 2 || int(s.Attempts) != len(gone) {
		t.Errorf("%d attempts, %d restarts, Jobs %v", s.Attempts, s.Restarts, gone)
	}
}

func TestJobDeletedWithItsPodsLeft_startsAgainOnlyAfterTheirEnd(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("adrift").MaxRestarts(0))
	attempt := w.attempt("adrift-1")
	// A pod with a node is not gone before its kubelet says so.
	w.pod(attempt, builders.Pod("adrift-1-0", 0).On("somewhere").Running("10.0.0.1", time.Now()))
	w.awaitCondition("adrift", v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonPreparingDataset)
	w.orphan(attempt)
	var pod corev1.Pod
	w.eventually(func() error {
		w.get("adrift-1-0", &pod)
		if pod.DeletionTimestamp == nil {
			return errors.New("the orphan goes on using its GPU")
		}
		return nil
	})
	w.awaitCondition("adrift", v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonStopping)
	if got := w.attempts(); len(got) != 0 {
		t.Errorf("attempts %v beside a pod that still runs", got)
	}
	if err := w.client.Delete(w.ctx, &pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	w.attempt("adrift-2")
	if s := w.job("adrift").Status; s.Restarts != 0 {
		t.Errorf("%d restarts", s.Restarts)
	}
}

func TestDeletedJob_leavesNoPodBehind(t *testing.T) {
	w := newWorld(t, 1)
	job := w.submit(builders.Job("ended"))
	attempt := w.attempt("ended-1")
	w.pod(attempt, builders.Pod("ended-1-0", 0).Running("10.0.0.1", time.Now()))
	w.remove(job)
	w.orphan(attempt)
	w.eventually(func() error {
		err := w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "ended-1-0"}, &corev1.Pod{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the pod is still there"), err)
	})
}

// The apiserver itself holds the Job controller to what Failed means here.
func TestKubernetes_callsNoJobFailedWhosePodsRun(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("ending").Nodes(2).MaxRestarts(0))
	attempt := w.attempt("ending-1")
	now := metav1.Now()
	failed := func(active, terminating int32) error {
		job := attempt.DeepCopy()
		job.Status = batchv1.JobStatus{StartTime: &now, Active: active, Terminating: &terminating, Failed: 1, Conditions: []batchv1.JobCondition{
			{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonPodFailurePolicy, LastTransitionTime: now},
			{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonPodFailurePolicy, LastTransitionTime: now},
		}}
		return w.client.Status().Update(w.ctx, job)
	}
	for _, c := range [][2]int32{{1, 0}, {0, 1}} {
		if err := failed(c[0], c[1]); !apierrors.IsInvalid(err) {
			t.Errorf("%d active and %d terminating pods in a failed Job: %v, want it refused", c[0], c[1], err)
		}
	}
	// And if it were otherwise, as before version 1.31, the pods tell.
	w.pod(attempt, builders.Pod("ending-1-0", 0).Exited(65, `{"step":0,"message":"line 7"}`, time.Now()))
	w.pod(attempt, builders.Pod("ending-1-1", 1).Running("10.0.0.1", time.Now()))
	if err := failed(0, 0); err != nil {
		t.Fatal(err)
	}
	job := w.awaitCondition("ending", v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonStopping)
	if c := endCondition(job.Status); c != nil {
		t.Errorf("over (%s) while a pod runs", c.Reason)
	}
	w.endPods("ending", `{"step":0,"interruption":"PeerLost"}`)
	w.awaitCondition("ending", v1alpha1.ConditionFailed, metav1.ConditionTrue, v1alpha1.ReasonDatasetError)
}

func TestMissingAuthority_isNamed(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("trusting").CA("authority"))
	pod := builders.Pod("trusting-1-0", 0).Waiting("ContainerCreating", "")
	w.pod(w.attempt("trusting-1"), pod)
	w.clock.shift(time.Minute)
	w.touch("trusting")
	job := w.awaitCondition("trusting", v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonConfigError)
	if !strings.Contains(job.Status.Message, "ConfigMap authority") || !strings.Contains(job.Status.Message, "create it with the key ca.crt") {
		t.Errorf("message %q", job.Status.Message)
	}
}

func TestTwoOperators_oneLeads(t *testing.T) {
	w := newWorldWithout(t)
	first := w.launch(operator{lead: true})
	second := w.launch(operator{lead: true})
	w.submit(builders.Job("led"))
	w.attempt("led-1")
	leader, other := first, second
	select {
	case <-second.elected:
		leader, other = second, first
	case <-first.elected:
	}
	select {
	case <-other.elected:
		t.Fatal("both lead")
	default:
	}
	leader.stop()
	w.finish("led-1", batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded)
	w.attempt("led-2")
	<-other.elected
	if got := w.attempts(); len(got) != 2 {
		t.Errorf("Jobs %v", got)
	}
}

func TestConflicts_doNotHoldAJobUp(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("stormy"))
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			var job v1alpha1.HRMTrainingJob
			if w.client.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: "stormy"}, &job) == nil {
				metav1.SetMetaDataAnnotation(&job.ObjectMeta, "storm", fmt.Sprint(i))
				_ = w.client.Update(ctx, &job)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	w.attempt("stormy-1")
	w.finish("stormy-1", batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded)
	w.attempt("stormy-2")
	w.finish("stormy-2", batchv1.JobComplete, batchv1.JobReasonCompletionsReached)
	job := w.awaitCondition("stormy", v1alpha1.ConditionComplete, metav1.ConditionTrue, v1alpha1.ReasonTrained)
	if job.Status.Attempts != 2 || job.Status.Restarts != 1 || len(w.attempts()) != 2 {
		t.Errorf("status %+v, Jobs %v", job.Status, w.attempts())
	}
}
