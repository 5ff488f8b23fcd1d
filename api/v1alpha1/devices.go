package v1alpha1

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// GPU is the resource by which clusters count whole NVIDIA GPUs. It is also the key of the taint that GPU nodes usually have.
const GPU corev1.ResourceName = "nvidia.com/gpu"

// IsGPU says whether a resource is an NVIDIA GPU or a part of one, by the names that NVIDIA's device plugin gives: whole GPUs,
// time-sliced ones, and MIG profiles.
func IsGPU(name corev1.ResourceName) bool {
	return name == GPU || name == GPU+".shared" || strings.HasPrefix(string(name), "nvidia.com/mig-")
}

// IsDevice says whether a resource is what Kubernetes calls an extended one: whoever runs the cluster counts it by whole numbers.
func IsDevice(name corev1.ResourceName) bool {
	domain, _, hasDomain := strings.Cut(string(name), "/")
	return hasDomain && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io")
}

// Devices are the names of the extended resources, of whatever vendor, that each pod asks for, sorted.
func (t *PodTemplate) Devices() []corev1.ResourceName {
	var names []corev1.ResourceName
	for _, name := range t.deviceNames() {
		if !t.wanted(name).IsZero() {
			names = append(names, name)
		}
	}
	return names
}

// GPUs is how many NVIDIA GPUs, or parts of them, each pod asks for.
func (t *PodTemplate) GPUs() int64 {
	n := int64(0)
	for _, name := range t.Devices() {
		if IsGPU(name) {
			n += t.wanted(name).Value()
		}
	}
	return n
}

// wanted is the limit of a device, or what is requested where there is none.
func (t *PodTemplate) wanted(name corev1.ResourceName) *resource.Quantity {
	if limit, limited := t.Resources.Limits[name]; limited {
		return &limit
	}
	request := t.Resources.Requests[name]
	return &request
}

// deviceNames are the extended resources that the template names, sorted.
func (t *PodTemplate) deviceNames() []corev1.ResourceName {
	all := maps.Clone(t.Resources.Requests)
	if all == nil {
		all = corev1.ResourceList{}
	}
	maps.Copy(all, t.Resources.Limits)
	names := slices.DeleteFunc(slices.Collect(maps.Keys(all)), func(name corev1.ResourceName) bool { return !IsDevice(name) })
	slices.Sort(names)
	return names
}

func (t *PodTemplate) validate(path *field.Path) error {
	rules := []rule{{t.RuntimeClassName == "" || len(validation.IsDNS1123Subdomain(t.RuntimeClassName)) == 0,
		path.Child("runtimeClassName"), fmt.Sprintf("%q is no name of a RuntimeClass", t.RuntimeClassName)}}
	for _, name := range t.deviceNames() {
		request, requested := t.Resources.Requests[name]
		limit := t.wanted(name)
		count, whole := limit.AsInt64()
		rules = append(rules,
			rule{whole && count >= 0, path.Child("resources", "limits").Key(string(name)), fmt.Sprintf("must be a whole number, not %s", limit.String())},
			rule{!requested || request.Cmp(*limit) == 0, path.Child("resources", "requests").Key(string(name)),
				fmt.Sprintf("must be the same as in limits (%s): remove it", limit.String())})
	}
	all, whole := t.GPUs(), t.wanted(GPU).Value()
	return check(append(rules, rule{all == whole || all == 1, path.Child("resources", "limits"),
		fmt.Sprintf("ask for %d parts of GPUs and %d whole ones, of which a process sees one part only: set 1, and raise nodes", all-whole, whole)})...)
}
