package controllers

import (
	"strings"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// invalid finds what the API's schema and rules cannot catch: contradictions within the spec, and names that do not
// do, because the job's name becomes that of a Service and the beginning of host names.
func invalid(job *v1alpha1.HRMTrainingJob) *verdict {
	message := ""
	if err := v1alpha1.CheckName(job.Name); err != nil {
		message = err.Error()
	} else {
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
