package controllers

import (
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// StorageDefaults is the store of jobs whose spec.storage names no endpoint. The Secret and the ConfigMap are looked up
// in the job's namespace, by the kubelet: the operator reads neither.
type StorageDefaults struct {
	Endpoint, Region               string
	PathStyle                      bool
	CredentialsSecret, CAConfigMap string
}

// apply returns the job as its pods see it. A job that names an endpoint is left alone; region and path style come with
// the default endpoint, because the schema's own defaults hide whether a user chose them.
func (d StorageDefaults) apply(job *v1alpha1.HRMTrainingJob) *v1alpha1.HRMTrainingJob {
	if job.Spec.Storage.Endpoint != "" || d == (StorageDefaults{}) {
		return job
	}
	job = job.DeepCopy()
	s := &job.Spec.Storage
	s.Endpoint = d.Endpoint
	if d.Region != "" {
		s.Region = d.Region
	}
	if d.PathStyle {
		s.PathStyle = ptr.To(true)
	}
	if s.CredentialsSecretRef == nil && d.CredentialsSecret != "" {
		s.CredentialsSecretRef = &v1alpha1.LocalReference{Name: d.CredentialsSecret}
	}
	if s.CAConfigMapRef == nil && d.CAConfigMap != "" {
		s.CAConfigMapRef = &v1alpha1.LocalReference{Name: d.CAConfigMap}
	}
	return job
}
