package controllers

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// CacheOptions keep everything that is not the operator's own, or not read, out of its memory. Without namespaces the
// whole cluster is watched; with them nothing else is, so that Roles suffice.
func CacheOptions(namespaces ...string) cache.Options {
	own := labels.SelectorFromSet(labels.Set{managedByLabel: managedBy})
	options := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.HRMTrainingJob{}:    {Transform: strip(stripTrainingJob)},
			&batchv1.Job{}:                {Label: own, Transform: strip(stripJob)},
			&corev1.Pod{}:                 {Label: own, Transform: strip(stripPod)},
			&corev1.Service{}:             {Label: own},
			&corev1.ConfigMap{}:           {Label: own},
			&networkingv1.NetworkPolicy{}: {Label: own},
		},
	}
	if len(namespaces) > 0 {
		options.DefaultNamespaces = map[string]cache.Config{}
		for _, name := range namespaces {
			options.DefaultNamespaces[name] = cache.Config{}
		}
	}
	return options
}

// strip makes a cache transform of one kind of object.
func strip[T client.Object](edit func(T)) func(any) (any, error) {
	return func(object any) (any, error) {
		if o, ok := object.(T); ok {
			o.SetManagedFields(nil)
			edit(o)
		}
		return object, nil
	}
}

// stripTrainingJob drops the copy of the job that kubectl keeps on it.
func stripTrainingJob(job *v1alpha1.HRMTrainingJob) {
	delete(job.Annotations, corev1.LastAppliedConfigAnnotation)
}

// stripJob drops the pods' template, but for what may keep pods from being made: a Job is never updated, and its pods are
// looked at themselves.
func stripJob(job *batchv1.Job) {
	job.Spec.Template = corev1.PodTemplateSpec{Spec: corev1.PodSpec{RuntimeClassName: job.Spec.Template.Spec.RuntimeClassName}}
	job.Spec.PodFailurePolicy = nil
	job.Spec.Selector = nil
}

// stripPod keeps of a pod's spec what messages speak of.
func stripPod(pod *corev1.Pod) {
	spec := corev1.PodSpec{NodeName: pod.Spec.NodeName, NodeSelector: pod.Spec.NodeSelector, RuntimeClassName: pod.Spec.RuntimeClassName}
	for _, c := range pod.Spec.Containers {
		spec.Containers = append(spec.Containers, corev1.Container{Name: c.Name, Image: c.Image, Resources: c.Resources})
	}
	pod.Spec = spec
	pod.Status.PodIPs, pod.Status.HostIPs, pod.Status.HostIP = nil, nil, ""
	for i := range pod.Status.ContainerStatuses {
		s := &pod.Status.ContainerStatuses[i]
		pod.Status.ContainerStatuses[i] = corev1.ContainerStatus{Name: s.Name, State: s.State}
	}
}

// podHandler queues the job of a pod that changed, and remembers pods that go: the garbage collector and drains take
// them away faster than they may be looked at.
func (r *Reconciler) podHandler() handler.EventHandler {
	changed := handler.EnqueueRequestsFromMapFunc(jobOfPod)
	return handler.Funcs{
		CreateFunc:  changed.Create,
		UpdateFunc:  changed.Update,
		GenericFunc: changed.Generic,
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if pod, ok := e.Object.(*corev1.Pod); ok {
				for _, request := range jobOfPod(ctx, pod) {
					r.memory.depart(request.NamespacedName, *pod, r.Clock.Now())
				}
			}
			changed.Delete(ctx, e, queue)
		},
	}
}

// jobOfPod finds a pod's job by its label: the pod's owner is the Job, not the HRMTrainingJob.
func jobOfPod(_ context.Context, pod client.Object) []reconcile.Request {
	name := pod.GetLabels()[v1alpha1.JobLabel]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.GetNamespace(), Name: name}}}
}
