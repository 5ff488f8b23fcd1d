package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
	"github.com/hrm-operator/hrm-operator/trainer/suite"
)

// evaluationKey is where the evaluation for suites is kept, beside a run's checkpoints.
const evaluationKey = "evaluation.json"

// measureError says that a model could not be measured: because its dataset is gone, say. What else is known of the run stays.
type measureError struct{ error }

func (e measureError) Unwrap() error { return e.error }

// collectRun reads what a run has left in its place, and measures its model if that is wanted.
func (a *app) collectRun(ctx context.Context, f suiteCollectFlags, s *suite.Suite, r suite.Run) (suite.Result, error) {
	result := suite.Result{Run: r.Name(), Values: map[string]string{}, State: suite.NotStarted, Metric: r.Job.Spec.Evaluation.Metric}
	for i, axis := range s.Axes() {
		result.Values[axis] = r.Values[i]
	}
	if _, steps := r.Job.Spec.Training.EpochsOrSteps(); steps > 0 {
		result.TotalSteps = steps
	}
	place := f.suite.place(r)
	if missing(place) {
		return result, nil
	}
	store, err := f.suite.open(ctx, r)
	if err != nil {
		return result, err
	}
	raw, _, err := objectstore.ReadAll(ctx, store, progress.JournalKey, maxJournal)
	if err != nil && !errors.Is(err, objectstore.ErrNotFound) {
		return result, err
	}
	records, _ := progress.ReadJournal(raw)
	result.AddJournal(records)
	last := checkpoint.Last(ctx, store)
	if last != nil {
		if result.Parameters, err = trainedParameters(ctx, store, *last); err != nil {
			return result, err
		}
		result.Steps = last.Step
	}
	if err := findState(ctx, store, r, last, &result); err != nil {
		return result, err
	}
	if result.State != suite.Finished || len(s.Spec.Evaluate.Segments) == 0 {
		return result, nil
	}
	result.Evaluation, err = a.evaluationOf(ctx, f, s, r, store, *last)
	return result, err
}

// open opens a run's place.
func (f *suiteFlags) open(ctx context.Context, r suite.Run) (objectstore.Store, error) {
	place := f.place(r)
	if place == "" {
		return jobStore(ctx, r.Job)
	}
	c, err := jobS3(r.Job)
	if err != nil {
		return nil, err
	}
	return openStore(ctx, place, c)
}

// findState says how far a run is.
func findState(ctx context.Context, store objectstore.Store, r suite.Run, last *checkpoint.Ref, result *suite.Result) error {
	if last != nil {
		manifest, err := checkpoint.ReadManifest(ctx, store, *last)
		if err != nil {
			return err
		}
		if other := jobOf(manifest); other != nil && loop.Recipe(&other.Spec) != loop.Recipe(&r.Job.Spec) {
			result.State, result.Why = suite.Other, suite.Differences(recipeOf(other), recipeOf(r.Job))
			return nil
		}
	}
	end, err := loop.FindFinished(ctx, store, &r.Job.Spec)
	switch {
	case err != nil:
		return err
	case end != nil:
		result.State, result.Why = suite.Finished, end.Early
		return nil
	}
	if why := readFailure(ctx, store); why != "" {
		result.State, result.Why = suite.Failed, why
	} else if last != nil || result.Steps > 0 {
		result.State = suite.Unfinished
	}
	return nil
}

// recipeOf is the part of a job's spec that decides what is computed.
func recipeOf(job *v1alpha1.HRMTrainingJob) *v1alpha1.HRMTrainingJobSpec {
	s := &job.Spec
	return &v1alpha1.HRMTrainingJobSpec{Model: s.Model, Dataset: s.Dataset, Training: s.Training, Evaluation: s.Evaluation}
}

