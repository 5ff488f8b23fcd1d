package controllers

import (
	"context"
	"fmt"
	"net/http"

	batchv1 "k8s.io/api/batch/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Gangs is how the cluster can be asked to place all pods of an attempt at once or none.
type Gangs int

// The ways, by what the apiserver serves.
const (
	NoGangs       Gangs = iota // it cannot be asked
	WorkloadGangs              // scheduling.k8s.io/v1alpha1 (Kubernetes 1.35): pods refer to a Workload that we make
	JobGangs                   // scheduling.k8s.io/v1alpha3 or v1beta1 (Kubernetes 1.37): the Job controller does the rest
)

func (g Gangs) String() string {
	return [...]string{"nobody", "Workloads", "the Job controller"}[g]
}

const (
	gangAnnotation = "hrm.dev/gang"
	gangWorkload   = "Workload"
	gangPodGroup   = "nodes"
)

// The served resources that tell which way there is, the best first.
var gangResources = []struct {
	groupVersion, resource string
	gangs                  Gangs
}{
	{"scheduling.k8s.io/v1beta1", "podgroups", JobGangs},
	{"scheduling.k8s.io/v1alpha3", "podgroups", JobGangs},
	{"scheduling.k8s.io/v1alpha1", "workloads", WorkloadGangs},
}

// DiscoverGangs asks the apiserver what it serves.
func DiscoverGangs(cluster *rest.Config, httpClient *http.Client) (Gangs, error) {
	c, err := discovery.NewDiscoveryClientForConfigAndClient(cluster, httpClient)
	if err != nil {
		return NoGangs, fmt.Errorf("discover gang scheduling: %w", err)
	}
	for _, way := range gangResources {
		served, err := c.ServerResourcesForGroupVersion(way.groupVersion)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return NoGangs, fmt.Errorf("discover gang scheduling in %s: %w", way.groupVersion, err)
		}
		for _, resource := range served.APIResources {
			if resource.Name == way.resource {
				return way.gangs, nil
			}
		}
	}
	return NoGangs, nil
}

// asGang makes an attempt's Job one gang, if it has several nodes.
func asGang(job *batchv1.Job, gangs Gangs) {
	n := ptr.Deref(job.Spec.Completions, 1)
	if n < 2 {
		return
	}
	switch gangs {
	case JobGangs:
		job.Spec.Scheduling = &batchv1.JobSchedulingConfiguration{
			SchedulingPolicy: &schedulingv1alpha3.WorkloadPodGroupSchedulingPolicy{
				Gang: &schedulingv1alpha3.WorkloadPodGroupGangSchedulingPolicy{MinCount: &n},
			},
		}
	case WorkloadGangs:
		job.Annotations[gangAnnotation] = gangWorkload
	}
}

// createJob creates an attempt's Job. Its gang's Workload comes after it, as its child: the scheduler holds pods back
// until the Workload that they refer to exists.
func (r *Reconciler) createJob(ctx context.Context, job *batchv1.Job) error {
	if job.Annotations[gangAnnotation] == gangWorkload {
		return r.createGang(ctx, job)
	}
	err := r.Client.Create(ctx, job, fieldOwner)
	if apierrors.IsInvalid(err) && job.Spec.Scheduling != nil {
		// The apiserver knows the field, but its feature is switched off.
		job.Spec.Scheduling = nil
		err = r.Client.Create(ctx, job, fieldOwner)
	}
	return err
}

// createGang creates a Job whose pods refer to a Workload. The field lives in Kubernetes 1.35 only, so that no typed
// client of a later version has it.
func (r *Reconciler) createGang(ctx context.Context, job *batchv1.Job) error {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(job)
	if err != nil {
		return fmt.Errorf("encode Job %s: %w", job.Name, err)
	}
	object := &unstructured.Unstructured{Object: fields}
	unstructured.RemoveNestedField(fields, "status")
	reference := map[string]any{"name": job.Name, "podGroup": gangPodGroup}
	if err := unstructured.SetNestedMap(fields, reference, "spec", "template", "spec", "workloadRef"); err != nil {
		return fmt.Errorf("encode Job %s: %w", job.Name, err)
	}
	if err := r.Client.Create(ctx, object, fieldOwner); err != nil {
		return err
	}
	job.UID = object.GetUID()
	return r.ensureWorkload(ctx, job)
}

// ensureWorkload makes the Workload of a gang. It goes with its Job.
func (r *Reconciler) ensureWorkload(ctx context.Context, job *batchv1.Job) error {
	workload := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "scheduling.k8s.io/v1alpha1",
		"kind":       "Workload",
		"spec": map[string]any{
			"controllerRef": map[string]any{"apiGroup": batchv1.GroupName, "kind": "Job", "name": job.Name},
			"podGroups": []any{map[string]any{
				"name":   gangPodGroup,
				"policy": map[string]any{"gang": map[string]any{"minCount": int64(ptr.Deref(job.Spec.Completions, 1))}},
			}},
		},
	}}
	workload.SetNamespace(job.Namespace)
	workload.SetName(job.Name)
	workload.SetLabels(job.Labels)
	workload.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "Job", Name: job.Name, UID: job.UID, Controller: ptr.To(true),
	}})
	err := r.Client.Create(ctx, workload, fieldOwner)
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create Workload %s of the gang: %w", job.Name, err)
	}
	return nil
}

// ensureGang makes up for a Workload that was not created, or was lost, while its pods wait for it.
func (r *Reconciler) ensureGang(ctx context.Context, o observation) error {
	current, ok := o.current()
	if !ok || !current.live() || current.stopping() || current.job.Annotations[gangAnnotation] != gangWorkload {
		return nil
	}
	if running(current.pods) > 0 || r.memory.gangIsKnown(client.ObjectKeyFromObject(o.job), current.job.UID) {
		return nil
	}
	if err := r.ensureWorkload(ctx, &current.job); err != nil {
		return err
	}
	r.memory.knowGang(client.ObjectKeyFromObject(o.job), current.job.UID)
	return nil
}
