package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/s3server"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
)

const runnable = `apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: trial}
spec:
  dataset: {task: Sudoku, source: {uri: s3://hrm/puzzles.txt}}
  training: {globalBatchSize: 8, steps: 20}
  storage: {bucket: hrm, endpoint: "http://s3.example.org"}
`

func TestRun_createsAJobAndFollowsItToItsEnd(t *testing.T) {
	f := newFixture(t)
	running := f.start(runnable, "run", "-f", "-", "--set", "storage.prefix=trials/7")
	f.says(running.out, "trial created")
	job, err := f.cluster.job(t.Context(), "trial")
	if err != nil {
		t.Fatal(err)
	}
	if job.Spec.Storage.Prefix != "trials/7" {
		t.Errorf("prefix %q: --set had no effect", job.Spec.Storage.Prefix)
	}
	f.status("trial", trains)
	f.status("trial", completes)
	if status := f.ends(running); status != 0 {
		t.Errorf("exit status %d\n%s", status, running.err)
	}
	if !f.exists("trial") {
		t.Error("the job was deleted unasked")
	}
}

func TestRun_takesAGeneratedName(t *testing.T) {
	f := newFixture(t)
	running := f.start(strings.Replace(runnable, "name: trial", "generateName: trial-", 1), "run", "-f", "-")
	var jobs v1alpha1.HRMTrainingJobList
	f.says(running.out, "created")
	if err := f.cluster.List(t.Context(), &jobs); err != nil {
		t.Fatal(err)
	}
	name := ""
	for _, job := range jobs.Items {
		if job.Namespace == f.cluster.namespace {
			name = job.Name
		}
	}
	f.says(running.out, name+" created")
	f.status(name, trains)
	f.status(name, completes)
	if status := f.ends(running); status != 0 {
		t.Errorf("exit status %d\n%s", status, running.err)
	}
}

func TestRun_deletesTheJobHoweverItEnds(t *testing.T) {
	for name, test := range map[string]struct {
		args   []string
		end    func(*fixture, *command)
		status int
	}{
		"complete": {nil, func(f *fixture, _ *command) { f.status("trial", trains); f.status("trial", completes) }, 0},
		"failed": {nil, func(f *fixture, _ *command) {
			f.status("trial", func(s *v1alpha1.HRMTrainingJobStatus) {
				s.Conditions = append(s.Conditions, condition(v1alpha1.ConditionFailed, v1alpha1.ReasonDatasetError, "broken"))
			})
		}, exitJobFailed},
		"interrupted": {nil, func(_ *fixture, c *command) { c.cancel() }, exitLeft},
		"too late":    {[]string{"--timeout", "1ms"}, func(*fixture, *command) {}, exitJobFailed},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			running := f.start(runnable, append([]string{"run", "-f", "-", "--delete"}, test.args...)...)
			f.says(running.out, "trial created")
			test.end(f, running)
			if status := f.ends(running); status != test.status {
				t.Errorf("exit status %d, want %d\n%s", status, test.status, running.err)
			}
			if f.exists("trial") {
				t.Error("the job is still there")
			}
		})
	}
}

func TestRun_refusesWhatCannotBe(t *testing.T) {
	f := newFixture(t)
	if status := f.ends(f.start("kind: Pod", "run", "-f", "-")); status != exitConfiguration {
		t.Errorf("exit status %d for what is no job", status)
	}
	if status := f.ends(f.start("", "run")); status != exitUsage {
		t.Errorf("exit status %d without a file", status)
	}
	first := f.start(runnable, "run", "-f", "-")
	f.says(first.out, "created")
	second := f.start(runnable, "run", "-f", "-", "--delete")
	if status := f.ends(second); status == 0 {
		t.Error("a job of the same name was accepted")
	}
	f.says(second.err, "exists: watch it with kubectl hrm watch trial")
	if !f.exists("trial") {
		t.Error("--delete deleted a job that this run did not create")
	}
}

func TestDataSample_writesPuzzlesWhereTheyAreWanted(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", s3server.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3server.SecretAccessKey)
	server := s3server.Start(t)
	server.Bucket(t, "hrm")
	dir := t.TempDir()
	for name, test := range map[string]struct {
		args []string
		file string
	}{
		"a file":   {[]string{"--out", filepath.Join(dir, "puzzles.txt")}, filepath.Join(dir, "puzzles.txt")},
		"a bucket": {[]string{"--out", "s3://hrm/try/puzzles.txt", "--endpoint", server.Endpoint, "--region", s3server.Region}, filepath.Join(server.Dir, "hrm/try/puzzles.txt")},
	} {
		t.Run(name, func(t *testing.T) {
			var out, problems buffer
			args := append([]string{"hrm", "data", "sample", "--puzzles", "12"}, test.args...)
			if status := run(t.Context(), args, "test", strings.NewReader(""), &out, &problems); status != 0 {
				t.Fatalf("exit status %d\n%s", status, &problems)
			}
			file, err := os.Open(test.file)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = file.Close() }()
			puzzles, err := sudoku.Parse(t.Context(), test.file, file)
			if err != nil || len(puzzles) != 12 {
				t.Errorf("%d puzzles: %v", len(puzzles), err)
			}
		})
	}
}
