package loop

import (
	"context"
	"errors"
	"fmt"
	"time"

	apiprogress "github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

// ErrInterrupted says that a run was asked to stop, and that everything up to its last step is saved.
var ErrInterrupted = errors.New("interrupted: the checkpoint is saved, and the same command goes on from it")

// Parting is what a process that has ended with err says to its group: nothing if all have come to the same end.
func Parting(err error) error {
	if errors.Is(err, ErrInterrupted) {
		return nil
	}
	return err
}

// recordEvery is the number of steps between two lines of metrics.jsonl.
const recordEvery = 10

// Options are what a run needs. The spec must have its defaults.
type Options struct {
	Spec *v1alpha1.HRMTrainingJobSpec
	// Train and Test are the dataset's halves; Test may be nil.
	Train, Test *dataset.Dataset
	// NewScorer makes what judges the answers to one evaluation of Test by the task's rules; nil, or what returns nil, has
	// nothing to add to exact and token accuracy.
	NewScorer func() (dataset.Scorer, error)
	Device    device.Device
	// Group is the processes that train together; nil means this one alone. Store, Checkpoints and the journal are those of
	// rank 0; the other ranks need none.
	Group collective.Group
	// Attempt is the number of the job's attempt, 0 if it does not count them.
	Attempt int
	// Store is where metrics.jsonl goes, beside the checkpoints.
	Store       objectstore.Store
	Checkpoints Checkpoints
	Tracker     *progress.Tracker
	// Weights reads what a new run begins with at step 0, under the official names; nil draws them. It is only called by rank
	// 0, and not by a run that has a checkpoint to go on from.
	Weights func() (map[string]checkpoint.Tensor, error)
	// AtEnd, if not nil, is called by rank 0 with the trained network when everything is saved. What it does the run does not depend
	// on: its error is only noted.
	AtEnd func(ctx context.Context, n *Network) error

	// Now is the clock. Time decides when to save, never what is computed.
	Now func() time.Time
	// Backoff is how long to wait before saving is tried again; nil means 1 to 30 seconds.
	Backoff func(attempt int) time.Duration
}

// run is a training run in progress.
type run struct {
	Options
	plan      plan
	trainer   *Trainer
	network   *Network
	evaluator *Evaluator
	testLimit int
	scored    bool // evaluations have a scorer
	saver     *saver
	journal   *progress.Journal
	attempt   *progress.Journal // the lines of this attempt only
	watch     *stopwatch

	last       float64 // the exact accuracy of the last evaluation
	standing   standing
	evaluated  int64 // the step of the last evaluation
	offered    int64 // the step of the last snapshot
	offeredEnd bool  // it is the end of the run
	savedAt    time.Time
	// unreported is the time spent since steps were last reported.
	unreported time.Duration
	// accounted is the time, by part of the work, that lines of the journal tell of.
	accounted map[string]time.Duration
}

// Run trains until the last step, saving and evaluating on the way. When ctx ends it finishes the step it is in, saves,
// and returns ErrInterrupted. A run whose store holds a checkpoint of the same job goes on from there, bit for bit.
//
// In a group all ranks run side by side and stop together: when the ctx of one of them ends, all finish the same step,
// rank 0 saves, and all return ErrInterrupted. When one is lost the others return a collective.PeerLostError.
func Run(ctx context.Context, o Options) (err error) {
	if o.Backoff == nil {
		o.Backoff = exponential
	}
	if o.Group == nil {
		o.Group = collective.Single{}
	}
	r, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	// Saving outlives ctx: that is what SIGTERM is about.
	saving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	r.saver = newSaver(saving, o.Tracker.Note, o.Backoff)
	r.saver.failed = o.Tracker.SaveFailed
	r.savedAt = o.Now()
	return r.train(ctx)
}

// train is the run: evaluate and save where the plan says so, and step until the end. In a group every rank passes the
// same points in the same order: what depends on clocks, signals and the store is agreed on.
func (r *run) train(ctx context.Context) error {
	r.Tracker.Begin(r.trainer.step, r.plan.total, r.plan.epoch(r.trainer.step))
	for {
		step := r.trainer.step
		if err := r.evaluateIfDue(ctx); err != nil {
			return r.abort(err)
		}
		if err := r.saver.err(); err != nil {
			return err
		}
		next, err := r.agree(ctx, step)
		if err != nil {
			return r.abort(err)
		}
		if next.stop {
			return r.interrupt()
		}
		if next.save {
			if err := r.offer(false); err != nil {
				return r.abort(err)
			}
		}
		if step >= r.plan.total || r.outOfPatience() {
			return r.finish(ctx)
		}
		if err := r.step(); err != nil {
			return r.abort(err)
		}
	}
}

// decision is what all ranks do next.
type decision struct{ stop, save bool }

// agree makes one decision of what the ranks know: any of them may have been asked to stop; rank 0's clock says when to
// save.
func (r *run) agree(ctx context.Context, step int64) (decision, error) {
	all, err := r.Group.AllGather(r.Group.Context(), []byte{flag(ctx.Err() != nil), flag(r.saveDue(step))})
	if err != nil {
		return decision{}, fmt.Errorf("after step %d: %w", step, err)
	}
	d := decision{save: all[0][1] != 0}
	for _, wish := range all {
		d.stop = d.stop || wish[0] != 0
	}
	r.watch.lap(partAllReduce)
	return d, nil
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// step makes one step and reports it. It is finished even if this process is asked to stop meanwhile; a lost peer ends it.
func (r *run) step() error {
	began := r.Now()
	if err := r.trainer.Step(r.Group.Context()); err != nil {
		return err
	}
	return r.report(r.Now().Sub(began))
}

// settle waits until the steps that the device is behind are done, and reports them.
func (r *run) settle() error {
	began := r.Now()
	if err := r.trainer.Settle(); err != nil {
		return err
	}
	return r.report(r.Now().Sub(began))
}

// report reports the steps that have been done since the last time, for which so much time was spent meanwhile.
func (r *run) report(took time.Duration) error {
	r.unreported += took
	list := r.trainer.takeMade()
	for _, m := range list {
		if err := r.reportStep(m, r.unreported/time.Duration(len(list))); err != nil {
			return err
		}
	}
	if len(list) > 0 {
		r.unreported = 0
	}
	return nil
}

func (r *run) reportStep(m made, took time.Duration) error {
	report := progress.Step{Step: m.step, Epoch: r.plan.epoch(m.step), Samples: r.plan.batch, Took: took}
	due := r.windowEnds(m.step)
	if w := &m.window; due || m.step < recordEvery {
		report.Loss, report.Accuracy, report.ExactAccuracy = w.loss(), mean(w.Accuracy, w.Halted), mean(w.Exact, w.Halted)
	}
	r.Tracker.Step(report)
	if !due {
		return nil
	}
	record := r.trainer.record(m)
	record.Time, record.Epoch, record.SamplesPerSecond = r.Now().UTC(), report.Epoch, r.Tracker.Report().SamplesPerSecond
	return r.write(record)
}

// windowEnds says whether a line of metrics.jsonl is due after a step.
func (r *run) windowEnds(step int64) bool { return step%recordEvery == 0 || step == r.plan.total }

// write adds a line to the journals.
func (r *run) write(record progress.Record) error {
	spent := r.Tracker.Parts()
	record.Seconds = secondsBetween(r.accounted, spent)
	r.accounted = spent
	return errors.Join(r.journal.Add(record), r.attempt.Add(record))
}

// secondsBetween are the seconds that were spent on each part meanwhile.
func secondsBetween(before, after map[string]time.Duration) map[string]float64 {
	seconds := map[string]float64{}
	for part, d := range after {
		if d > before[part] {
			seconds[part] = (d - before[part]).Round(time.Microsecond).Seconds()
		}
	}
	return seconds
}

// record is the line of metrics.jsonl for the window that ends with a step.
func (t *Trainer) record(m made) progress.Record {
	w := &m.window
	return progress.Record{
		Step: m.step, LearningRate: t.learningRate(m.step, t.hyper.LearningRate), Loss: w.loss(),
		LMLoss: mean(w.LM, w.Rows), QHaltLoss: mean(w.QHalt, w.Rows), QContinueLoss: mean(w.QContinue, w.Rows),
		Accuracy: mean(w.Accuracy, w.Halted), ExactAccuracy: mean(w.Exact, w.Halted),
		QHaltAccuracy: mean(w.QHaltAccuracy, w.Halted), Steps: mean(w.Took, w.Halted),
	}
}

// saveDue says whether a checkpoint is due, by steps or by the clock.
func (r *run) saveDue(step int64) bool {
	if r.ended() && !r.offeredEnd {
		return true
	}
	if step == r.offered {
		return false
	}
	every := r.Spec.Checkpoint.EverySeconds
	return r.plan.saveAfter(step) || every != nil && r.Now().Sub(r.savedAt) >= time.Duration(*every)*time.Second
}

// finish waits until the last checkpoint is saved, at every rank: if one ended before, and rank 0 were then lost, the
// rest of the group would wait for it in vain.
func (r *run) finish(ctx context.Context) error {
	if err := r.settle(); err != nil {
		return r.abort(err)
	}
	if reason := r.earlyEnd(); reason != "" {
		r.Tracker.Note(fmt.Sprintf("training ends at step %d of %d: %s", r.trainer.step, r.plan.total, reason))
		r.Tracker.EndedEarly(reason)
	}
	r.Tracker.Phase(apiprogress.Saving)
	defer r.watch.lap(partCheckpoint)
	if r.Group.Rank() != 0 {
		if err := r.Group.Barrier(ctx); err != nil {
			return fmt.Errorf("wait for the last checkpoint: %w", err)
		}
		r.Tracker.Phase(apiprogress.Done)
		return nil
	}
	wait, stop := r.grace(ctx)
	defer stop()
	if err := r.saver.wait(wait); err != nil {
		return err
	}
	if err := r.Group.Barrier(r.Group.Context()); err != nil {
		// Everything is saved: whoever comes again finds that the job is done.
		r.Tracker.Note(fmt.Sprintf("the last checkpoint is saved, but not all ranks have heard of it: %v", err))
	}
	r.atEnd(ctx)
	r.Tracker.Phase(apiprogress.Done)
	return nil
}

// atEnd does what the run does not depend on.
func (r *run) atEnd(ctx context.Context) {
	if r.AtEnd == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			r.Tracker.Note(fmt.Sprintf("after the end: %v", p))
		}
	}()
	if err := r.AtEnd(ctx, r.network); err != nil {
		r.Tracker.Note(fmt.Sprintf("after the end: %v", err))
	}
}