// trainedParameters counts a checkpoint's parameters, without its puzzle embeddings and its initial states.
func trainedParameters(ctx context.Context, store objectstore.Store, ref checkpoint.Ref) (int64, error) {
	shapes, err := checkpoint.ReadShapes(ctx, store, ref)
	var sum int64
	for name, shape := range shapes {
		if name == model.PuzzleTable || name == model.HInit || name == model.LInit {
			continue
		}
		n := int64(1)
		for _, d := range shape {
			n *= int64(d)
		}
		sum += n
	}
	return sum, err
}

// evaluationOf returns what has been measured of a finished run's last checkpoint, or measures it and keeps it.
func (a *app) evaluationOf(ctx context.Context, f suiteCollectFlags, s *suite.Suite, r suite.Run, store objectstore.Store, last checkpoint.Ref) (*suite.Evaluation, error) {
	wanted := s.Spec.Evaluate
	if wanted.MaxExamples == 0 {
		wanted.MaxExamples = int(*r.Job.Spec.Evaluation.MaxExamples)
	}
	raw, _, err := objectstore.ReadAll(ctx, store, evaluationKey, 1<<20)
	if err != nil && !errors.Is(err, objectstore.ErrNotFound) {
		return nil, err
	}
	var kept *suite.Evaluation
	if err == nil && json.Unmarshal(raw, &kept) == nil && kept.Covers(last.Folder, wanted.MaxExamples, wanted.Segments) {
		return kept, nil
	}
	if !f.measure {
		return nil, nil
	}
	a.log.Info("measuring", "run", r.Name(), "segments", wanted.Segments, "examples", wanted.MaxExamples)
	e, err := a.measureRun(ctx, f, r, last, wanted)
	if err != nil {
		return nil, measureError{err}
	}
	if raw, err = json.Marshal(e); err != nil {
		return nil, err
	}
	if _, err := objectstore.PutBytes(ctx, store, evaluationKey, raw, objectstore.Condition{}); err != nil {
		return nil, fmt.Errorf("write %s: %w", store.URI(evaluationKey), err)
	}
	return e, nil
}

// measureRun evaluates a checkpoint at several numbers of segments.
func (a *app) measureRun(ctx context.Context, f suiteCollectFlags, r suite.Run, last checkpoint.Ref, wanted suite.Evaluate) (*suite.Evaluation, error) {
	m, err := a.openModel(ctx, f.model(r, last))
	if err != nil {
		return nil, err
	}
	defer m.close()
	data, err := m.examples(ctx, "", dataset.Test)
	if err != nil {
		return nil, err
	}
	flags := evalFlags{split: dataset.Test, limit: wanted.MaxExamples, segments: append([]int{}, wanted.Segments...), batch: 256}
	if err := flags.check(); err != nil {
		return nil, err
	}
	v, err := newEvalRun(a, flags, m, data)
	if err != nil {
		return nil, err
	}
	if err := v.run(ctx); err != nil {
		return nil, err
	}
	e := &suite.Evaluation{Checkpoint: last.Folder, MaxExamples: wanted.MaxExamples}
	for i, n := range v.counts {
		e.Points = append(e.Points, v.at[i].part(float64(n)).point())
	}
	return e, nil
}

// model names a run's checkpoint.
func (f *suiteCollectFlags) model(r suite.Run, last checkpoint.Ref) *modelFlags {
	flags := &modelFlags{step: last.Step, scratch: f.scratch, cache: f.cache, device: f.device}
	flags.store.ofJob(r.Job)
	if place := f.suite.place(r); place != "" {
		flags.store.uri = place
	}
	return flags
}

// point is a part of an evaluation as suites keep it.
func (p evalPart) point() suite.EvalPart {
	out := suite.EvalPart{Segments: int(p.Segments), Examples: p.Measured, ExactAccuracy: p.ExactAccuracy, TokenAccuracy: p.TokenAccuracy}
	for _, s := range p.Scores {
		if out.Scores == nil {
			out.Scores = map[string]float64{}
		}
		out.Scores[s.Name] = s.Value
	}
	return out
}
