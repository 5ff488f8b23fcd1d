package v1alpha1_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

func TestIsGPU(t *testing.T) {
	for name, want := range map[corev1.ResourceName]bool{
		"nvidia.com/gpu": true, "nvidia.com/gpu.shared": true, "nvidia.com/mig-1g.10gb": true, "nvidia.com/mig-3g.40gb.shared": true,
		"nvidia.com/gpumem": false, "nvidia.com/hostdev": false, "amd.com/gpu": false, "gpu.intel.com/i915": false, "cpu": false,
	} {
		if got := v1alpha1.IsGPU(name); got != want {
			t.Errorf("%s: %t, want %t", name, got, want)
		}
	}
}

func TestDevices_areTheExtendedResourcesThatAPodAsksFor(t *testing.T) {
	one, none := resource.MustParse("1"), resource.MustParse("0")
	template := v1alpha1.PodTemplate{Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{"rdma/hca": one, "cpu": one, "hugepages-2Mi": one},
		Limits:   corev1.ResourceList{"amd.com/gpu": one, "nvidia.com/gpu": none, "memory": one, "node.kubernetes.io/slots": one},
	}}
	if got, want := template.Devices(), []corev1.ResourceName{"amd.com/gpu", "rdma/hca"}; !slices.Equal(got, want) {
		t.Errorf("devices %v, want %v", got, want)
	}
	if n := template.GPUs(); n != 0 {
		t.Errorf("%d GPUs, want none of NVIDIA's", n)
	}
	template.Resources.Requests["nvidia.com/mig-1g.10gb"] = one
	template.Resources.Limits["nvidia.com/gpu"] = resource.MustParse("3")
	if n := template.GPUs(); n != 4 {
		t.Errorf("%d GPUs, want three whole ones and a part", n)
	}
}

// The apiserver cannot check these: the names are not known to the schema.
func TestValidate_refusesDevicesThatNoPodCanHave(t *testing.T) {
	for template, want := range map[string]string{
		"{resources: {limits: {nvidia.com/gpu: 500m}}}":                         "limits[nvidia.com/gpu] must be a whole number, not 500m",
		"{resources: {limits: {amd.com/gpu: -1}}}":                              "limits[amd.com/gpu] must be a whole number, not -1",
		"{resources: {requests: {amd.com/gpu: 2}, limits: {amd.com/gpu: 1}}}":   "requests[amd.com/gpu] must be the same as in limits (1)",
		"{resources: {limits: {nvidia.com/mig-1g.10gb: 7}}}":                    "ask for 7 parts of GPUs and 0 whole ones",
		"{resources: {requests: {nvidia.com/gpu.shared: 2}}}":                   "ask for 2 parts of GPUs and 0 whole ones",
		"{resources: {limits: {nvidia.com/mig-1g.10gb: 1, nvidia.com/gpu: 8}}}": "ask for 1 parts of GPUs and 8 whole ones",
	} {
		raw, err := json.Marshal(job(t, "template="+template).Object)
		if err != nil {
			t.Fatal(err)
		}
		local, err := v1alpha1.Load(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if err := local.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", template, err, want)
		}
	}
}
