package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	"github.com/hrm-operator/hrm-operator/trainer/report"
)

// Where a training run leaves its analysis in its store: the pictures first, the document last.
const (
	analysisFolder = "analysis"
	analysisKey    = analysisFolder + "/analysis.json"
)

// maxAnalysis bounds what is read of a document: those of a training run are far smaller.
const maxAnalysis = 64 << 20

// analyzeRun measures a run's network that has come to its end, as the job wants it, and writes what comes of it into the store.
func (a *app) analyzeRun(ctx context.Context, store objectstore.Store, job *v1alpha1.HRMTrainingJob, data halves, n *loop.Network, note func(string)) error {
	spec := job.Spec.Analysis
	if spec == nil {
		return nil
	}
	limit := time.Duration(spec.TimeoutSeconds) * time.Second
	within, stop := context.WithTimeout(ctx, limit)
	defer stop()
	err := analyzeInto(within, store, job, data, n, note)
	switch {
	case err == nil:
		note("analysis: " + store.URI(analysisKey))
		return nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return fmt.Errorf("the analysis is not written: it takes longer than %s: lower analysis.trajectories or raise analysis.timeoutSeconds", limit)
	}
	return fmt.Errorf("the analysis is not written: %w", err)
}

func analyzeInto(ctx context.Context, store objectstore.Store, job *v1alpha1.HRMTrainingJob, data halves, n *loop.Network, note func(string)) error {
	spec := job.Spec.Analysis
	if data.test == nil || data.test.Examples() == 0 {
		return errors.New("the dataset holds no held-out examples")
	}
	held, err := evalDataOf(data.test, data.copy.Dir)
	if err != nil {
		return err
	}
	layers, err := layersNamed(spec.Attention)
	if err != nil {
		return err
	}
	r, err := analyst{
		network: n, data: held, split: dataset.Test, trajectories: int(spec.Trajectories), segments: job.Spec.AnalysisSegments(),
		halting: haltingExamples, attention: layers, untrained: spec.Untrained != nil && *spec.Untrained, seed: job.Spec.Training.Seed, note: note,
	}.measure(ctx)
	if err != nil {
		return err
	}
	if last := checkpoint.Last(ctx, store); last != nil {
		r.Checkpoint, r.Step = store.URI(last.Folder), last.Step
	}
	return r.put(ctx, store)
}

// put writes the analysis into a store.
func (r *analysisReport) put(ctx context.Context, store objectstore.Store) error {
	pictures, err := r.pictures()
	if err != nil {
		return err
	}
	for name, picture := range pictures {
		if _, err := objectstore.PutBytes(ctx, store, path.Join(analysisFolder, name), picture, objectstore.Condition{}); err != nil {
			return err
		}
	}
	document, err := r.document()
	if err != nil {
		return err
	}
	_, err = objectstore.PutBytes(ctx, store, analysisKey, document, objectstore.Condition{})
	return err
}

// addAnalysis adds what a training run has left of its analysis, if anything, to what there is to tell of it.
func addAnalysis(ctx context.Context, store objectstore.Store, r *report.RunData) error {
	raw, _, err := objectstore.ReadAll(ctx, store, analysisKey, maxAnalysis)
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", store.URI(analysisKey), err)
	}
	var found analysisReport
	if err := json.Unmarshal(raw, &found); err != nil || found.Trained == nil {
		r.Missing = append(r.Missing, fmt.Sprintf("analysis: %s is no analysis", store.URI(analysisKey)))
		return nil
	}
	charts := found.charts()
	for _, name := range []string{"participation", "residual", "answers"} {
		chart := charts[name]
		chart.Title += fmt.Sprintf(", at step %d", found.Step)
		r.Analysis = append(r.Analysis, chart)
	}
	return nil
}
