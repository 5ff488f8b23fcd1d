package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// TestOperatorRights asks the apiserver what the operator's account may do.
func TestOperatorRights(t *testing.T) {
	w := begin(t)
	for _, row := range []struct {
		verb, resource string
		allowed        bool
	}{
		{"get", "secrets", false}, {"list", "secrets", false}, {"watch", "secrets", false}, {"create", "secrets", false},
		{"get", "nodes", false}, {"create", "pods", false}, {"create", "pods/exec", false}, {"get", "pods/log", false},
		{"update", "hrmtrainingjobs.hrm.dev", false}, {"create", "hrmtrainingjobs.hrm.dev", false},
		{"create", "clusterroles.rbac.authorization.k8s.io", false}, {"impersonate", "users", false},
		{"create", "serviceaccounts/token", false}, {"delete", "configmaps", false},
		{"list", "hrmtrainingjobs.hrm.dev", true}, {"create", "jobs.batch", true}, {"delete", "jobs.batch", true}, {"list", "pods", true},
	} {
		t.Run(row.verb+" "+row.resource, func(t *testing.T) {
			resource, sub, _ := strings.Cut(row.resource, "/")
			args := []string{"auth", "can-i", row.verb, resource, "-n", w.namespace, "--as", "system:serviceaccount:" + systemNamespace + ":" + operatorName}
			if sub != "" {
				args = append(args, "--subresource="+sub)
			}
			out, _ := output(w.ctx, "", "kubectl", args...) // it exits with 1 for no
			if got := strings.TrimSpace(out) == "yes"; got != row.allowed {
				t.Errorf("kubectl auth can-i says %q", strings.TrimSpace(out))
			}
		})
	}
}

// TestTrainingPodHasNoToken looks into a pod from outside.
func TestTrainingPodHasNoToken(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("modest"))
	w.awaitStep(job, 10)
	pod := w.runningPod(job, 0)
	for _, volume := range pod.Spec.Volumes {
		if volume.Projected != nil {
			t.Errorf("volume %s projects %v", volume.Name, volume.Projected.Sources)
		}
	}
	w.expect(job, complete)
}

// TestNamespacedMode gives the operator rights in one namespace only, which must do.
func TestNamespacedMode(t *testing.T) {
	w := alone(t)
	w.must(installOperator("charts/hrm-operator", fmt.Sprintf("watchNamespaces={%s}", w.namespace)))
	defer w.restoreOperator()
	account := "system:serviceaccount:" + systemNamespace + ":" + operatorName
	if out, _ := output(w.ctx, "", "kubectl", "auth", "can-i", "list", "pods", "-n", "default", "--as", account); strings.TrimSpace(out) != "no" {
		t.Errorf("the operator may list pods of a namespace that is not its own: %s", out)
	}
	job := w.submit(smallJob("inside").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Training.Steps = new(int64(100)) }))
	w.await(job, v1alpha1.ConditionComplete, "True", v1alpha1.ReasonTrained)
}
