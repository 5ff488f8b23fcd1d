package sudoku

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/lines"
)

// Puzzle is one line of a source.
type Puzzle struct {
	Question Board
	// Answer is blank as long as nobody has solved the puzzle.
	Answer Board
	// Rating is the difficulty that the source gives, of 32 bits, or NoRating.
	Rating int
	Line   int
	// Collection tells apart the sources of puzzles that are used together.
	Collection int
}

// NoRating is the Rating of a puzzle whose source gives none.
const NoRating = -1

const (
	maxLine    = 64 << 10
	maxPuzzles = 20_000_000
)

// MaxBytes is the most that a source may hold, unpacked: more than maxPuzzles need.
const MaxBytes = 8 << 30

// Parse reads puzzles, plain or gzip-compressed, in one of three forms, told apart by the first line:
//
//	source,question,answer,rating    with this header (columns in any order, others ignored)
//	puzzle,rating                    with this header
//	81 characters                    one board per line, optionally followed by a comma and anything
//
// 0 or . is a blank cell. Empty lines and lines that begin with # are skipped. A source of more than MaxBytes is refused.
func Parse(ctx context.Context, source string, r io.Reader) ([]Puzzle, error) {
	return parse(ctx, source, r, MaxBytes)
}

func parse(ctx context.Context, source string, r io.Reader, maxBytes int64) ([]Puzzle, error) {
	text := lines.NewReader(source, r, lines.Limits{Bytes: maxBytes, Line: maxLine})
	var puzzles []Puzzle
	var columns *layout
	for {
		line, err := text.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if text.Line()%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if columns == nil {
			var header bool
			if columns, header, err = detect(line); err != nil {
				return nil, text.Bad("%v", err)
			}
			if header {
				continue
			}
		}
		p, err := columns.parse(line)
		if err == nil && len(puzzles) == maxPuzzles {
			err = fmt.Errorf("more than %d puzzles: take a part of the file", maxPuzzles)
		}
		if err != nil {
			return nil, text.Bad("%v", err)
		}
		p.Line = text.Line()
		puzzles = append(puzzles, p)
	}
	if len(puzzles) == 0 {
		return nil, dataerror.New(source, 0, "holds no puzzle")
	}
	return puzzles, nil
}

// layout says in which comma-separated field to find what; -1 is nowhere.
type layout struct{ question, answer, rating int }

// detect reads the first line as a header or, failing that, as a first puzzle.
func detect(first []byte) (*layout, bool, error) {
	fields, err := lines.Fields(first)
	if err != nil {
		return nil, false, err
	}
	l := layout{-1, -1, -1}
	for i, f := range fields {
		switch strings.ToLower(strings.TrimSpace(f)) {
		case "question", "puzzle", "quizzes":
			l.question = i
		case "answer", "solution", "solutions":
			l.answer = i
		case "rating":
			l.rating = i
		}
	}
	if l.question >= 0 {
		return &l, true, nil
	}
	if len(fields[0]) == Cells {
		return &layout{0, -1, 1}, false, nil
	}
	if len(fields) == 4 && len(fields[1]) == Cells {
		return &layout{1, 2, 3}, false, nil
	}
	return nil, false, fmt.Errorf(
		"neither a header with a column named puzzle or question nor a board of %d characters", Cells)
}

func (l *layout) parse(text []byte) (Puzzle, error) {
	fields, err := lines.Fields(text)
	if err != nil {
		return Puzzle{}, err
	}
	if max(l.question, l.answer) >= len(fields) {
		return Puzzle{}, fmt.Errorf("has %d columns, expected at least %d", len(fields), max(l.question, l.answer)+1)
	}
	p := Puzzle{Rating: NoRating}
	if l.rating >= 0 && l.rating < len(fields) {
		if rating, err := strconv.ParseInt(strings.TrimSpace(fields[l.rating]), 10, 32); err == nil && rating >= 0 {
			p.Rating = int(rating)
		}
	}
	if p.Question, err = ParseBoard(fields[l.question]); err != nil {
		return Puzzle{}, fmt.Errorf("puzzle: %w", err)
	}
	if l.answer < 0 || strings.Trim(fields[l.answer], ".0 ") == "" {
		return p, nil
	}
	if p.Answer, err = ParseBoard(fields[l.answer]); err != nil {
		return Puzzle{}, fmt.Errorf("answer: %w", err)
	}
	if !p.Answer.IsSolutionOf(p.Question) {
		return Puzzle{}, errors.New("the answer does not solve the puzzle: correct it, or leave it out to have it found")
	}
	return p, nil
}
