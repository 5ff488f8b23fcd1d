package controllers

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

// The test's apiserver runs with the features of Kubernetes 1.35 for gangs switched on. No scheduler runs: what is
// tested is that the objects are there which it looks for.
func TestGang_isAskedForAsKubernetes135Wants(t *testing.T) {
	httpClient, err := rest.HTTPClientFor(controlPlane)
	if err != nil {
		t.Fatal(err)
	}
	gangs, err := DiscoverGangs(controlPlane, httpClient)
	if err != nil || gangs != WorkloadGangs {
		t.Fatalf("discovered %s (%v), want %s", gangs, err, WorkloadGangs)
	}
	w := newWorldWithout(t)
	w.launch(operator{gangs: gangs})
	w.submit(builders.Job("gang").Nodes(4))
	w.submit(builders.Job("alone"))
	w.attempt("alone-1")

	job := untyped("batch/v1", "Job")
	w.get("gang-1", job)
	reference, _, _ := unstructured.NestedStringMap(job.Object, "spec", "template", "spec", "workloadRef")
	if reference["name"] != "gang-1" || reference["podGroup"] != "nodes" {
		t.Errorf("the pods refer to %v", reference)
	}
	workload := untyped("scheduling.k8s.io/v1alpha1", "Workload")
	w.get("gang-1", workload)
	if owner := metav1.GetControllerOf(workload); owner == nil || owner.UID != job.GetUID() {
		t.Errorf("the Workload is owned by %v", owner)
	}
	groups, _, _ := unstructured.NestedSlice(workload.Object, "spec", "podGroups")
	if n, _, _ := unstructured.NestedInt64(groups[0].(map[string]any), "policy", "gang", "minCount"); len(groups) != 1 || n != 4 {
		t.Errorf("pod groups %v", groups)
	}
	alone := untyped("scheduling.k8s.io/v1alpha1", "Workload")
	if err := w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "alone-1"}, alone); err == nil {
		t.Error("one node is no gang")
	}
}

func TestGang_getsItsWorkloadFromTheNextOperator(t *testing.T) {
	w := newWorldWithout(t)
	first := w.launch(operator{gangs: WorkloadGangs})
	w.submit(builders.Job("half").Nodes(2))
	w.get("half-1", untyped("scheduling.k8s.io/v1alpha1", "Workload"))
	first.stop()
	lost := untyped("scheduling.k8s.io/v1alpha1", "Workload")
	lost.SetNamespace(w.namespace)
	lost.SetName("half-1")
	if err := w.client.Delete(w.ctx, lost); err != nil {
		t.Fatal(err)
	}
	w.launch(operator{gangs: WorkloadGangs})
	w.eventually(func() error {
		return w.client.Get(w.ctx, client.ObjectKey{Namespace: w.namespace, Name: "half-1"}, untyped("scheduling.k8s.io/v1alpha1", "Workload"))
	})
}

func TestGang_isTheJobControllersWhereItKnowsHow(t *testing.T) {
	for nodes, want := range map[int32]bool{1: false, 4: true} {
		job := attemptJob(builders.Job("a").Nodes(nodes).Obj(), Config{Gangs: JobGangs}, record{number: 1})
		if got := job.Spec.Scheduling != nil; got != want {
			t.Errorf("%d nodes: scheduling %+v", nodes, job.Spec.Scheduling)
		} else if got && *job.Spec.Scheduling.SchedulingPolicy.Gang.MinCount != nodes {
			t.Errorf("%d nodes: gang %+v", nodes, job.Spec.Scheduling.SchedulingPolicy.Gang)
		}
	}
}

func untyped(groupVersion, kind string) *unstructured.Unstructured {
	gv, _ := schema.ParseGroupVersion(groupVersion)
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(gv.WithKind(kind))
	return object
}
