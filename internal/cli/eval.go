package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
)

// evalFlags say what 'hrm eval' measures.
type evalFlags struct {
	model    modelFlags
	data     string
	split    string
	limit    int
	seed     int64
	random   bool // --seed is given
	segments []int
	act      bool
	batch    int
	budget   time.Duration

	results    string
	submission string
	json       bool
}

// maxSegments is more than any use has been seen for.
const maxSegments = 1 << 16

func (a *app) evalCommand() *cobra.Command {
	var f evalFlags
	c := &cobra.Command{
		Use:   "eval",
		Short: "Measure a checkpoint on held-out examples",
		Long: `eval runs a trained model on examples that it was never trained on and prints the share of examples that are wholly
right (exact) and of tokens that are right, what the task's own rules say of the answers, and, where the dataset knows how
hard its examples are, the same by rating. The examples are those of --data, or of the dataset the job trained on.

Every example gets the segments of the job's evaluation, or as many as --segments says. Of several numbers the answers are read off at
each in one pass: a table of what more thinking is worth. With --act examples halt as in training, where q_halt is above
q_continue, and others take their place, which saves the segments they would not have needed.

Ctrl-C prints what was measured so far and exits with 75; --time-budget finishes what is in work and exits with 0.`,
		Example: `  hrm eval --store ./run
  hrm eval --checkpoint ./checkpoint --data ./sudoku --max-examples 1000 --seed 1
  hrm eval --store ./run --segments 1,2,4,8,16,32,64     # inference-time scaling
  hrm eval --store ./run --act --results answers.jsonl
  hrm eval --store ./run --split train --max-examples 500 --json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			f.random = c.Flags().Changed("seed")
			return a.eval(c.Context(), f)
		},
	}
	f.model.add(c)
	flags := c.Flags()
	flags.StringVar(&f.data, "data", "", "directory of a dataset; the one that the job trained on if not set")
	flags.StringVar(&f.split, "split", dataset.Test, "which half of it: train or test")
	flags.IntVar(&f.limit, "max-examples", 0, "number of examples, rounded down to whole groups (an original with its variants); all if not set")
	flags.Int64Var(&f.seed, "seed", 0, "draw the --max-examples at random, the same ones for the same seed; the first ones if not set")
	flags.IntSliceVar(&f.segments, "segments", nil, "segments for each example, or several numbers to compare; those of the job's evaluation if not set")
	flags.BoolVar(&f.act, "act", false, "let examples halt by themselves, at the latest after the largest of --segments")
	flags.IntVar(&f.batch, "batch", 256, "examples that are evaluated at a time")
	flags.DurationVar(&f.budget, "time-budget", 0, "begin no further examples after so long, as in 10m; 0 evaluates all")
	flags.StringVar(&f.results, "results", "", "file for a line of JSON about each example")
	flags.StringVar(&f.submission, "submission", "", "file for the answers as the task's contest wants them (ARC)")
	flags.BoolVar(&f.json, "json", false, "print one JSON document")
	return c
}

// check refuses numbers that mean nothing, and sorts the numbers of segments.
func (f *evalFlags) check() error {
	switch {
	case f.split != dataset.Train && f.split != dataset.Test:
		return usageError{fmt.Errorf("--split %s: want train or test", f.split)}
	case f.limit < 0:
		return usageError{fmt.Errorf("--max-examples %d: want a number from 1", f.limit)}
	case f.batch < 1 || f.batch > 1<<16:
		return usageError{fmt.Errorf("--batch %d: want 1 to %d", f.batch, 1<<16)}
	case f.budget < 0:
		return usageError{fmt.Errorf("--time-budget %s: want a time from now on", f.budget)}
	}
	slices.Sort(f.segments)
	f.segments = slices.Compact(f.segments)
	for _, n := range f.segments {
		if n < 1 || n > maxSegments {
			return usageError{fmt.Errorf("--segments %d: want 1 to %d", n, maxSegments)}
		}
	}
	return nil
}

// pass says at which numbers of segments answers are read off, and after how many examples halt at the latest; 0 if they
// do not halt.
func (f *evalFlags) pass(maxSteps int) (counts []int, act int) {
	limit := maxSteps
	if n := len(f.segments); n > 0 {
		limit = f.segments[n-1]
	}
	switch {
	case !f.act && len(f.segments) == 0:
		return []int{maxSteps}, 0
	case !f.act:
		return f.segments, 0
	case len(f.segments) < 2:
		return nil, limit
	}
	return f.segments, limit
}

func (a *app) eval(ctx context.Context, f evalFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	m, err := a.openModel(ctx, &f.model)
	if err != nil {
		return err
	}
	defer m.close()
	data, err := m.examples(ctx, f.data, f.split)
	if err != nil {
		return err
	}
	v, err := newEvalRun(a, f, m, data)
	if err != nil {
		return err
	}
	interrupted := v.run(ctx)
	if interrupted != nil && ctx.Err() == nil {
		return errors.Join(interrupted, v.results.close())
	}
	report := v.report(interrupted != nil)
	return errors.Join(a.printEval(f, report), v.results.close(), v.submit(), interrupted)
}

// evalRun is an evaluation under way.
type evalRun struct {
	flags    evalFlags
	model    *trainedModel
	data     evalData
	examples []int32
	counts   []int
	act      int
	began    time.Time
	took     time.Duration

	// at are the figures after each of counts, halted those of the answers with which examples halted.
	at      []*figures
	halted  *figures
	used    []int64 // how many examples halted after so many segments
	results *resultsFile
	// submission is the file for the task's contest, nil if none is wanted.
	submission *os.File
	progress   *evalProgress
}

func newEvalRun(a *app, f evalFlags, m *trainedModel, data evalData) (*evalRun, error) {
	v := &evalRun{flags: f, model: m, data: data, examples: data.First(f.limit)}
	if f.random {
		v.examples = data.Subset(f.limit, f.seed)
	}
	if f.act && m.job.Spec.Model.ACT.Halting == v1alpha1.HaltingFixed {
		return nil, usageError{errors.New("--act: the model was trained with model.act.halting Fixed, so that it does not know when going on pays: leave --act out")}
	}
	v.counts, v.act = f.pass(m.job.Spec.EvaluationSegments())
	scorer, err := dataset.NewScorer(data.task, data.Dataset, data.dir)
	if err != nil {
		return nil, err
	}
	for range v.counts {
		v.at = append(v.at, newFigures(data, scorer))
	}
	if v.act > 0 {
		v.used, v.halted = make([]int64, v.act+1), newFigures(data, scorer)
	}
	if v.submission, err = createSubmission(f.submission, v.main().scorer, data.task); err != nil {
		return nil, err
	}
	if v.results, err = createResults(f.results, data, m.shape.VocabSize); err != nil {
		return nil, err
	}
	v.progress = newEvalProgress(a, len(v.examples))
	return v, nil
}

// main are the figures that the others are compared to: those of the answers that the examples end with.
func (v *evalRun) main() *figures {
	if v.halted != nil {
		return v.halted
	}
	return v.at[len(v.at)-1]
}

// run evaluates; it returns what ended it before its end.
func (v *evalRun) run(ctx context.Context) error {
	v.began = time.Now()
	defer func() { v.took = time.Since(v.began); v.progress.end() }()
	e, err := loop.NewEvaluator(v.model.network, max(1, min(v.flags.batch, len(v.examples))), v.data.SeqLen, 1)
	if err != nil {
		return err
	}
	longest := max(v.act, slices.Max(append([]int{1}, v.counts...)))
	return e.Pass(ctx, loop.Pass{
		Data: v.data.Dataset, Examples: v.examples, Counts: v.counts, ACT: v.act, Visit: v.visit,
		Enough: func() bool { return v.flags.budget > 0 && time.Since(v.began) >= v.flags.budget },
		Segment: func(done, begun int) {
			v.progress.show(done, float64(begun)/float64(longest), v.main().tally.Evaluation())
		},
	})
}

// visit counts an answer.
func (v *evalRun) visit(r loop.Reading) error {
	if r.Count >= 0 {
		v.at[r.Count].add(r)
	}
	if r.Halted {
		v.used[r.Segments]++
		v.halted.add(r)
	}
	if r.Halted || v.halted == nil && r.Count == len(v.counts)-1 {
		return v.results.add(r)
	}
	return nil
}

// createSubmission makes the file before anything is computed, as createResults does.
func createSubmission(name string, scorer dataset.Scorer, task v1alpha1.Task) (*os.File, error) {
	if name == "" {
		return nil, nil
	}
	if _, ok := scorer.(dataset.SubmissionWriter); !ok {
		return nil, usageError{fmt.Errorf("--submission: task %s has no contest to submit answers to", task)}
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, usageError{err}
	}
	return f, nil
}

// submit writes the answers for the task's contest.
func (v *evalRun) submit() error {
	if v.submission == nil {
		return nil
	}
	return errors.Join(v.main().scorer.(dataset.SubmissionWriter).WriteSubmission(v.submission), v.submission.Close())
}

// printEval prints a report for people or for machines.
func (a *app) printEval(f evalFlags, r evalReport) error {
	if !f.json {
		_, err := io.WriteString(a.out, r.text())
		return err
	}
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
