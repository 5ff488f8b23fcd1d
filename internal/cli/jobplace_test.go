package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
	"github.com/hrm-operator/hrm-operator/internal/testing/s3server"
)

// Commands that ask what a job has learned find its place in a bucket by its name.
func TestJobs_areFoundByTheirNames(t *testing.T) {
	server := s3server.Start(t)
	server.Bucket(t, "hrm")
	f := newFixture(t)
	// A prefix may have what means something else in a URI.
	for name, prefix := range map[string]string{"first": "runs/lr 1e-3 #1?", "second": "runs/second%20"} {
		f.create(builders.Job(name).Storage(server.Endpoint, prefix))
		if code, said := trainInto(t.Context(), t, server.Endpoint, nil, "training.steps=2", "storage.prefix="+prefix); code != exitDone {
			t.Fatalf("%s ends with %d:\n%s", name, code, said)
		}
	}
	f.create(builders.Job("waiting").Storage(server.Endpoint, "runs/waiting"))
	page := filepath.Join(t.TempDir(), "report.html")
	model := []string{"--device", "reference", "--scratch", t.TempDir(), "--segments", "1"}
	for name, row := range map[string]struct {
		args   []string
		status int
		says   []string
	}{
		"a report":           {append([]string{"report", "job/first", "--puzzles", "1", "--evaluate", "2", "--out", page}, model...), exitDone, []string{"1 run"}},
		"a report of two":    {[]string{"report", "job/first", "job/second", "--puzzles", "0", "--evaluate", "0", "--out", page + ".2"}, exitDone, []string{"2 runs"}},
		"an analysis":        {append([]string{"analyze", "job/second", "--trajectories", "1", "--halting", "0"}, model...), exitDone, []string{"Participation ratio", "step-0000000002"}},
		"the same by name":   {append([]string{"analyze", "second", "--trajectories", "1", "--halting", "0"}, model...), exitDone, []string{"Participation ratio"}},
		"checkpoints":        {[]string{"checkpoint", "list", "first"}, exitDone, []string{"step-0000000002"}},
		"the same by kind":   {[]string{"checkpoint", "verify", "job/second"}, exitDone, []string{"intact"}},
		"a job that is not":  {[]string{"report", "job/third", "--out", page}, exitInternal, []string{"third", "not found"}},
		"a job that waits":   {[]string{"report", "job/waiting", "--out", page}, exitUsage, []string{"neither metrics.jsonl nor a checkpoint"}},
		"a job and a place":  {[]string{"analyze", "job/first", "--store", "./run"}, exitUsage, []string{"a JOB excludes --store and --checkpoint"}},
		"analysis of nobody": {[]string{"analyze", "job/third"}, exitInternal, []string{"third", "not found"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := f.start("", row.args...)
			status := f.ends(c)
			for _, want := range row.says {
				if status != row.status || !strings.Contains(c.out.String()+c.err.String(), want) {
					t.Errorf("ends with %d, want %d and words about %q\n%s%s", status, row.status, want, c.out, c.err)
				}
			}
		})
	}
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Training run tiny (job/first)", "test 0", "Measured for this page", "Loss per example"} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("the page does not tell of %q", want)
		}
	}
}
