package controllers

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

func TestJob_becomesChildrenAndCompletes(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("sudoku").Credentials("s3").CA("authority"))

	var service corev1.Service
	w.get("sudoku", &service)
	var spec corev1.ConfigMap
	w.get("sudoku", &spec)
	var policy networkingv1.NetworkPolicy
	w.get("sudoku", &policy)
	attempt := w.attempt("sudoku-1")
	for _, child := range []client.Object{&service, &spec, &policy, attempt} {
		if owner := metav1.GetControllerOf(child); owner == nil || owner.Name != "sudoku" {
			t.Errorf("%T is owned by %v", child, owner)
		}
	}
	if _, err := v1alpha1.Load(strings.NewReader(spec.Data["job.yaml"])); err != nil {
		t.Errorf("pods cannot read the spec: %v", err)
	}
	w.awaitCondition("sudoku", v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonQueued)

	w.pod(attempt, builders.Pod("sudoku-1-0", 0).
		Exited(0, `{"step":12,"totalSteps":12,"loss":0.25,"evalExactAccuracy":0.5,"phase":"Done","lastCheckpoint":{"uri":"s3://hrm/sudoku/12","step":12,"time":"2026-01-02T03:04:05Z"}}`, time.Now()))
	w.finish("sudoku-1", batchv1.JobComplete, batchv1.JobReasonCompletionsReached)
	job := w.awaitCondition("sudoku", v1alpha1.ConditionComplete, metav1.ConditionTrue, v1alpha1.ReasonTrained)
	if job.Status.State != "Complete" || job.Status.CompletionTime == nil || job.Status.Attempts != 1 {
		t.Errorf("status %+v", job.Status)
	}
	if p := job.Status.Progress; p == nil || p.StepOfTotal != "12/12" || p.EvalExactAccuracy != "0.5" || p.Loss != "0.25" {
		t.Errorf("final figures %+v", p)
	}
	if c := job.Status.LastCheckpoint; c == nil || c.URI != "s3://hrm/sudoku/12" {
		t.Errorf("last checkpoint %+v", c)
	}
	w.awaitEvents("sudoku", "AttemptStarted", v1alpha1.ReasonTrained)
}

func TestFinishedJob_getsNoNewChildren(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("done"))
	attempt := w.attempt("done-1")
	w.finish("done-1", batchv1.JobComplete, batchv1.JobReasonCompletionsReached)
	w.awaitCondition("done", v1alpha1.ConditionComplete, metav1.ConditionTrue, v1alpha1.ReasonTrained)

	var service corev1.Service
	w.get("done", &service)
	w.remove(&service)
	w.remove(attempt)
	// A second job tells when the operator has had its say about the first.
	w.touch("done")
	w.submit(builders.Job("witness"))
	w.attempt("witness-1")
	if got := w.attempts(); len(got) != 1 || got[0] != "witness-1" {
		t.Errorf("Jobs %v, want witness-1 only", got)
	}
	if err := w.client.Get(w.ctx, client.ObjectKeyFromObject(&service), &service); !apierrors.IsNotFound(err) {
		t.Errorf("the Service of a finished job came back (%v)", err)
	}
}

func TestLostChildren_comeBackWhileTheJobRuns(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("lasting"))
	w.attempt("lasting-1")
	for _, child := range []client.Object{&corev1.Service{}, &corev1.ConfigMap{}, &networkingv1.NetworkPolicy{}} {
		w.get("lasting", child)
		lost := child.GetUID()
		w.remove(child)
		w.eventually(func() error {
			if err := w.client.Get(w.ctx, client.ObjectKeyFromObject(child), child); err != nil {
				return err
			}
			if child.GetUID() == lost {
				return fmt.Errorf("%T is still the old one", child)
			}
			return nil
		})
	}
}

func TestChildren_areWrittenOnlyWhenTheyDiffer(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("calm"))
	attempt := w.attempt("calm-1")
	children := []client.Object{&corev1.Service{}, &corev1.ConfigMap{}, &networkingv1.NetworkPolicy{}}
	for _, child := range children {
		w.get("calm", child)
	}
	w.pod(attempt, builders.Pod("calm-1-0", 0).Running("127.0.0.1", time.Now()))
	w.awaitCondition("calm", v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonPreparingDataset)
	for _, child := range children {
		before := len(child.GetManagedFields())
		w.get("calm", child)
		if after := child.GetManagedFields(); len(after) != before || after[0].Operation != metav1.ManagedFieldsOperationUpdate {
			t.Errorf("%T was applied again: %v", child, after)
		}
	}

	var service corev1.Service
	w.get("calm", &service)
	service.Labels = nil
	if err := w.client.Update(w.ctx, &service); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		w.get("calm", &service)
		if service.Labels[v1alpha1.JobLabel] != "calm" {
			return fmt.Errorf("labels %v", service.Labels)
		}
		return nil
	})
}

