// Package v1alpha1 holds the HRMTrainingJob: its types, defaults, rules and the names of its conditions. It is the one
// configuration that operator, pod and laptop read.
// +kubebuilder:object:generate=true
// +groupName=hrm.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is the kind of the one object of this group.
const Kind = "HRMTrainingJob"

// GroupVersion of the types in this package.
var GroupVersion = schema.GroupVersion{Group: "hrm.dev", Version: "v1alpha1"}

// AddToScheme registers the types.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &HRMTrainingJob{}, &HRMTrainingJobList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
