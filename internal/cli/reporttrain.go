package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	"github.com/hrm-operator/hrm-operator/trainer/report"
)

// What the page that a training run writes may cost: so many puzzles, thought about for so many segments, and so long. A page
// with more 'hrm report' writes.
const (
	reportKey           = "report.html"
	endReportPuzzles    = 4
	endReportSegments   = 16
	endReportTime       = time.Minute
	endReportPuzzleTime = 30 * time.Second
)

// reportRun writes the page about a run that has come to its end into its store.
func (a *app) reportRun(ctx context.Context, store objectstore.Store, job *v1alpha1.HRMTrainingJob, data halves, n *loop.Network, note func(string)) error {
	ctx, stop := context.WithTimeout(ctx, endReportTime)
	defer stop()
	r := report.RunData{Name: store.URI("")}
	if err := addJournal(ctx, store, &r); err != nil {
		return fmt.Errorf("%s is not written: %w", reportKey, err)
	}
	if err := addCheckpoints(ctx, store, &r); err != nil {
		return fmt.Errorf("%s is not written: %w", reportKey, err)
	}
	if err := addAnalysis(ctx, store, &r); err != nil {
		r.Missing = append(r.Missing, "analysis: "+err.Error())
	}
	r.Job = job
	if err := addEndReplays(ctx, job, data, n, &r); err != nil {
		r.Missing = append(r.Missing, "puzzles: "+err.Error())
	}
	var page bytes.Buffer
	if err := report.NewRunPage(reportTitle([]report.RunData{r}), a.madeBy(time.Now()), []report.RunData{r}).WriteHTML(&page); err != nil {
		return fmt.Errorf("%s is not written: %w", reportKey, err)
	}
	if _, err := objectstore.PutBytes(ctx, store, reportKey, page.Bytes(), objectstore.Condition{}); err != nil {
		return fmt.Errorf("write %s: %w", store.URI(reportKey), err)
	}
	note("report: " + store.URI(reportKey))
	return nil
}

// addEndReplays lets the trained network reason about held-out examples, as long as there is time.
func addEndReplays(ctx context.Context, job *v1alpha1.HRMTrainingJob, data halves, n *loop.Network, r *report.RunData) error {
	if data.test == nil || data.test.Examples() == 0 {
		r.Missing = append(r.Missing, "puzzles: the dataset holds no held-out examples")
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, endReportPuzzleTime)
	defer stop()
	held, err := evalDataOf(data.test, data.copy.Dir)
	if err != nil {
		return err
	}
	reasoning := replayer{network: n, spec: &job.Spec, data: held, split: dataset.Test, segments: min(endReportSegments, job.Spec.EvaluationSegments())}
	indices := spread(endReportPuzzles, held.Examples())
	r.Replays, err = reasoning.replays(ctx, indices)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%d of %d, there was no time for more", len(indices)-len(r.Replays), len(indices))
	}
	return err
}
