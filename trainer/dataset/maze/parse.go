package maze

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/lines"
)

const (
	maxLine  = 64 << 10
	maxMazes = 1_000_000
)

// MaxBytes is the most that a source may hold, unpacked: more than maxMazes of MaxSize need.
const MaxBytes = 10 << 30

// Parse reads and checks mazes, plain or gzip-compressed: lines of CSV below a header that names the columns question and
// answer, in any order and with others beside them. A grid is its rows, one after the other, in characters of "# SGo"; all
// have the same size. A maze without an answer gets one. Empty lines are skipped.
func Parse(ctx context.Context, source string, r io.Reader) ([]Maze, error) {
	return parse(ctx, source, r, MaxBytes)
}

func parse(ctx context.Context, source string, r io.Reader, maxBytes int64) ([]Maze, error) {
	text := lines.NewReader(source, r, lines.Limits{Bytes: maxBytes, Line: maxLine})
	var mazes []Maze
	var columns *layout
	for {
		line, err := text.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			continue
		}
		fields, err := lines.Fields(line)
		if err != nil {
			return nil, text.Bad("%v", err)
		}
		if columns == nil {
			if columns, err = header(fields); err != nil {
				return nil, text.Bad("%v", err)
			}
			continue
		}
		m, err := columns.parse(fields)
		if err == nil && len(mazes) > 0 && m.Question.Size != mazes[0].Question.Size {
			err = fmt.Errorf("the maze is %[1]dx%[1]d, the first of the file %[2]dx%[2]d: all mazes of a dataset have one size", m.Question.Size, mazes[0].Question.Size)
		}
		if err == nil && len(mazes) == maxMazes {
			err = fmt.Errorf("more than %d mazes: take a part of the file", maxMazes)
		}
		if err != nil {
			return nil, text.Bad("%v", err)
		}
		if len(mazes)%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		m.Line = text.Line()
		mazes = append(mazes, m)
	}
	if len(mazes) == 0 {
		return nil, dataerror.New(source, 0, "holds no maze")
	}
	return mazes, nil
}

// layout says in which column to find what; an answer of -1 is nowhere.
type layout struct{ question, answer int }

func header(fields []string) (*layout, error) {
	for i, f := range fields {
		fields[i] = strings.ToLower(strings.TrimSpace(f))
	}
	l := layout{slices.Index(fields, "question"), slices.Index(fields, "answer")}
	if l.question < 0 {
		return nil, errors.New("not a header with the columns question and answer: put source,question,answer,rating above the mazes")
	}
	return &l, nil
}

func (l *layout) parse(fields []string) (Maze, error) {
	if need := max(l.question, l.answer) + 1; need > len(fields) {
		return Maze{}, fmt.Errorf("has %d columns, expected at least %d", len(fields), need)
	}
	question, err := ParseGrid(fields[l.question])
	if err != nil {
		return Maze{}, fmt.Errorf("question: %w", err)
	}
	solved, err := Solve(question)
	if err != nil {
		return Maze{}, fmt.Errorf("question: %w", err)
	}
	if l.answer < 0 || fields[l.answer] == "" {
		return Maze{Question: question, Answer: solved}, nil
	}
	answer, err := ParseGrid(fields[l.answer])
	if err != nil {
		return Maze{}, fmt.Errorf("answer: %w", err)
	}
	if j := Judge(question, answer); !j.Shortest {
		return Maze{}, fmt.Errorf("answer: %s: correct it, or leave it empty to have it found", j.Why)
	}
	return Maze{Question: question, Answer: answer}, nil
}
