package controllers

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// maxNameLength leaves room in a host name, which holds 63 characters, for "-<attempt>-<rank>".
const maxNameLength = 52

// invalid finds what the API's schema and rules cannot catch: contradictions within the spec, and names that do not
// do, because the job's name becomes that of a Service and the beginning of host names.
func invalid(job *v1alpha1.HRMTrainingJob) *verdict {
	message := badName(job.Name)
	if message == "" {
		complete := job.DeepCopy()
		complete.Default()
		if err := complete.Validate(); err != nil {
			message = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
	}
	if message == "" {
		return nil
	}
	return &verdict{v1alpha1.ConditionFailed, v1alpha1.ReasonInvalidSpec, message}
}

func badName(name string) string {
	problems := validation.IsDNS1035Label(name)
	if len(name) > maxNameLength {
		problems = append(problems, fmt.Sprintf("it has %d characters", len(name)))
	}
	if len(problems) == 0 {
		return ""
	}
	return fmt.Sprintf("metadata.name %q cannot name a Service and its pods: %s; create the job under a name of at most %d lower-case letters, digits and dashes that begins with a letter",
		name, strings.Join(problems, ", "), maxNameLength)
}
