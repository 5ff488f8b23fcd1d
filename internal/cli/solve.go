package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
	"github.com/hrm-operator/hrm-operator/trainer/report"
)

// solveFlags say what 'hrm solve' solves, and how much it tells.
type solveFlags struct {
	model    modelFlags
	data     string
	split    string
	index    int
	file     string
	segments int
	trace    bool
	picture  string
	json     bool
}

func (a *app) solveCommand() *cobra.Command {
	var f solveFlags
	c := &cobra.Command{
		Use:   "solve [PUZZLE]",
		Short: "Let a trained model solve a puzzle, and check its answer",
		Long: `solve gives a puzzle to a trained model, draws it before and after, and checks the answer by the rules of the task and,
where the puzzle comes from a dataset, against the stored solution. PUZZLE is written as its task writes them: a Sudoku is
81 digits, 0 or . for a blank. It comes from the command line, from --file or, with -, from standard input; a file may hold
several, one a line or with blank lines between. Without any it is a held-out puzzle, which the model has never seen, of the
dataset that the model was trained on or of --data.

--trace shows what the model would answer after each low-level step: how many cells have changed since the last, and how
many are wrong. Changed cells are marked with *, wrong ones with !; in colour wrong ones are red and changed ones reversed.

--picture FILE.svg draws the puzzle and, of these answers, up to six side by side, wrong cells crossed out; of several puzzles the first.

The answer of the model is printed whether it is right or not; the exit code is 0 in both cases.`,
		Example: `  hrm solve --store ./run
  hrm solve --checkpoint ./checkpoint --data ./sudoku --index 7 --trace
  hrm solve --store ./run --index 7 --picture solved.svg
  hrm solve --store ./run 53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79
  hrm solve --store ./run --file puzzles.txt --json
  hrm data sample --out /dev/stdout --puzzles 3 | head -3 | hrm solve --store ./run -`,
		Args: atMost(1),
		RunE: func(c *cobra.Command, args []string) error { return a.solve(c.Context(), f, args) },
	}
	f.model.add(c)
	flags := c.Flags()
	flags.StringVar(&f.data, "data", "", "directory of a dataset; the one that the job trained on if not set")
	flags.StringVar(&f.split, "split", dataset.Test, "which half of it: train or test")
	flags.IntVar(&f.index, "index", 0, "which puzzle of that half, counted from 0")
	flags.StringVarP(&f.file, "file", "f", "", "file of puzzles; - reads standard input")
	flags.IntVar(&f.segments, "segments", 0, "segments that the model thinks for; those of its job's evaluation if not set")
	flags.BoolVar(&f.trace, "trace", false, "show the intermediate answers")
	flags.StringVar(&f.picture, "picture", "", "SVG file for the puzzle and intermediate answers; none is drawn if not set")
	flags.BoolVar(&f.json, "json", false, "print one JSON document")
	return c
}

func (a *app) solve(ctx context.Context, f solveFlags, args []string) error {
	if f.segments < 0 || f.segments > maxSegments {
		return usageError{fmt.Errorf("--segments %d: want 1 to %d", f.segments, maxSegments)}
	}
	text, err := a.readPuzzles(f, args)
	if err != nil {
		return err
	}
	m, err := a.openModel(ctx, &f.model)
	if err != nil {
		return err
	}
	defer m.close()
	if f.segments == 0 {
		f.segments = m.job.Spec.EvaluationSegments()
	}
	s := &solver{flags: f, model: m, screen: screenOf(a.out), out: a.out}
	var questions []question
	if text == nil {
		questions, err = s.fromDataset(ctx)
	} else {
		questions, err = s.fromText(ctx, *text)
	}
	if err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	defer s.close()
	return s.solveAll(ctx, questions)
}

// question is a puzzle with what is known of it. name says where it comes from; labels are nil if there is no solution.
type question struct {
	name   string
	batch  loop.Batch
	labels []int32
}

// solver asks a model.
type solver struct {
	flags     solveFlags
	model     *trainedModel
	rules     dataset.Rules
	palette   report.Palette
	screen    screen
	out       io.Writer
	evaluator *loop.Evaluator
	tracer    *loop.Tracer
	drawn     bool // --picture is done
}

// fromDataset returns a puzzle of a dataset.
func (s *solver) fromDataset(ctx context.Context) ([]question, error) {
	f := s.flags
	if f.split != dataset.Train && f.split != dataset.Test {
		return nil, usageError{fmt.Errorf("--split %s: want train or test", f.split)}
	}
	d, err := s.model.examples(ctx, f.data, f.split)
	if err != nil {
		return nil, err
	}
	if f.index < 0 || f.index >= d.Examples() {
		return nil, usageError{fmt.Errorf("--index %d: there are %d puzzles, counted from 0", f.index, d.Examples())}
	}
	s.rules, s.palette = dataset.RulesOf(d.task, &d.Metadata), report.PaletteOf(d.task, &d.Metadata)
	inputs, labels := d.Example(f.index)
	return []question{{
		name:   fmt.Sprintf("%s %d", f.split, f.index),
		batch:  loop.Batch{Inputs: inputs, Labels: labels, Puzzles: []int32{d.Identifier(f.index)}},
		labels: knownLabels(labels),
	}}, nil
}