func TestFailure_startsTheNextAttemptUntilRestartsAreUsedUp(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("fragile").MaxRestarts(1))
	w.pod(w.attempt("fragile-1"), builders.Pod("fragile-1-0", 0).Exited(1, `{"step":0,"message":"the bucket is gone"}`, time.Now()))
	w.finish("fragile-1", batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded)
	w.pod(w.attempt("fragile-2"), builders.Pod("fragile-2-0", 0).Exited(1, `{"step":0,"message":"the bucket is still gone"}`, time.Now()))
	w.finish("fragile-2", batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded)

	job := w.awaitCondition("fragile", v1alpha1.ConditionFailed, metav1.ConditionTrue, v1alpha1.ReasonRestartsExceeded)
	if job.Status.Attempts != 2 || job.Status.Restarts != 1 {
		t.Errorf("%d attempts, %d restarts; want 2 and 1", job.Status.Attempts, job.Status.Restarts)
	}
	if c := endCondition(job.Status); !strings.Contains(c.Message, "the bucket is still gone") {
		t.Errorf("message %q does not say what the pod said", c.Message)
	}
}

func TestBrokenData_failsTheJobAtOnce(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("broken"))
	w.pod(w.attempt("broken-1"), builders.Pod("broken-1-0", 0).Exited(65, `{"step":0,"message":"line 7: two solutions"}`, time.Now()))
	w.finish("broken-1", batchv1.JobFailed, batchv1.JobReasonPodFailurePolicy)
	job := w.awaitCondition("broken", v1alpha1.ConditionFailed, metav1.ConditionTrue, v1alpha1.ReasonDatasetError)
	if c := endCondition(job.Status); !strings.Contains(c.Message, "line 7: two solutions") {
		t.Errorf("message %q", c.Message)
	}
	if got := w.attempts(); len(got) != 1 {
		t.Errorf("Jobs %v, want one", got)
	}
}

func TestSuspend_stopsTheAttemptAndResumingUsesNoRestart(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("pause").MaxRestarts(0))
	w.attempt("pause-1")
	w.change("pause", func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = new(true) })
	w.collect("pause-1")
	w.awaitCondition("pause", v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	w.change("pause", func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = new(false) })
	w.attempt("pause-2")
	job := w.awaitCondition("pause", v1alpha1.ConditionSuspended, metav1.ConditionFalse, v1alpha1.ReasonResumed)
	if job.Status.Attempts != 2 || job.Status.Restarts != 0 {
		t.Errorf("%d attempts, %d restarts; want 2 and 0", job.Status.Attempts, job.Status.Restarts)
	}
}

func TestDeadline_failsTheJobOnlyAfterItsPodsAreGone(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("late").Deadline(1))
	w.attempt("late-1")
	w.eventually(func() error {
		if w.attempt("late-1").DeletionTimestamp == nil {
			return fmt.Errorf("late-1 is not being stopped")
		}
		return nil
	})
	if c := endCondition(w.job("late").Status); c != nil {
		t.Errorf("over (%s) while pods may still run", c.Reason)
	}
	w.collect("late-1")
	w.awaitCondition("late", v1alpha1.ConditionFailed, metav1.ConditionTrue, v1alpha1.ReasonDeadlineExceeded)
}

func TestTTL_deletesTheFinishedJob(t *testing.T) {
	w := newWorld(t, 1)
	job := w.submit(builders.Job("brief").TTL(1))
	w.attempt("brief-1")
	w.finish("brief-1", batchv1.JobComplete, batchv1.JobReasonCompletionsReached)
	w.eventually(func() error {
		err := w.client.Get(w.ctx, client.ObjectKeyFromObject(job), job)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.New("still there")
	})
}

