package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

// trains is a status of a job in the middle of its second attempt.
func trains(s *v1alpha1.HRMTrainingJobStatus) {
	*s = v1alpha1.HRMTrainingJobStatus{
		State: "Training", Attempts: 2, Restarts: 1, Disruptions: 3,
		Conditions:     []metav1.Condition{condition(v1alpha1.ConditionRunning, v1alpha1.ReasonTraining, "attempt 2 trains")},
		Progress:       &v1alpha1.ProgressStatus{Step: 300, TotalSteps: 1200, StepOfTotal: "300/1200", Loss: "0.412", SamplesPerSecond: "397.4"},
		LastCheckpoint: &v1alpha1.CheckpointStatus{URI: "s3://hrm/j/checkpoints/step-250", Step: 250},
	}
}

func completes(s *v1alpha1.HRMTrainingJobStatus) {
	s.State, s.Progress.Step, s.Progress.EvalExactAccuracy = "Complete", 1200, "0.88"
	s.Conditions = append(s.Conditions, condition(v1alpha1.ConditionComplete, v1alpha1.ReasonTrained, "1200 steps were made"))
}

func TestWatch_showsAJobUntilItIsComplete(t *testing.T) {
	f := newFixture(t)
	f.create(builders.Job("sudoku"))
	watching := f.start("", "watch", "sudoku")
	f.says(watching.out, "no operator has seen the job yet")
	f.status("sudoku", trains)
	for _, text := range []string{
		"Training (2 attempts, 1 restart, 3 disruptions): attempt 2 trains", "step=300 of=1200", "loss=0.412", "samplesPerSecond=397.4",
		"checkpoint of step 250: s3://hrm/j/checkpoints/step-250",
	} {
		f.says(watching.out, text)
	}
	f.status("sudoku", completes)
	if status := f.ends(watching); status != 0 {
		t.Errorf("exit status %d for a job that is complete\n%s", status, watching.err)
	}
	f.says(watching.out, "is complete: 1200 steps, held-out exact 0.88; last checkpoint s3://hrm/j/checkpoints/step-250")
}

func TestWatch_exitsWithOneIfTheJobFailed(t *testing.T) {
	f := newFixture(t)
	f.create(builders.Job("sudoku"))
	f.status("sudoku", func(s *v1alpha1.HRMTrainingJobStatus) {
		s.State = "Failed"
		s.Conditions = []metav1.Condition{condition(v1alpha1.ConditionFailed, v1alpha1.ReasonDatasetError, "puzzles.csv:7: 80 characters")}
	})
	watching := f.start("", "watch", "sudoku")
	if status := f.ends(watching); status != exitJobFailed {
		t.Errorf("exit status %d, want %d", status, exitJobFailed)
	}
	f.says(watching.err, "failed: DatasetError: puzzles.csv:7: 80 characters; its logs: kubectl hrm logs sudoku")
}

func TestWatch_leavesWithoutAWordWhenInterrupted(t *testing.T) {
	f := newFixture(t)
	f.create(builders.Job("sudoku"))
	watching := f.start("", "watch", "sudoku")
	f.says(watching.out, "no operator")
	watching.cancel()
	if status := f.ends(watching); status != exitLeft {
		t.Errorf("exit status %d, want %d", status, exitLeft)
	}
	if text := watching.err.String(); text != "" {
		t.Errorf("says %q", text)
	}
	if !f.exists("sudoku") {
		t.Error("the job is gone")
	}
}

func TestWatch_goesOnWhenTheClusterIsAwayForAWhile(t *testing.T) {
	f := newFixture(t)
	f.create(builders.Job("sudoku"))
	f.status("sudoku", trains)
	watching := f.start("", "watch", "sudoku")
	f.says(watching.out, "attempt 2 trains")
	f.wire.setCut(true)
	f.says(watching.out, "the cluster does not answer")
	f.wire.setCut(false)
	f.says(watching.out, "the cluster answers again")
	f.status("sudoku", completes)
	if status := f.ends(watching); status != 0 {
		t.Errorf("exit status %d\n%s", status, watching.err)
	}
}

