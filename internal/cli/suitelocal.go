package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	apiprogress "github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
	"github.com/hrm-operator/hrm-operator/trainer/suite"
)

// trainSuite trains jobs on this machine, one after the other.
func (a *app) trainSuite(ctx context.Context, f suiteRunFlags, runs []suite.Run) error {
	var failed []string
	for i, r := range runs {
		if _, err := fmt.Fprintf(a.out, "[%d/%d] %s\n", i+1, len(runs), r.Name()); err != nil {
			return err
		}
		began := time.Now()
		report, err := a.trainRun(ctx, f, r)
		if exitCode(err) == exitInterrupted {
			return err
		}
		text := fmt.Sprintf("done: %s, in %s", trainedText(report), clockTime(time.Since(began)))
		if err != nil {
			failed = append(failed, r.Name())
			text = fmt.Sprintf("failed: %v", err)
		}
		if _, err := fmt.Fprintf(a.out, "[%d/%d] %s %s\n", i+1, len(runs), r.Name(), text); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return statusError{exitJobFailed, fmt.Errorf("%d of %d runs failed: %s; the same command tries them again", len(failed), len(runs), strings.Join(failed, ", "))}
	}
	return nil
}

// trainRun trains one job, or goes on with it.
func (a *app) trainRun(ctx context.Context, f suiteRunFlags, r suite.Run) (apiprogress.Report, error) {
	job := r.Job.DeepCopy()
	job.Spec.Nodes = 1 // of how many processes there are nothing depends that is computed
	raw, err := json.Marshal(job)
	if err != nil {
		return apiprogress.Report{}, err
	}
	f.train.store = f.suite.place(r)
	tracker := progress.NewTracker(time.Now, a.display())
	// A failure of the machine beneath one run is that run's only.
	err = dataset.Guarded(func() error { return a.trainJob(ctx, job, raw, f.train, tracker) })
	tracker.Close()
	return tracker.Report(), err
}

// trainedText says in a few words what a run has come to.
func trainedText(r apiprogress.Report) string {
	text := fmt.Sprintf("%d steps", r.Step)
	if r.EvalExactAccuracy != nil {
		text += ", held-out exact " + percent(*r.EvalExactAccuracy)
	}
	return text
}
