package v1alpha1

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// maxNameLength leaves room in a host name, which holds 63 characters, for "-<attempt>-<rank>".
const maxNameLength = 52

// CheckName says why a job cannot have a name: it becomes that of a Service, and the beginning of host names.
func CheckName(name string) error {
	problems := validation.IsDNS1035Label(name)
	if len(name) > maxNameLength {
		problems = append(problems, fmt.Sprintf("it has %d characters", len(name)))
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("metadata.name %q cannot name a Service and its pods: %s; create the job under a name of at most %d lower-case letters, digits and dashes that begins with a letter",
		name, strings.Join(problems, ", "), maxNameLength)
}
