package sudoku

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
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
	plain, err := decompress(r)
	if err != nil {
		return nil, readError(source, 0, err)
	}
	lines := bufio.NewScanner(dataerror.Limit(plain, source, maxBytes))
	lines.Buffer(make([]byte, maxLine), maxLine)
	var (
		puzzles []Puzzle
		columns *layout
		line    int
	)
	for lines.Scan() {
		line++
		text := bytes.TrimSpace(lines.Bytes())
		if line == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		if line%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		if columns == nil {
			var header bool
			if columns, header, err = detect(text); err != nil {
				return nil, lineError(source, line, lines, err)
			}
			if header {
				continue
			}
		}
		p, err := columns.parse(text)
		if err != nil {
			return nil, lineError(source, line, lines, err)
		}
		if len(puzzles) == maxPuzzles {
			return nil, dataerror.New(source, line, "more than %d puzzles: take a part of the file", maxPuzzles)
		}
		p.Line = line
		puzzles = append(puzzles, p)
	}
	if err := lines.Err(); err != nil {
		return nil, readError(source, line+1, err)
	}
	if len(puzzles) == 0 {
		return nil, dataerror.New(source, 0, "holds no puzzle")
	}
	return puzzles, nil
}

// lineError blames the line, unless it was only cut short because reading failed in the middle of it.
func lineError(source string, line int, lines *bufio.Scanner, err error) error {
	if !lines.Scan() && lines.Err() != nil && !errors.Is(lines.Err(), bufio.ErrTooLong) {
		return readError(source, line, lines.Err())
	}
	return dataerror.New(source, line, "%v", err)
}

// readError tells data that is broken from a connection that is.
func readError(source string, line int, err error) error {
	var corrupt flate.CorruptInputError
	var bad *dataerror.Error
	switch {
	case errors.As(err, &bad):
		return dataerror.New(source, line, "%s", bad.Reason)
	case errors.Is(err, bufio.ErrTooLong):
		return dataerror.New(source, line, "the line is longer than %d bytes: write a puzzle a line", maxLine)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return dataerror.New(source, line, "the gzip data ends too early: copy the file again")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return dataerror.New(source, line, "the gzip data is damaged (%v): copy the file again", err)
	default:
		return fmt.Errorf("read %s: %w", source, err)
	}
}

// decompress looks at the first two bytes to tell gzip from text.
func decompress(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	magic, err := b.Peek(2)
	if err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return b, nil // whatever is wrong with a shorter file shows when its lines are read
	}
	z, err := gzip.NewReader(b)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return z, err
}

// layout says in which comma-separated field to find what; -1 is nowhere.
type layout struct{ question, answer, rating int }

// detect reads the first line as a header or, failing that, as a first puzzle.
func detect(first []byte) (*layout, bool, error) {
	fields, err := split(first)
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
	fields, err := split(text)
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

// split cuts a line at its commas. Only lines with quotes need the whole of CSV.
func split(text []byte) ([]string, error) {
	if !bytes.ContainsRune(text, '"') {
		return strings.Split(string(text), ","), nil
	}
	fields, err := csv.NewReader(bytes.NewReader(text)).Read()
	if err != nil {
		return nil, fmt.Errorf("not a line of CSV: %w", errors.Unwrap(err))
	}
	return fields, nil
}
