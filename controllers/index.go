package controllers

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// jobIndex finds a job's Jobs and pods in the cache without looking at those of every other job in the namespace, so
// that the cost of a reconcile does not grow with the number of jobs.
const jobIndex = "job"

// index adds the index to the cache that the reconciler reads from.
func (r *Reconciler) index(indexer client.FieldIndexer) error {
	for _, kind := range []client.Object{&batchv1.Job{}, &corev1.Pod{}} {
		if err := indexer.IndexField(context.Background(), kind, jobIndex, jobsName); err != nil {
			return fmt.Errorf("index %ss by their job: %w", kindOf(kind), err)
		}
	}
	r.indexed = true
	return nil
}

func jobsName(object client.Object) []string {
	if name := object.GetLabels()[v1alpha1.JobLabel]; name != "" {
		return []string{name}
	}
	return nil
}

// ofJob selects a job's Jobs or pods for reading from the reconciler's client. The apiserver, which is that client where
// no manager set the reconciler up, knows the labels only.
func (r *Reconciler) ofJob(job types.NamespacedName) []client.ListOption {
	options := []client.ListOption{client.InNamespace(job.Namespace), client.MatchingLabels{managedByLabel: managedBy, v1alpha1.JobLabel: job.Name}}
	if r.indexed {
		options = append(options, client.MatchingFields{jobIndex: job.Name})
	}
	return options
}