func TestWatch_endsWhenTheJobIsDeleted(t *testing.T) {
	f := newFixture(t)
	f.create(builders.Job("sudoku"))
	watching := f.start("", "watch", "sudoku")
	f.says(watching.out, "no operator")
	if err := f.cluster.Delete(t.Context(), builders.Job("sudoku").In(f.cluster.namespace).New()); err != nil {
		t.Fatal(err)
	}
	if status := f.ends(watching); status != exitInternal {
		t.Errorf("exit status %d, want %d", status, exitInternal)
	}
	f.says(watching.err, "it was deleted")
}

func TestWatch_refusesAJobThatIsNotThere(t *testing.T) {
	f := newFixture(t)
	watching := f.start("", "watch", "nothing")
	if status := f.ends(watching); status == 0 {
		t.Error("exit status 0")
	}
	f.says(watching.err, "not found")
}

func TestSituation(t *testing.T) {
	at := func(kind string, is metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: is, Reason: reason, Message: message}
	}
	for name, test := range map[string]struct {
		status v1alpha1.HRMTrainingJobStatus
		want   string
	}{
		"new": {v1alpha1.HRMTrainingJobStatus{}, "Pending: no operator has seen the job yet"},
		"unschedulable": {v1alpha1.HRMTrainingJobStatus{State: "Unschedulable", Attempts: 1, Conditions: []metav1.Condition{
			at("Running", "False", "Unschedulable", "pod p finds no node"), at("Progressing", "True", "Progressing", ""),
		}}, "Unschedulable (1 attempt): pod p finds no node"},
		"suspended": {v1alpha1.HRMTrainingJobStatus{State: "Suspended", Conditions: []metav1.Condition{
			at("Running", "False", "Suspended", "the job is suspended"), at("Suspended", "True", "Suspended", "set spec.suspend to false"),
		}}, "Suspended: set spec.suspend to false"},
		"failed": {v1alpha1.HRMTrainingJobStatus{State: "Failed", Restarts: 3, Conditions: []metav1.Condition{
			at("Running", "False", "Finished", "the job is over"), at("Failed", "True", "RestartsExceeded", "four attempts failed"),
		}}, "Failed (3 restarts): RestartsExceeded: four attempts failed"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, situation(&test.status)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestList_tellsHowJobsAreDoing(t *testing.T) {
	f := newFixture(t)
	f.create(builders.Job("sudoku"))
	f.status("sudoku", trains)
	listing := f.start("", "list")
	if status := f.ends(listing); status != 0 {
		t.Fatalf("exit status %d\n%s", status, listing.err)
	}
	rows := strings.Split(strings.TrimSpace(listing.out.String()), "\n")
	if len(rows) != 2 {
		t.Fatalf("%d rows, want the header and the job\n%s", len(rows), listing.out)
	}
	want := []string{f.cluster.namespace, "sudoku", "Training", "300/1200", "0.412", "-", "2", "1", "3"}
	if diff := cmp.Diff(want, strings.Fields(rows[1])[:9]); diff != "" {
		t.Error(diff)
	}
}

func TestPrintJobs_putsTheNewestFirst(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out buffer
	a := &app{out: &out, err: &out}
	old, young := builders.Job("old").Obj(), builders.Job("young").Obj()
	old.CreationTimestamp, young.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour)), metav1.NewTime(now.Add(-time.Minute))
	if err := a.printJobs([]v1alpha1.HRMTrainingJob{*old, *young}, now); err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(out.String(), "\n")
	if !strings.Contains(rows[1], "young") || !strings.Contains(rows[1], "60s") || !strings.Contains(rows[2], "old") {
		t.Errorf("table:\n%s", &out)
	}
}
