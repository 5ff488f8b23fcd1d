package kueue

import (
	"fmt"
	"os"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
	"github.com/hrm-operator/hrm-operator/internal/testing/controlplane"
)

const root = "../.."

// newCluster starts a control plane with Kueue and the operator.
func newCluster(t *testing.T) client.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "hrm-kueue-")
	if err != nil {
		t.Fatal(err)
	}
	bin, err := controlplane.EnsureTools(t.Context(), root, append([]string{"kueue"}, controlplane.Tools...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("programs are in", bin)
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Root: root, Dir: dir, Nodes: 3})
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Log(err)
		}
		if t.Failed() {
			t.Log("logs are in", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	_ = clientgoscheme.AddToScheme(scheme)
	_ = v1alpha1.AddToScheme(scheme)
	c, err := client.New(plane.Admin, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	startKueue(t, plane, c)
	if err := plane.InstallOperator(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := plane.StartOperator(t.Context(), "--poll-interval=1s"); err != nil {
		t.Fatal(err)
	}
	return c
}

// world is a namespace with a queue that has room for one job's CPU.
type world struct {
	*testing.T
	client    client.Client
	namespace string
}

// newWorld makes a namespace, a ClusterQueue of one CPU of a flavor, and a LocalQueue, all of one name.
func newWorld(t *testing.T, c client.Client, name, flavor string) *world {
	t.Helper()
	w := &world{t, c, name}
	w.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	w.create(object(t, fmt.Sprintf(`
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: %s}
spec:
  namespaceSelector: {}
  preemption: {withinClusterQueue: LowerPriority}
  resourceGroups:
  - coveredResources: [cpu]
    flavors: [{name: %s, resources: [{name: cpu, nominalQuota: 1}]}]
`, name, flavor)))
	w.create(object(t, fmt.Sprintf(`
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: queue, namespace: %s}
spec: {clusterQueue: %s}
`, name, name)))
	return w
}

// object reads YAML.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func (w *world) create(o client.Object) {
	w.Helper()
	if err := w.client.Create(w.Context(), o); err != nil {
		w.Fatalf("create %T %s: %v", o, o.GetName(), err)
	}
}

// submit creates a job of one node and one CPU in the queue. Its pod runs until finish is called.
func (w *world) submit(name string, edit ...func(*builders.TrainingJob)) {
	w.Helper()
	b := builders.Job(name).In(w.namespace).Label("kueue.x-k8s.io/queue-name", "queue")
	for _, e := range edit {
		e(b)
	}
	job := b.New()
	job.Spec.Template.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	w.create(job)
}

func (w *world) get(name string, o client.Object) {
	w.Helper()
	if err := w.client.Get(w.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, o); err != nil {
		w.Fatal(err)
	}
}

func (w *world) job(name string) *v1alpha1.HRMTrainingJob {
	w.Helper()
	var job v1alpha1.HRMTrainingJob
	w.get(name, &job)
	return &job
}

func (w *world) attempt(name string) *batchv1.Job {
	w.Helper()
	var job batchv1.Job
	w.get(name, &job)
	return &job
}

func (w *world) eventually(check func() error) {
	w.Helper()
	if err := controlplane.Poll(w.Context(), patience, check); err != nil {
		w.Fatal(err)
	}
}

// awaitState waits until a job's one word is as wanted.
func (w *world) awaitState(name, state string) {
	w.Helper()
	w.eventually(func() error {
		if job := w.job(name); job.Status.State != state {
			return fmt.Errorf("job %s is %q, not %q: %+v", name, job.Status.State, state, job.Status.Conditions)
		}
		return nil
	})
}

// awaitRunning waits until all pods of a job run.
func (w *world) awaitRunning(name string) {
	w.Helper()
	w.eventually(func() error {
		job := w.job(name)
		if !meta.IsStatusConditionTrue(job.Status.Conditions, v1alpha1.ConditionRunning) {
			return fmt.Errorf("job %s does not run: %+v", name, job.Status.Conditions)
		}
		return nil
	})
}

// awaitRefused waits until Kueue has looked at a job's Workload and found no room for it.
func (w *world) awaitRefused(name string) {
	w.Helper()
	w.eventually(func() error {
		workload, err := w.workload(name)
		if err != nil {
			return err
		}
		conditions, _, _ := unstructured.NestedSlice(workload.Object, "status", "conditions")
		for _, c := range conditions {
			if c, ok := c.(map[string]any); ok && c["type"] == "QuotaReserved" && c["status"] == "False" {
				return nil
			}
		}
		return fmt.Errorf("workload of %s: %v", name, conditions)
	})
}

// workload is what Kueue made of an attempt.
func (w *world) workload(attempt string) (*unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("kueue.x-k8s.io/v1beta2")
	list.SetKind("WorkloadList")
	if err := w.client.List(w.Context(), list, client.InNamespace(w.namespace)); err != nil {
		return nil, err
	}
	for i := range list.Items {
		if owner := metav1.GetControllerOf(&list.Items[i]); owner != nil && owner.Name == attempt {
			return &list.Items[i], nil
		}
	}
	return nil, fmt.Errorf("kueue has no workload for Job %s", attempt)
}

// pods are those of a job.
func (w *world) pods(name string) []corev1.Pod {
	w.Helper()
	var pods corev1.PodList
	if err := w.client.List(w.Context(), &pods, client.InNamespace(w.namespace), client.MatchingLabels{"hrm.dev/job": name}); err != nil {
		w.Fatal(err)
	}
	return pods.Items
}

// finish plays a trainer that is done: the job's pods succeed.
func (w *world) finish(name string) {
	w.Helper()
	for _, pod := range w.pods(name) {
		if pod.Status.Phase != corev1.PodRunning {
			continue
		}
		now := metav1.NewTime(time.Now())
		pod.Status.Phase = corev1.PodSucceeded
		for i := range pod.Status.ContainerStatuses {
			status := &pod.Status.ContainerStatuses[i]
			status.Ready, status.Started = false, new(bool)
			status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: now}}
		}
		if err := w.client.Status().Update(w.Context(), &pod); err != nil {
			w.Fatal(err)
		}
	}
	w.awaitState(name, v1alpha1.ConditionComplete)
}

// wantAttempts checks how often a job was started, and that no restart was used up.
func (w *world) wantAttempts(name string, attempts int32) {
	w.Helper()
	if s := w.job(name).Status; s.Attempts != attempts || s.Restarts != 0 {
		w.Errorf("job %s has had %d attempts and %d restarts, want %d and 0", name, s.Attempts, s.Restarts, attempts)
	}
}