func TestOperatorRestart_findsItsWayFromWhatExists(t *testing.T) {
	w := newWorld(t, 1)
	w.submit(builders.Job("steady"))
	w.attempt("steady-1")
	w.finish("steady-1", batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded)
	w.attempt("steady-2")
	w.stop()

	// While no operator runs, the attempt ends and somebody loses the whole status.
	w.finish("steady-2", batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded)
	w.eventually(func() error {
		job := w.job("steady")
		job.Status = v1alpha1.HRMTrainingJobStatus{}
		return w.client.Status().Update(w.ctx, job)
	})
	w.startOperator()
	w.attempt("steady-3")
	w.eventually(func() error {
		if s := w.job("steady").Status; s.Attempts != 3 || s.Restarts != 2 || s.StartTime == nil {
			return fmt.Errorf("status was not rebuilt: %+v", s)
		}
		return nil
	})
}

func TestProgress_isPolledFromRankZero(t *testing.T) {
	rankZero := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/progress" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		fmt.Fprint(rw, `{"step":5,"totalSteps":10,"loss":1.5,"phase":"Training","datasetURI":"s3://hrm/data/abc"}`)
	}))
	defer rankZero.Close()
	w := newWorld(t, rankZero.Listener.Addr().(*net.TCPAddr).Port)
	w.submit(builders.Job("seen"))
	w.pod(w.attempt("seen-1"), builders.Pod("seen-1-0", 0).Running("127.0.0.1", time.Now()))
	job := w.awaitCondition("seen", v1alpha1.ConditionRunning, metav1.ConditionTrue, v1alpha1.ReasonTraining)
	if p := job.Status.Progress; p == nil || p.StepOfTotal != "5/10" || p.Loss != "1.5" || job.Status.DatasetURI != "s3://hrm/data/abc" {
		t.Errorf("status %+v", job.Status)
	}
}

func TestForeignChild_isLeftAlone(t *testing.T) {
	w := newWorld(t, 1)
	theirs := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "taken"},
		Data:       map[string]string{"precious": "yes"},
	}
	w.create(theirs)
	w.submit(builders.Job("taken"))
	job := w.awaitCondition("taken", v1alpha1.ConditionRunning, metav1.ConditionFalse, v1alpha1.ReasonConfigError)
	if c := job.Status.Conditions[0]; !strings.Contains(c.Message, "ConfigMap taken exists and does not belong to this job") {
		t.Errorf("message %q", c.Message)
	}
	w.get("taken", theirs)
	if len(theirs.OwnerReferences) != 0 || theirs.Data["precious"] != "yes" {
		t.Errorf("someone else's ConfigMap was changed: %+v", theirs)
	}
}

// remove deletes an object without waiting for what depends on it.
func (w *world) remove(object client.Object) {
	w.t.Helper()
	if err := w.client.Delete(w.ctx, object, client.PropagationPolicy(metav1.DeletePropagationOrphan)); err != nil {
		w.t.Fatal(err)
	}
	w.eventually(func() error {
		var gone = object.DeepCopyObject().(client.Object)
		err := w.client.Get(w.ctx, client.ObjectKeyFromObject(object), gone)
		if apierrors.IsNotFound(err) || err == nil && gone.GetUID() != object.GetUID() {
			return nil
		}
		if err == nil && len(gone.GetFinalizers()) > 0 {
			gone.SetFinalizers(nil)
			return fmt.Errorf("letting it go: %w", w.client.Update(w.ctx, gone))
		}
		return fmt.Errorf("%T %s is still there", object, object.GetName())
	})
}

// touch makes the operator look at a job.
func (w *world) touch(name string) {
	w.t.Helper()
	w.eventually(func() error {
		job := w.job(name)
		metav1.SetMetaDataAnnotation(&job.ObjectMeta, "touched", "yes")
		return w.client.Update(w.ctx, job)
	})
}

// awaitEvents waits until events with all the reasons were sent.
func (w *world) awaitEvents(name string, reasons ...string) {
	w.t.Helper()
	w.eventually(func() error {
		var events eventsv1.EventList
		if err := w.client.List(w.ctx, &events, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, e := range events.Items {
			if e.Regarding.Name == name {
				seen[e.Reason] = true
			}
		}
		for _, reason := range reasons {
			if !seen[reason] {
				return fmt.Errorf("no event %s for %s, only %v", reason, name, seen)
			}
		}
		return nil
	})
}