// interrupt saves what is not saved yet, within the time that the job's pods are given.
func (r *run) interrupt() error {
	r.Tracker.Note(fmt.Sprintf("asked to stop: saving step %d", r.trainer.step))
	r.Tracker.Phase(apiprogress.Saving)
	if r.trainer.step != r.offered {
		if err := r.offer(false); err != nil {
			return r.abort(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	wait, cancel := r.grace(ctx)
	defer cancel()
	if err := r.saver.wait(wait); err != nil {
		return err
	}
	return ErrInterrupted
}

// grace returns a context that ends some time after ctx does: nine tenths of what pods get between SIGTERM and SIGKILL.
func (r *run) grace(ctx context.Context) (context.Context, context.CancelFunc) {
	seconds := int64(30)
	if s := r.Spec.TerminationGracePeriodSeconds; s != nil {
		seconds = *s
	}
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unlink := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(time.Duration(seconds)*time.Second*9/10, cancel)
		context.AfterFunc(out, func() { timer.Stop() })
	})
	return out, func() { unlink(); cancel() }
}

// abort lets checkpoints that are on their way arrive, and reports why the run ended.
func (r *run) abort(reason error) error {
	ended, stop := context.WithCancel(context.Background())
	stop()
	wait, cancel := r.grace(ended)
	defer cancel()
	return errors.Join(reason, r.saver.wait(wait))
}
