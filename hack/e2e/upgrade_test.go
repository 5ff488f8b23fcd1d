package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// previousRelease is the last commit whose chart has another version than today's.
func previousRelease(t *testing.T) string {
	t.Helper()
	raw, err := exec.Command("git", "log", "--format=%H", "-n2", "-G^version:", "--", "charts/hrm-operator/Chart.yaml").Output()
	commits := strings.Fields(string(raw))
	if err != nil || len(commits) == 0 {
		t.Fatalf("no release before this one in git's history (%v): fetch the whole history", err)
	}
	return commits[0] + "^"
}

// TestUpgrade installs the chart of the previous release with its own operator image, starts jobs, and upgrades under them.
func TestUpgrade(t *testing.T) {
	w := alone(t)
	previous := previousRelease(t)
	source := filepath.Join(t.TempDir(), "previous")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
		}
	}
	run("git", "worktree", "add", "--detach", source, previous)
	defer func() { run("git", "worktree", "remove", "--force", source) }()
	binary, archive := filepath.Join(t.TempDir(), "hrm-operator"), filepath.Join(t.TempDir(), "previous.tar")
	run("env", "CGO_ENABLED=0", "go", "build", "-C", source, "-o", binary, "./cmd/hrm-operator")
	run(find("cluster"), "pack", binary, "hrm-operator:previous", archive)
	run(find("cluster"), "load", archive)

	_, err := output(w.ctx, "", "helm", "uninstall", operatorName, "-n", systemNamespace, "--wait")
	w.must(err)
	w.must(installOperator(filepath.Join(source, "charts/hrm-operator"), "image.tag=previous"))
	job := w.submit(smallJob("older").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Suspend = nil }))
	done := w.submit(smallJob("before").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Training.Steps = new(int64(10)) }))
	w.await(done, v1alpha1.ConditionComplete, metav1.ConditionTrue, v1alpha1.ReasonTrained)
	w.awaitStep(job, 200)
	pod, began := w.runningPod(job, 0), time.Now()
	w.must(installOperator("charts/hrm-operator"))
	w.cost = "operator away for less than " + time.Since(began).Round(time.Second).String()
	if again := w.runningPod(job, 0); again.UID != pod.UID {
		t.Errorf("the upgrade replaced pod %s by %s", pod.Name, again.Name)
	}
	w.expect(job, complete)
	if s := w.job(done).Status; s.Attempts != 1 || s.State != v1alpha1.ConditionComplete {
		t.Errorf("the upgrade woke a finished job: %+v", s)
	}
}

// TestUninstallKeepsJobs wants the CRD and every job back after the operator was taken away.
func TestUninstallKeepsJobs(t *testing.T) {
	w := alone(t)
	job := w.submit(smallJob("kept"))
	w.awaitStep(job, 100)
	_, err := output(w.ctx, "", "helm", "uninstall", operatorName, "-n", systemNamespace, "--wait")
	w.must(err)
	if state := w.job(job).Status.State; state != v1alpha1.ReasonTraining {
		t.Errorf("after helm uninstall the job is %s", state)
	}
	w.must(installOperator("charts/hrm-operator"))
	w.expect(job, complete)
}
