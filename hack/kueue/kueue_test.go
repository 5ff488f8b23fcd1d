package kueue

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
	"github.com/hrm-operator/hrm-operator/internal/testing/controlplane"
)

func TestKueue(t *testing.T) {
	if os.Getenv("HRM_TEST_KUEUE") == "" {
		t.Skip("HRM_TEST_KUEUE is not set")
	}
	c := newCluster(t)
	for name, test := range map[string]func(*testing.T, client.Client){
		"a job waits until there is room":                       waitsForRoom,
		"a preempted job goes on later without using a restart": isPreempted,
		"a flavor's nodes and tolerations stay on the Job":      keepsTheFlavor,
		"a suspended job gives its room to the next":            givesRoomWhenSuspended,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

func waitsForRoom(t *testing.T, c client.Client) {
	w := newWorld(t, c, "room", "plain")
	w.submit("first")
	w.awaitRunning("first")
	w.submit("second")
	w.awaitState("second", v1alpha1.ReasonQueued)
	w.awaitRefused("second-1")
	if !ptr.Deref(w.attempt("second-1").Spec.Suspend, false) || len(w.pods("second")) > 0 {
		t.Errorf("second runs beside first: %+v", w.attempt("second-1").Spec.Suspend)
	}
	w.awaitState("second", v1alpha1.ReasonQueued)

	w.finish("first")
	w.awaitRunning("second")
	w.finish("second")
	w.wantAttempts("first", 1)
	w.wantAttempts("second", 1)
}

func isPreempted(t *testing.T, c client.Client) {
	w := newWorld(t, c, "preemption", "plain")
	w.create(object(t, "{apiVersion: kueue.x-k8s.io/v1beta2, kind: WorkloadPriorityClass, metadata: {name: urgent}, value: 1000}"))
	w.submit("patient")
	w.awaitRunning("patient")
	w.submit("urgent", func(b *builders.TrainingJob) { b.Label("kueue.x-k8s.io/priority-class", "urgent") })
	w.awaitRunning("urgent")

	w.awaitState("patient", v1alpha1.ReasonQueued)
	if !ptr.Deref(w.attempt("patient-1").Spec.Suspend, false) {
		t.Error("Kueue did not suspend the Job of the preempted job")
	}
	w.eventually(func() error {
		if n := len(w.pods("patient")); n > 0 {
			return fmt.Errorf("%d pods of the preempted job are left", n)
		}
		return nil
	})
	w.wantAttempts("patient", 1)

	w.finish("urgent")
	w.awaitRunning("patient")
	w.finish("patient")
	w.wantAttempts("patient", 1)
}

func keepsTheFlavor(t *testing.T, c client.Client) {
	w := newWorld(t, c, "flavor", "spot")
	w.create(object(t, `
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: {name: spot}
spec:
  nodeLabels: {`+controlplane.NodeLabel+`: kwok-1}
  tolerations: [{key: spot, operator: Exists, effect: NoSchedule}]
`))
	w.submit("placed")
	w.awaitRunning("placed")
	before := w.attempt("placed-1")
	if got := before.Spec.Template.Spec.NodeSelector[controlplane.NodeLabel]; got != "kwok-1" {
		t.Fatalf("node selector %v", before.Spec.Template.Spec.NodeSelector)
	}
	if got := before.Spec.Template.Spec.Tolerations; len(got) != 1 || got[0].Key != "spot" {
		t.Fatalf("tolerations %v", got)
	}
	if pods := w.pods("placed"); len(pods) != 1 || pods[0].Spec.NodeName != "kwok-1" {
		t.Fatalf("pods %v", pods)
	}

	// A change of the job's spec makes the operator compare everything again.
	job := w.job("placed")
	job.Spec.TTLSecondsAfterFinished = ptr.To[int32](3600)
	if err := c.Update(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if w.job("placed").Status.ObservedGeneration != job.Generation {
			return errors.New("the operator has not seen the change")
		}
		return nil
	})
	if after := w.attempt("placed-1"); after.UID != before.UID || after.Generation != before.Generation {
		t.Errorf("the Job was changed: generation %d, was %d", after.Generation, before.Generation)
	}
	w.finish("placed")
	w.wantAttempts("placed", 1)
}

func givesRoomWhenSuspended(t *testing.T, c client.Client) {
	w := newWorld(t, c, "suspension", "plain")
	w.submit("yields")
	w.awaitRunning("yields")
	w.submit("next")
	w.awaitRefused("next-1")

	suspend(w, "yields", true)
	w.awaitState("yields", v1alpha1.ConditionSuspended)
	w.awaitRunning("next")
	suspend(w, "yields", false)
	w.awaitRefused("yields-2")
	w.awaitState("yields", v1alpha1.ReasonQueued)

	w.finish("next")
	w.awaitRunning("yields")
	w.finish("yields")
	w.wantAttempts("yields", 2)
}

func suspend(w *world, name string, on bool) {
	w.Helper()
	w.eventually(func() error {
		job := w.job(name)
		job.Spec.Suspend = &on
		return w.client.Update(w.Context(), job)
	})
}
