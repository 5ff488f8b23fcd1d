package custom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/lines"
)

const (
	// maxLine holds two grids of MaxCells numbers.
	maxLine     = 1 << 20
	maxExamples = 20_000_000
	maxID       = 256
)

// MaxBytes is the most that a file of a source may hold, unpacked.
const MaxBytes = 16 << 30

// Blank is the name of the identifier of examples without one.
const Blank = "<blank>"

// Parse reads examples, plain or gzip-compressed, a line of JSON each:
//
//	{"input": [[0, 1], [2, 3]], "output": [[3, 2], [1, 0]], "id": "turned"}
//
// Grids are rectangles of whole numbers, which may differ in size; a list of numbers is a grid of one row. The id, a string
// or a number, may be left out. Empty lines are skipped.
func Parse(ctx context.Context, source string, r io.Reader) ([]Example, error) {
	return parse(ctx, source, r, MaxBytes)
}

func parse(ctx context.Context, source string, r io.Reader, maxBytes int64) ([]Example, error) {
	text := lines.NewReader(source, r, lines.Limits{Bytes: maxBytes, Line: maxLine})
	var examples []Example
	for {
		line, err := text.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if len(examples)%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		e, err := parseLine(line)
		if err == nil && len(examples) == maxExamples {
			err = fmt.Errorf("more than %d examples: take a part of the file", maxExamples)
		}
		if err != nil {
			return nil, text.Bad("%v", err)
		}
		e.Line = text.Line()
		examples = append(examples, e)
	}
	if len(examples) == 0 {
		return nil, dataerror.New(source, 0, "holds no example")
	}
	return examples, nil
}

func parseLine(line []byte) (e Example, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return e, fmt.Errorf(`not a JSON object (%w): expected {"input": [[…]], "output": [[…]]}, one in each line`, err)
	}
	for _, key := range []string{"input", "output"} {
		if _, ok := fields[key]; !ok {
			return e, fmt.Errorf("%q is missing: expected the keys input and output, and id if there is one", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		value := fields[key]
		switch key {
		case "input":
			e.Input, err = ParseGrid(value)
		case "output":
			e.Output, err = ParseGrid(value)
		case "id":
			e.ID, err = parseID(value)
		default:
			err = errors.New("unknown key: expected input, output and id; remove it")
		}
		if err != nil {
			return e, fmt.Errorf("%q: %w", key, err)
		}
	}
	return e, nil
}

// parseID reads a string or a whole number.
func parseID(value json.RawMessage) (string, error) {
	var id string
	if err := json.Unmarshal(value, &id); err != nil {
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return "", errors.New("expected a string or a whole number")
		}
		id = strconv.FormatInt(n, 10)
	}
	if id == "" || id == Blank || len(id) > maxID {
		return "", fmt.Errorf("expected 1 to %d bytes that are not %s; leave it out if there is none", maxID, Blank)
	}
	return id, nil
}
