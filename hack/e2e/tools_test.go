package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// TestLogsAndWatch follows a job over a lost pod with the kubectl plugin.
func TestLogsAndWatch(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("followed"))
	w.awaitStep(job, 100)
	logs := exec.CommandContext(w.ctx, find("kubectl-hrm"), "logs", job, "-n", w.namespace, "-f")
	watch := exec.CommandContext(w.ctx, find("kubectl-hrm"), "watch", job, "-n", w.namespace)
	var said, seen strings.Builder
	for cmd, into := range map[*exec.Cmd]*strings.Builder{logs: &said, watch: &seen} {
		cmd.Env, cmd.Stdout, cmd.Stderr = cluster.variables, into, into
		w.must(cmd.Start())
	}
	w.awaitStep(job, 300)
	w.kubectl("delete", "pod", w.runningPod(job, 0).Name, "--wait=false")
	w.expect(job, disturbed)
	if err := logs.Wait(); err != nil {
		t.Errorf("kubectl hrm logs -f: %v", err)
	}
	if err := watch.Wait(); err != nil {
		t.Errorf("kubectl hrm watch of a complete job: %v", err)
	}
	for _, word := range []string{"asked to stop", "going on"} {
		if !strings.Contains(said.String(), word) {
			t.Errorf("the logs of both pods do not hold %q:\n%s", word, said.String())
		}
	}
	if !strings.Contains(seen.String(), v1alpha1.ConditionComplete) {
		t.Errorf("watch did not see the end:\n%s", seen.String())
	}
}

// TestHelmTest runs the chart's own test.
func TestHelmTest(t *testing.T) {
	w := alone(t)
	w.must(installOperator("charts/hrm-operator", "test.storage.endpoint="+cluster.endpoint, "test.storage.bucket="+bucket,
		"test.storage.pathStyle=true", "test.storage.credentialsSecret="+secretName))
	defer w.restoreOperator()
	manifest := fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s}, stringData: {AWS_ACCESS_KEY_ID: %q, AWS_SECRET_ACCESS_KEY: %q}}",
		secretName, variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"))
	_, err := output(w.ctx, manifest, "kubectl", "apply", "-n", systemNamespace, "-f", "-")
	w.must(err)
	out, err := output(w.ctx, "", "helm", "test", operatorName, "-n", systemNamespace, "--logs", "--timeout", "4m")
	if err != nil {
		t.Errorf("helm test: %v\n%s", err, out)
	}
}