// knownLabels are labels of which there is at least one.
func knownLabels(labels []int32) []int32 {
	for _, l := range labels {
		if l != dataset.IgnoreLabel {
			return labels
		}
	}
	return nil
}

// open prepares the model: for answers alone, or with what leads to them.
func (s *solver) open() (err error) {
	if s.flags.trace || s.flags.picture != "" {
		s.tracer, err = loop.NewTracer(s.model.network, s.model.shape.SeqLen, model.TraceOptions{})
		return err
	}
	s.evaluator, err = loop.NewEvaluator(s.model.network, 1, s.model.shape.SeqLen, s.flags.segments)
	return err
}

func (s *solver) close() {
	if s.tracer != nil {
		_ = s.tracer.Close()
	}
}

// solution is what came of a question.
type solution struct {
	Name   string `json:"name"`
	Puzzle any    `json:"puzzle"`
	Answer any    `json:"answer"`
	// Known is false where nothing says whether the answer is right.
	Known      bool     `json:"known"`
	Solved     bool     `json:"solved"`
	Why        string   `json:"why,omitempty"`
	Confidence float64  `json:"confidence"`
	Trace      []moment `json:"trace,omitempty"`
}

// solutions is the document of --json.
type solutions struct {
	Checkpoint string     `json:"checkpoint"`
	Puzzles    []solution `json:"puzzles"`
	Solved     int        `json:"solved"`
	Seconds    float64    `json:"seconds"`
}

// solveAll answers one question after the other.
func (s *solver) solveAll(ctx context.Context, questions []question) error {
	began := time.Now()
	all := solutions{Checkpoint: s.model.ref}
	for i, q := range questions {
		if len(questions) > 1 && !s.flags.json {
			if _, err := fmt.Fprintf(s.out, "%s\n", q.name); err != nil {
				return err
			}
		}
		one, err := s.answer(ctx, q)
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		if one.Solved {
			all.Solved++
		}
		if s.flags.json {
			all.Puzzles = append(all.Puzzles, one)
		} else if len(questions) > 1 && i < len(questions)-1 {
			_, _ = fmt.Fprintln(s.out)
		}
	}
	all.Seconds = round(time.Since(began).Seconds(), 1000)
	if s.flags.json {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	if len(questions) == 1 {
		return nil
	}
	_, err := fmt.Fprintf(s.out, "\n%d of %d puzzles solved in %.1f s\n", all.Solved, len(questions), all.Seconds)
	return err
}

// answer asks the model, shows what is wanted, and judges.
func (s *solver) answer(ctx context.Context, q question) (solution, error) {
	var trace []moment
	var answer []int32
	var qHalt float32
	if s.tracer != nil {
		seen, err := s.trace(ctx, q)
		if err != nil {
			return solution{}, err
		}
		trace, answer, qHalt = seen.moments, seen.answer, seen.qHalt
	} else {
		answers, err := s.evaluator.Predict(ctx, q.batch, 1)
		if err != nil {
			return solution{}, err
		}
		answer, qHalt = answers[0].Answer, answers[0].QHalt
	}
	known, solved, why := judge(s.rules, q.batch.Inputs, q.labels, answer)
	vocabulary := s.model.shape.VocabSize
	one := solution{
		Name: q.name, Puzzle: compactTokens(q.batch.Inputs, vocabulary), Answer: compactTokens(answer, vocabulary),
		Known: known, Solved: solved, Why: why, Confidence: confidence(qHalt), Trace: trace,
	}
	if s.flags.json {
		return one, nil
	}
	_, err := fmt.Fprintf(s.out, "%s%s\nThe model's own confidence: %.1f %%.\n",
		sideBySide(s.rules.Draw(q.batch.Inputs, s.screen.colour), s.rules.Draw(answer, s.screen.colour), s.screen.width), verdictText(known, solved, why), 100*one.Confidence)
	return one, err
}

// judge checks an answer: by the rules where they decide, otherwise against the stored solution; labels are nil if there is none.
func judge(rules dataset.Rules, puzzle, labels, answer []int32) (known, solved bool, why string) {
	verdict := rules.Check(puzzle, answer)
	if labels == nil {
		return verdict.Known, verdict.Known && verdict.Valid, verdict.Why
	}
	labelled, right := loop.Prediction{Labels: labels, Answer: answer}.Tokens()
	switch {
	case verdict.Known && verdict.Valid:
		return true, true, verdict.Why
	case right == labelled && !verdict.Known:
		return true, true, "it is the stored solution"
	case right < labelled:
		return true, false, fmt.Sprintf("%d of %d cells are wrong", labelled-right, labelled)
	}
	return true, false, verdict.Why
}

// verdictText says it in a sentence.
func verdictText(known, solved bool, why string) string {
	switch {
	case !known:
		return "Whether it is right the puzzle alone does not tell."
	case solved:
		return "Solved: " + why + "."
	}
	return "Not solved: " + why + "."
}

var errSources = errors.New("PUZZLE and --file exclude each other: name one")
