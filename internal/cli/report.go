package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/report"
)

// reportFlags say what a report has to tell.
type reportFlags struct {
	out      string
	pictures string
	model    modelFlags
	kube     kubeFlags
	data     string
	split    string
	puzzles  int
	indices  []int
	segments int
	evaluate int
	budget   time.Duration
}

// The bounds of what a report shows: a page of more puzzles, or of longer thoughts, takes a browser too long to open.
const (
	maxReportRuns     = 12
	maxReportPuzzles  = 64
	maxReportSegments = 256
)

func (a *app) reportCommand() *cobra.Command {
	var f reportFlags
	c := &cobra.Command{
		Use:   "report RUN...",
		Short: "Write a page about runs: curves, figures, and puzzles that the model reasons about",
		Long: `report writes one HTML file that needs nothing but itself: what the run was told, the curves of its metrics.jsonl, its evaluations
and checkpoints, and held-out puzzles with a slider that goes through the model's reasoning, segment by segment and cycle by
cycle. Of several runs it compares curves, figures and settings.

RUN is where a job trained into, a directory or s3://bucket/prefix, or job/NAME, a job of the cluster, or the directory of a checkpoint
that 'hrm checkpoint pull' wrote; that has no curves. (A directory of such a name is ./job/NAME.) What a run lacks the page says; the
command fails only where there is nothing to tell at all.

The model is the run's best checkpoint, or that of --step. --evaluate measures it on held-out examples: exact and token accuracy, the scores of the
task, and, where the dataset knows how hard its examples are, the same by rating.

A training run writes such a page, report.html, beside its checkpoints when it ends.`,
		Example: `  hrm report ./run
  hrm report ./run ./other-run --out compared.html
  hrm report s3://hrm/sudoku --endpoint https://s3.example.org --index 3,17 --segments 16
  kubectl hrm report job/sudoku job/sudoku-lr3 -n research
  hrm report ./run --puzzles 0 --evaluate 0            # curves and figures only: no model is loaded
  hrm report ./run --pictures ./curves                 # each chart as a file, too
  hrm report ./checkpoint --data ./sudoku`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > maxReportRuns {
				return usageError{fmt.Errorf("name 1 to %d runs: the places that jobs have trained into", maxReportRuns)}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.report(c.Context(), f, args) },
	}
	flags := c.Flags()
	flags.StringVarP(&f.out, "out", "o", "report.html", "the file to write; - is standard output")
	flags.StringVar(&f.pictures, "pictures", "", "directory for the page's charts as SVG files; none are written if not set")
	flags.StringVar(&f.data, "data", "", "directory of a dataset; the one that the job trained on if not set")
	flags.StringVar(&f.split, "split", dataset.Test, "which half of it: train or test")
	flags.IntVar(&f.puzzles, "puzzles", 4, "how many puzzles to show, from all over the half; 0 shows none")
	flags.IntSliceVar(&f.indices, "index", nil, "the puzzles to show, counted from 0, in place of --puzzles")
	flags.IntVar(&f.segments, "segments", 0, "segments that the model thinks for; those of its job's evaluation if not set")
	flags.IntVar(&f.evaluate, "evaluate", 200, "held-out examples to measure the model on; 0 measures nothing")
	flags.DurationVar(&f.budget, "time-budget", time.Minute, "begin no further examples of --evaluate after so long; 0 measures all")
	f.model.addOf(c)
	f.kube.add(c)
	flags.Int64Var(&f.model.step, "step", -1, "step of the checkpoint whose model is asked; the best one if not set")
	return c
}

func (f *reportFlags) check() error {
	switch {
	case f.split != dataset.Train && f.split != dataset.Test:
		return usageError{fmt.Errorf("--split %s: want train or test", f.split)}
	case f.puzzles < 0 || f.puzzles > maxReportPuzzles || len(f.indices) > maxReportPuzzles:
		return usageError{fmt.Errorf("--puzzles %d: want 0 to %d", max(f.puzzles, len(f.indices)), maxReportPuzzles)}
	case f.segments < 0 || f.segments > maxReportSegments:
		return usageError{fmt.Errorf("--segments %d: want 1 to %d", f.segments, maxReportSegments)}
	case f.evaluate < 0:
		return usageError{fmt.Errorf("--evaluate %d: want a number from 0", f.evaluate)}
	case f.budget < 0:
		return usageError{fmt.Errorf("--time-budget %s: want a time from now on", f.budget)}
	}
	return nil
}

func (a *app) report(ctx context.Context, f reportFlags, places []string) error {
	if err := f.check(); err != nil {
		return err
	}
	var runs []report.RunData
	for _, place := range places {
		r, err := a.runData(ctx, f, place)
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		for _, missing := range r.Missing {
			a.log.Warn(missing, "run", place)
		}
		runs = append(runs, r)
	}
	page := report.NewRunPage(reportTitle(runs), a.madeBy(time.Now()), runs)
	var text bytes.Buffer
	if err := page.WriteHTML(&text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if f.pictures != "" {
		if err := writePictures(f.pictures, page.Pictures()); err != nil {
			return err
		}
	}
	if f.out == "-" {
		_, err := a.out.Write(text.Bytes())
		return err
	}
	if err := os.WriteFile(f.out, text.Bytes(), 0o644); err != nil {
		return usageError{fmt.Errorf("--out: %w", err)}
	}
	_, err := fmt.Fprintf(a.out, "%s: %s, %d KiB\n", f.out, plural(int32(len(runs)), "run"), (text.Len()+1023)/1024)
	return err
}

// madeBy is the line under a page's title.
func (a *app) madeBy(now time.Time) string {
	return fmt.Sprintf("Made %s by hrm %s.", report.Day(now), a.version)
}

// reportTitle names the job of a single run, and tells of several that they are compared.
func reportTitle(runs []report.RunData) string {
	if len(runs) > 1 {
		var list []string
		for _, r := range runs {
			list = append(list, r.Name)
		}
		return "Runs compared: " + strings.Join(list, ", ")
	}
	if job := runs[0].Job; job != nil && job.Name != "" {
		return fmt.Sprintf("Training run %s (%s)", job.Name, runs[0].Name)
	}
	return "Training run " + runs[0].Name
}

// errNothing says that a place has nothing that a report could tell of.
var errNothing = errors.New("holds neither metrics.jsonl nor a checkpoint: name the place that a job has trained into")
