package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// clusterSuite is a suite of two jobs.
const clusterSuite = `apiVersion: hrm.dev/v1alpha1
kind: HRMSuite
metadata: {name: act}
spec:
  base:
    dataset: {task: Sudoku, source: {uri: s3://hrm/puzzles.txt}}
    training: {globalBatchSize: 8, steps: 20}
    storage: {bucket: hrm, prefix: trials, endpoint: "http://s3.example.org"}
  matrix:
    - axis: halting
      values:
        - {name: adaptive}
        - {name: fixed, set: {model.act.halting: Fixed}}
`

func TestSuiteRun_createsJobsOnce(t *testing.T) {
	f := newFixture(t)
	first := f.start(clusterSuite, "suite", "run", "-f", "-")
	if status := f.ends(first); status != 0 {
		t.Fatalf("it ends with %d\n%s", status, first.err)
	}
	f.says(first.out, "act-fixed created")
	f.says(first.out, "kubectl get hrmjobs -n "+f.cluster.namespace+" -l hrm.dev/suite=act")
	job, err := f.cluster.job(t.Context(), "act-fixed")
	if err != nil {
		t.Fatal(err)
	}
	if job.Spec.Model.ACT.Halting != v1alpha1.HaltingFixed || job.Spec.Storage.Prefix != "trials/act/act-fixed" || job.Labels["suite.hrm.dev/halting"] != "fixed" {
		t.Errorf("the job is %+v with labels %v", job.Spec, job.Labels)
	}
	if len(job.OwnerReferences) > 0 {
		t.Errorf("it belongs to %v", job.OwnerReferences)
	}
	second := f.start(clusterSuite, "suite", "run", "-f", "-")
	if status := f.ends(second); status != 0 || strings.Count(second.out.String(), " exists\n") != 2 {
		t.Errorf("the second time it ends with %d\n%s%s", status, second.out, second.err)
	}
}

func TestSuiteRun_leavesJobsAloneThatAreOthers(t *testing.T) {
	f := newFixture(t)
	if status := f.ends(f.start(clusterSuite, "suite", "run", "-f", "-", "--only", "halting=fixed")); status != 0 {
		t.Fatalf("it ends with %d", status)
	}
	again := f.start(clusterSuite, "suite", "run", "-f", "-", "--set", "training.steps=30")
	if status := f.ends(again); status != exitConfiguration {
		t.Errorf("it ends with %d, want %d", status, exitConfiguration)
	}
	f.says(again.err, "act-fixed exists, and is another one than the suite's: training.steps is 20, not 30")
	if f.exists("act-adaptive") {
		t.Error("a job was created beside one that is another suite's")
	}
}

func TestSuiteRun_leavesASuspendedJobSuspended(t *testing.T) {
	f := newFixture(t)
	if status := f.ends(f.start(clusterSuite, "suite", "run", "-f", "-", "--set", "suspend=true")); status != 0 {
		t.Fatalf("it ends with %d", status)
	}
	again := f.start(clusterSuite, "suite", "run", "-f", "-")
	if status := f.ends(again); status != 0 {
		t.Errorf("it ends with %d\n%s", status, again.err)
	}
}

func TestSuiteRun_watchesUntilAllHaveEnded(t *testing.T) {
	f := newFixture(t)
	running := f.start(clusterSuite, "suite", "run", "-f", "-", "--watch")
	f.says(running.out, "act-fixed created")
	f.status("act-adaptive", trains)
	f.status("act-adaptive", completes)
	f.says(running.out, "act-adaptive is complete")
	f.status("act-fixed", func(s *v1alpha1.HRMTrainingJobStatus) {
		s.Conditions = append(s.Conditions, condition(v1alpha1.ConditionFailed, v1alpha1.ReasonDatasetError, "broken"))
	})
	if status := f.ends(running); status != exitJobFailed {
		t.Errorf("it ends with %d, want %d", status, exitJobFailed)
	}
	f.says(running.err, "act-fixed failed: DatasetError: broken")
	left := f.start(clusterSuite, "suite", "run", "-f", "-", "--watch")
	if status := f.ends(left); status != exitJobFailed {
		t.Errorf("of jobs that have ended it makes %d, want %d", status, exitJobFailed)
	}
}

func TestShippedSuites_areTakenByTheApiserver(t *testing.T) {
	f := newFixture(t)
	for name, file := range shippedSuites(t) {
		_, runs, err := (&app{}).loadSuite(suiteFlags{file: file})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range runs {
			r.Job.Namespace = f.cluster.namespace
			if err := f.cluster.Create(t.Context(), r.Job, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// What suites are based on is a job by itself, too.
func TestShippedBases_areJobs(t *testing.T) {
	files, err := filepath.Glob("../../config/suites/cpu/base/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bases: %v", err)
	}
	for _, file := range files {
		in, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		job, err := v1alpha1.Load(in)
		_ = in.Close()
		if err != nil {
			t.Errorf("%s: %v", file, err)
		} else if err := job.Validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
