package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
	"github.com/hrm-operator/hrm-operator/trainer/report"
)

// maxJournal bounds what is read of a journal: millions of lines.
const maxJournal = 1 << 30

// runData gathers what there is to tell of a run. What is missing the page says, what cannot be reached is an error.
func (a *app) runData(ctx context.Context, f reportFlags, place string) (report.RunData, error) {
	r := report.RunData{Name: strings.TrimSuffix(place, "/")}
	if !strings.HasPrefix(place, jobKind) && checkpoint.IsDir(place) {
		f.model.checkpoint = place
		r.Missing = append(r.Missing, "curves, evaluations and checkpoints: this is a single checkpoint; name the place that the job trained into")
		return r, a.addModel(ctx, f, &r)
	}
	if err := f.toPlace(ctx, place); err != nil {
		return r, err
	}
	store, err := f.model.store.open(ctx)
	if err != nil {
		return r, err
	}
	if err := addJournal(ctx, store, &r); err != nil {
		return r, err
	}
	if err := addCheckpoints(ctx, store, &r); err != nil {
		return r, err
	}
	if err := addAnalysis(ctx, store, &r); err != nil {
		return r, err
	}
	if len(r.Checkpoints) == 0 {
		if len(r.Records) == 0 {
			return r, usageError{errNothing}
		}
		r.Missing = append(r.Missing, "settings and puzzles: there is no checkpoint yet")
		return r, nil
	}
	return r, a.addModel(ctx, f, &r)
}

// toPlace lets the flags name the store of a run.
func (f *reportFlags) toPlace(ctx context.Context, place string) error {
	switch {
	case strings.HasPrefix(place, jobKind):
		return f.model.store.toJob(ctx, &f.kube, place)
	case !strings.Contains(place, "://"):
		// A store would make the directory.
		if _, err := os.Stat(place); err != nil {
			return usageError{err}
		}
	}
	f.model.store.uri = place
	return nil
}

// addJournal reads metrics.jsonl.
func addJournal(ctx context.Context, store objectstore.Store, r *report.RunData) error {
	raw, _, err := objectstore.ReadAll(ctx, store, progress.JournalKey, maxJournal)
	if errors.Is(err, objectstore.ErrNotFound) {
		r.Missing = append(r.Missing, fmt.Sprintf("curves and evaluations: %s does not exist", store.URI(progress.JournalKey)))
		return nil
	}
	if err != nil {
		return err
	}
	broken := 0
	r.Records, broken = progress.ReadJournal(raw)
	switch {
	case broken > 0:
		r.Missing = append(r.Missing, fmt.Sprintf("%s of %s: they are no records, or were cut off", plural(int32(broken), "line"), store.URI(progress.JournalKey)))
	case len(r.Records) == 0:
		r.Missing = append(r.Missing, fmt.Sprintf("curves and evaluations: %s is empty", store.URI(progress.JournalKey)))
	}
	return nil
}

// addCheckpoints lists the checkpoints, and takes the job from the best of those whose manifest can be read.
func addCheckpoints(ctx context.Context, store objectstore.Store, r *report.RunData) error {
	refs, err := checkpoint.List(ctx, store)
	if err != nil {
		return err
	}
	best, last := checkpoint.Best(ctx, store), checkpoint.Last(ctx, store)
	for _, ref := range refs {
		row := report.CheckpointRow{
			Name: ref.Folder, Step: ref.Step, Best: best != nil && best.Folder == ref.Folder, Last: last != nil && last.Folder == ref.Folder,
		}
		manifest, err := checkpoint.ReadManifest(ctx, store, ref)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, objectstore.ErrNotFound) {
			continue // a run that goes on has deleted it meanwhile
		}
		if err != nil {
			r.Missing = append(r.Missing, "a checkpoint: "+err.Error())
		} else {
			row.Time = manifest.Time
			if r.Job == nil || row.Best {
				r.Job = jobOf(manifest)
			}
		}
		r.Checkpoints = append(r.Checkpoints, row)
	}
	return nil
}

// jobOf is the job of a checkpoint with its defaults; nil if it does not say.
func jobOf(m checkpoint.Manifest) *v1alpha1.HRMTrainingJob {
	job := &v1alpha1.HRMTrainingJob{}
	if json.Unmarshal(m.Job, job) != nil {
		return nil
	}
	job.Default()
	return job
}

// addModel lets the model reason and be measured, as far as the flags want it to. That it cannot be had is only missing.
func (a *app) addModel(ctx context.Context, f reportFlags, r *report.RunData) error {
	if f.puzzles == 0 && len(f.indices) == 0 && f.evaluate == 0 {
		return nil
	}
	err := a.askModel(ctx, f, r)
	var usage usageError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &usage) && (errors.Is(err, errIndex) || errors.Is(err, errNoCheckpoint)):
		return err
	}
	r.Missing = append(r.Missing, "puzzles and figures of the model: "+err.Error())
	return nil
}

var errIndex = errors.New("--index")

func (a *app) askModel(ctx context.Context, f reportFlags, r *report.RunData) error {
	m, err := a.openModel(ctx, &f.model)
	if err != nil {
		return err
	}
	defer m.close()
	if r.Job == nil {
		r.Job = m.job
	}
	data, err := m.examples(ctx, f.data, f.split)
	if err != nil {
		return err
	}
	for _, index := range f.indices {
		if index < 0 || index >= data.Examples() {
			return usageError{fmt.Errorf("%w %d: there are %d puzzles, counted from 0", errIndex, index, data.Examples())}
		}
	}
	if f.segments == 0 {
		f.segments = min(maxReportSegments, m.job.Spec.EvaluationSegments())
	}
	indices := f.indices
	if len(indices) == 0 {
		indices = spread(f.puzzles, data.Examples())
	}
	if len(indices) > 0 {
		reasoning := replayer{network: m.network, spec: &m.job.Spec, data: data, split: f.split, segments: f.segments}
		if r.Replays, err = reasoning.replays(ctx, indices); err != nil {
			return err
		}
	}
	if f.evaluate == 0 {
		return nil
	}
	v, err := newEvalRun(a, evalFlags{split: f.split, limit: f.evaluate, segments: []int{f.segments}, batch: 64, budget: f.budget}, m, data)
	if err != nil {
		return err
	}
	if err := v.run(ctx); err != nil {
		return err
	}
	r.Evaluations = v.report(false).tables()
	return nil
}

// tables are an evaluation as a page shows it.
func (r evalReport) tables() []report.Table {
	what := fmt.Sprintf("%s on %d %s examples, %g segments", path.Base(r.Checkpoint), r.Examples, r.Split, r.Segments)
	if r.Stopped != "" {
		what += fmt.Sprintf(", stopped (%s) before %d", r.Stopped, r.Of)
	}
	t := report.Table{Title: "Measured for this page: " + what, Head: []string{"figure", "value", "of"}}
	t.Rows = [][]string{{"exact", percent(r.ExactAccuracy), fmt.Sprint(r.Examples)}, {"tokens", percent(r.TokenAccuracy), fmt.Sprint(r.Examples)}}
	for _, s := range r.Scores {
		t.Rows = append(t.Rows, []string{s.Name, percent(s.Value), fmt.Sprint(s.Of)})
	}
	list := []report.Table{t}
	if rows := r.bandRows(); len(rows) > 0 {
		list = append(list, report.Table{Title: "By rating", Head: rows[0], Rows: rows[1:]})
	}
	return list
}
