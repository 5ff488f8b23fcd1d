package loop

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	apiprogress "github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

// Checkpoints keeps the states of one job, whole or not at all.
type Checkpoints interface {
	// Save keeps a state, which becomes the last one, and the best one too if best is set. Saving what is kept already
	// is no error, so that a try that failed half way can be made again.
	Save(ctx context.Context, s State, best bool) (apiprogress.Checkpoint, error)
	// Latest returns the last state that can be trusted, nil if there is none. It notes what it had to pass over.
	Latest(ctx context.Context, note func(string)) (*State, apiprogress.Checkpoint, error)
}

// The names of a state's scalars: what a run remembers besides the trainer.
const (
	scalarBest      = "bestValue"
	scalarMetric    = "bestMetric" // what scalarBest is a value of
	scalarWaited    = "evaluationsSinceBest"
	scalarLast      = "lastExactAccuracy"
	scalarEvaluated = "evaluatedStep"
	// scalarBestExact is what checkpoints of version 0.1 have in place of the first three.
	scalarBestExact = "bestExactAccuracy"
	// scalarNodes is how many processes trained.
	scalarNodes = "nodes"
	// scalarFinished is the recipe of a run that has come to its end; only its last state has it.
	scalarFinished = "finished"
	// scalarEarly says why it ended before its last step, if it did.
	scalarEarly = "endedEarly"
)

// scalars are the run's own part of a state.
func (r *run) scalars() map[string]string {
	s := map[string]string{
		scalarBest:      strconv.FormatFloat(r.standing.best, 'g', -1, 64),
		scalarMetric:    string(metricName(r.Spec)),
		scalarWaited:    strconv.Itoa(r.standing.waited),
		scalarLast:      strconv.FormatFloat(r.last, 'g', -1, 64),
		scalarEvaluated: strconv.FormatInt(r.evaluated, 10),
		scalarNodes:     strconv.Itoa(r.Group.Size()),
	}
	if r.ended() {
		s[scalarFinished] = Recipe(r.Spec)
	}
	if reason := r.earlyEnd(); reason != "" {
		s[scalarEarly] = reason
	}
	return s
}

func (r *run) restoreScalars(s map[string]string) (err error) {
	if r.standing, err = readStanding(s, metricName(r.Spec)); err != nil {
		return err
	}
	if r.last, err = strconv.ParseFloat(s[scalarLast], 64); err != nil {
		return fmt.Errorf("%s: %w", scalarLast, err)
	}
	if r.evaluated, err = strconv.ParseInt(s[scalarEvaluated], 10, 64); err != nil {
		return fmt.Errorf("%s: %w", scalarEvaluated, err)
	}
	if r.evaluated >= 0 {
		r.Tracker.Evaluated(r.last)
	}
	return nil
}

// readStanding reads how the evaluations have gone. Values of another metric say nothing about those to come: the counts
// begin anew.
func readStanding(s map[string]string, metric v1alpha1.EvaluationMetric) (standing, error) {
	value, of, waited := s[scalarBest], v1alpha1.EvaluationMetric(s[scalarMetric]), s[scalarWaited]
	if value == "" {
		value, of, waited = s[scalarBestExact], v1alpha1.EvaluationMetricExactAccuracy, "0"
	}
	if of != metric {
		return standing{best: -1}, nil
	}
	best, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return standing{}, fmt.Errorf("%s: %w", scalarBest, err)
	}
	count, err := strconv.Atoi(waited)
	if err != nil {
		return standing{}, fmt.Errorf("%s: %w", scalarWaited, err)
	}
	return standing{best: best, waited: count}, nil
}

// offer snapshots the run and hands it to the saver; training goes on meanwhile. All ranks of a group must call it, and
// rank 0 saves.
func (r *run) offer(best bool) error {
	if err := r.settle(); err != nil {
		return err
	}
	r.watch.lap(partCompute)
	defer r.watch.lap(partCheckpoint)
	if err := r.trainer.replicas(r.Group.Context()); err != nil {
		return err
	}
	state, err := r.trainer.export(r.Group.Context())
	if err != nil {
		return fmt.Errorf("snapshot of step %d: %w", r.trainer.step, err)
	}
	r.offered, r.offeredEnd, r.savedAt = r.trainer.step, r.ended(), r.Now()
	if r.Group.Rank() != 0 {
		return nil
	}
	state.Scalars = r.scalars()
	journals := map[string][]byte{progress.JournalKey: r.journal.Bytes(), progress.AttemptJournalKey(r.Attempt): r.attempt.Bytes()}
	journals[progress.EventsKey] = progress.Events(journals[progress.JournalKey])
	r.saver.offer(snapshot{step: state.Step, best: best, save: func(ctx context.Context) error {
		// The journals first: lines after the checkpoint that a run resumes from are dropped, missing ones are lost.
		for key, journal := range journals {
			if err := putJournal(ctx, r.Store, key, journal); err != nil {
				return err
			}
		}
		saved, err := r.Checkpoints.Save(ctx, state, best)
		if err != nil {
			return err
		}
		r.Tracker.Saved(saved, best)
		return nil
	}})
	return nil
}

func putJournal(ctx context.Context, store objectstore.Store, key string, journal []byte) error {
	if key == "" {
		return nil
	}
	_, err := store.Put(ctx, key, bytes.NewReader(journal), int64(len(journal)), objectstore.Condition{})
	if err != nil {
		return fmt.Errorf("write %s: %w", store.URI(key), err)
	}
	return nil
}
