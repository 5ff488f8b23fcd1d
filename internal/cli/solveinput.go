package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/report"
)

// maxPuzzleText bounds what is read of puzzles: enough for tens of thousands of Sudokus.
const maxPuzzleText = 16 << 20

// puzzleText is puzzles as a user wrote them. source is empty for the command line.
type puzzleText struct{ source, text string }

// readPuzzles reads the puzzles of the command line, a file or standard input; nil if there are none.
func (a *app) readPuzzles(f solveFlags, args []string) (*puzzleText, error) {
	file := f.file
	if len(args) == 1 && file != "" {
		return nil, usageError{errSources}
	}
	if len(args) == 1 {
		if args[0] != "-" {
			return &puzzleText{text: args[0]}, nil
		}
		file = "-"
	}
	switch file {
	case "":
		return nil, nil
	case "-":
		return readText("standard input", a.in)
	}
	in, err := os.Open(file)
	if err != nil {
		return nil, usageError{err}
	}
	defer func() { _ = in.Close() }()
	return readText(file, in)
}

func readText(source string, in io.Reader) (*puzzleText, error) {
	raw, err := io.ReadAll(dataerror.Limit(in, source, maxPuzzleText))
	if err != nil {
		return nil, fmt.Errorf("read puzzles: %w", err)
	}
	return &puzzleText{source, string(raw)}, nil
}

// language is what puzzles are written in: that of the dataset which is named, or of the model's task. How the grids of a task
// of one's own are written only its dataset knows.
func (s *solver) language(ctx context.Context) (v1alpha1.Task, *dataset.Metadata, error) {
	if s.flags.data != "" || s.model.job.Spec.Dataset.Task == v1alpha1.TaskCustom {
		d, err := s.model.examples(ctx, s.flags.data, s.flags.split)
		if err != nil {
			return "", nil, err
		}
		return d.task, &d.Metadata, nil
	}
	task, err := s.model.compileForTask()
	shape := s.model.shape
	return task, &dataset.Metadata{SeqLen: shape.SeqLen, VocabSize: shape.VocabSize, NumPuzzleIdentifiers: max(1, shape.NumPuzzleIdentifiers)}, err
}

// fromText parses what a user wrote, as puzzles of the model's task.
func (s *solver) fromText(ctx context.Context, p puzzleText) ([]question, error) {
	task, m, err := s.language(ctx)
	if err != nil {
		return nil, err
	}
	s.rules, s.palette = dataset.RulesOf(task, m), report.PaletteOf(task, m)
	questions, err := splitPuzzles(p.source, p.text, func(text string) ([]int32, error) {
		tokens, err := s.rules.Parse(text)
		if err == nil {
			err = checkTokens(tokens, m)
		}
		return tokens, err
	})
	if err != nil && p.source == "" {
		return nil, usageError{err}
	}
	for i := range questions {
		questions[i].complete(s.rules)
	}
	return questions, err
}

// checkTokens refuses what the model has no words for.
func checkTokens(tokens []int32, m *dataset.Metadata) error {
	if len(tokens) != m.SeqLen {
		return fmt.Errorf("the puzzle has %d cells, the model knows puzzles of %d", len(tokens), m.SeqLen)
	}
	for i, token := range tokens {
		if token < 0 || int(token) >= m.VocabSize {
			return fmt.Errorf("cell %d holds token %d, the model knows %d", i+1, token, m.VocabSize)
		}
	}
	return nil
}

// complete adds what a question needs besides its puzzle: the solution if the rules find it, and no identifier, since
// the model has not met the puzzle.
func (q *question) complete(rules dataset.Rules) {
	q.batch.Puzzles = []int32{0}
	q.batch.Labels = make([]int32, len(q.batch.Inputs))
	for i := range q.batch.Labels {
		q.batch.Labels[i] = dataset.IgnoreLabel
	}
	if solver, ok := rules.(dataset.Solver); ok {
		if labels, unique := solver.Solution(q.batch.Inputs); unique {
			q.labels = labels
		}
	}
}

// splitPuzzles finds the puzzles in a text: the whole of it, else blocks with blank lines between, each of which is one
// puzzle or one in every line.
func splitPuzzles(source, text string, parse func(string) ([]int32, error)) ([]question, error) {
	ask := func(text string, line int) (question, error) {
		tokens, err := parse(text)
		if err == nil {
			return question{name: fmt.Sprintf("%s:%d", source, line), batch: loop.Batch{Inputs: tokens}}, nil
		}
		if source == "" {
			return question{}, err
		}
		return question{}, dataerror.New(source, line, "%v", err)
	}
	whole := strings.Trim(text, "\r\n")
	if strings.TrimSpace(whole) == "" {
		return nil, dataerror.New(source, 0, "holds no puzzle")
	}
	if q, err := ask(whole, 1); err == nil || source == "" {
		q.name = source
		if source == "" {
			q.name = "puzzle"
		}
		return []question{q}, err
	}
	var all []question
	for _, b := range blocksOf(text) {
		if q, err := ask(strings.Join(b.lines, "\n"), b.first); err == nil {
			all = append(all, q)
			continue
		}
		for i, line := range b.lines {
			q, err := ask(line, b.first+i)
			if err != nil {
				return nil, err
			}
			all = append(all, q)
		}
	}
	return all, nil
}

// block is lines without a blank one between; first is the number of the first of them, from 1.
type block struct {
	first int
	lines []string
}

func blocksOf(text string) []block {
	var all []block
	open := false
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) == "" {
			open = false
			continue
		}
		if !open {
			all = append(all, block{first: i + 1})
			open = true
		}
		last := &all[len(all)-1]
		last.lines = append(last.lines, line)
	}
	return all
}
