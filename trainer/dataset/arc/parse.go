package arc

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

const (
	// MaxBytes is the most that a file of tasks may hold, unpacked: 16 times the largest that is published.
	MaxBytes = 64 << 20
	// maxPairs is the most that a task may have of each kind; the published ones have up to 10.
	maxPairs = 100
	// maxGridText is far more than the JSON of a grid takes, a cell a line.
	maxGridText = 64 << 10
	maxID       = 128
)

// ParseTask reads a file of one task, as the ARC's own repositories have them: {"train": [{"input": grid, "output": grid},
// …], "test": […]}, plain or gzip-compressed. Outputs of tests may be missing.
func ParseTask(source, id string, r io.Reader) (Task, error) {
	if err := checkID(id); err != nil {
		return Task{}, dataerror.New(source, 0, "%v", err)
	}
	text, err := unpack(source, r)
	if err != nil {
		return Task{}, err
	}
	t, err := parseTask(id, text)
	if err != nil {
		return Task{}, dataerror.New(source, 0, "task %s: %v", id, err)
	}
	return t, nil
}

// ParseChallenges reads a combined file: {"id": task, …}, each like the file that ParseTask reads.
func ParseChallenges(source string, r io.Reader) ([]Task, error) {
	var tasks []Task
	err := eachMember(source, r, func(id string, value json.RawMessage) error {
		if err := checkID(id); err != nil {
			return err
		}
		t, err := parseTask(id, value)
		if err != nil {
			return fmt.Errorf("task %s: %w", id, err)
		}
		tasks = append(tasks, t)
		return nil
	})
	return tasks, err
}

// ParseSolutions reads the answers of a combined file into its tasks: {"id": [output of the first test, …], …}.
func ParseSolutions(source string, r io.Reader, tasks []Task) error {
	byID := make(map[string]*Task, len(tasks))
	for i := range tasks {
		byID[tasks[i].ID] = &tasks[i]
	}
	err := eachMember(source, r, func(id string, value json.RawMessage) error {
		t, ok := byID[id]
		if !ok {
			return fmt.Errorf("task %s is not in the file of challenges: the two files must belong together", id)
		}
		delete(byID, id)
		if err := solve(t, value); err != nil {
			return fmt.Errorf("task %s: %w", id, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range tasks {
		if _, missing := byID[tasks[i].ID]; missing {
			return dataerror.New(source, 0, "task %s has no solution: the two files must belong together", tasks[i].ID)
		}
	}
	return nil
}

func solve(t *Task, text json.RawMessage) error {
	var answers []json.RawMessage
	if err := json.Unmarshal(text, &answers); err != nil {
		return fmt.Errorf("the solution is no list of grids, one for each test input: %w", err)
	}
	if len(answers) != len(t.Test) {
		return fmt.Errorf("%d solutions for %d test inputs: give one for each", len(answers), len(t.Test))
	}
	for i, answer := range answers {
		g, err := parseGrid(answer)
		if err != nil {
			return fmt.Errorf("solution of test input %d: %w", i+1, err)
		}
		if was := t.Test[i].Output; was.Known() && !was.Equal(g) {
			return fmt.Errorf("solution of test input %d: the file of challenges has another output: correct one of them", i+1)
		}
		t.Test[i].Output = g
	}
	return nil
}

// checkID wants what can be told from the name of a variant, and be read in a message.
func checkID(id string) error {
	if id == "" || len(id) > maxID {
		return fmt.Errorf("the task's name %.20q has %d bytes: expected 1 to %d", id, len(id), maxID)
	}
	for _, r := range id {
		if !strconv.IsPrint(r) {
			return fmt.Errorf("the task's name %q holds a character that cannot be printed: rename it", id)
		}
	}
	if variantName.MatchString(id) {
		return fmt.Errorf("the task's name %s is that of a variant: give the original only", id)
	}
	return nil
}

// eachMember goes through the members of an object, which it wants to be different ones.
func eachMember(source string, r io.Reader, use func(name string, value json.RawMessage) error) error {
	text, err := unpack(source, r)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	at := int64(0)
	bad := func(err error) error { return dataerror.New(source, lineOf(text, at), "%v", err) }
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return bad(errors.New("not a JSON object of tasks by their names"))
	}
	seen := map[string]struct{}{}
	for d.More() {
		name, err := d.Token()
		at = d.InputOffset()
		if err != nil {
			return bad(syntax(err))
		}
		id, _ := name.(string)
		if _, again := seen[id]; again {
			return bad(fmt.Errorf("task %s is there twice: remove one", id))
		}
		seen[id] = struct{}{}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return bad(fmt.Errorf("task %s: %w", id, syntax(err)))
		}
		if err := use(id, value); err != nil {
			return bad(err)
		}
	}
	if _, err := d.Token(); err != nil {
		return bad(syntax(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad(errors.New("something follows the JSON object: remove it"))
	}
	if len(seen) == 0 {
		return dataerror.New(source, 0, "holds no task")
	}
	return nil
}

func syntax(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the JSON ends too early: copy the file again")
	}
	return fmt.Errorf("not JSON: %w", err)
}

func lineOf(text []byte, offset int64) int {
	return 1 + bytes.Count(text[:min(offset, int64(len(text)))], []byte("\n"))
}

// rawPair is a pair whose grids are still text.
type rawPair struct {
	Input  json.RawMessage `json:"input"`
	Output json.RawMessage `json:"output"`
}

func parseTask(id string, text []byte) (Task, error) {
	var raw struct {
		Train []rawPair `json:"train"`
		Test  []rawPair `json:"test"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return Task{}, fmt.Errorf(`expected {"train": [{"input": grid, "output": grid}, …], "test": […]}: %w`, err)
	}
	if len(raw.Train) == 0 || len(raw.Test) == 0 {
		return Task{}, fmt.Errorf("%d train pairs and %d test pairs: a task has at least one of each", len(raw.Train), len(raw.Test))
	}
	t := Task{ID: id}
	var err error
	if t.Train, err = parsePairs("train", raw.Train); err != nil {
		return Task{}, err
	}
	for i, p := range t.Train {
		if !p.Output.Known() {
			return Task{}, fmt.Errorf("train pair %d has no output: a demonstration needs one", i+1)
		}
	}
	t.Test, err = parsePairs("test", raw.Test)
	return t, err
}

func parsePairs(kind string, raw []rawPair) ([]Pair, error) {
	if len(raw) > maxPairs {
		return nil, fmt.Errorf("%d %s pairs: expected at most %d", len(raw), kind, maxPairs)
	}
	pairs := make([]Pair, len(raw))
	for i, r := range raw {
		var err error
		if pairs[i].Input, err = parseGrid(r.Input); err != nil {
			return nil, fmt.Errorf("%s pair %d: input: %w", kind, i+1, err)
		}
		if len(r.Output) == 0 {
			continue
		}
		if pairs[i].Output, err = parseGrid(r.Output); err != nil {
			return nil, fmt.Errorf("%s pair %d: output: %w", kind, i+1, err)
		}
	}
	return pairs, nil
}

// parseGrid reads a list of rows of colours. Rows and columns are counted from 1 in messages.
func parseGrid(text []byte) (Grid, error) {
	if len(text) == 0 {
		return Grid{}, errors.New("missing")
	}
	if len(text) > maxGridText {
		return Grid{}, fmt.Errorf("%d bytes of JSON are more than a grid of %dx%d has", len(text), MaxSide, MaxSide)
	}
	var rows [][]json.Number
	if err := json.Unmarshal(text, &rows); err != nil {
		return Grid{}, fmt.Errorf("expected a list of rows, each a list of colours from 0 to 9: %w", err)
	}
	if len(rows) < 1 || len(rows) > MaxSide {
		return Grid{}, fmt.Errorf("%d rows: expected 1 to %d", len(rows), MaxSide)
	}
	g := Grid{Rows: len(rows), Cols: len(rows[0])}
	if g.Cols < 1 || g.Cols > MaxSide {
		return Grid{}, fmt.Errorf("%d columns: expected 1 to %d", g.Cols, MaxSide)
	}
	for r, row := range rows {
		if len(row) != g.Cols {
			return Grid{}, fmt.Errorf("row %d has %d cells: expected %d, as many as row 1", r+1, len(row), g.Cols)
		}
		for c, cell := range row {
			colour, err := strconv.Atoi(cell.String())
			if err != nil || colour < 0 || colour >= Colours {
				return Grid{}, fmt.Errorf("row %d, column %d is %.20q: expected a colour from 0 to 9", r+1, c+1, cell.String())
			}
			g.Cells = append(g.Cells, uint8(colour))
		}
	}
	return g, nil
}

// ParseGrid reads a grid as a user writes it: as JSON, [[0,1],[2,3]], or as lines of digits.
func ParseGrid(text string) (Grid, error) {
	trimmed := bytes.TrimSpace([]byte(text))
	if len(trimmed) > 0 && trimmed[0] == '[' {
		return parseGrid(trimmed)
	}
	return parseLines(trimmed)
}

func parseLines(text []byte) (Grid, error) {
	var g Grid
	for line := range bytes.FieldsSeq(text) {
		g.Rows++
		if g.Rows == 1 {
			g.Cols = len(line)
		}
		if g.Rows > MaxSide || g.Cols > MaxSide {
			return Grid{}, fmt.Errorf("more than %d rows or columns", MaxSide)
		}
		if len(line) != g.Cols {
			return Grid{}, fmt.Errorf("row %d has %d cells: expected %d, as many as row 1", g.Rows, len(line), g.Cols)
		}
		for c, digit := range line {
			if digit < '0' || digit > '9' {
				return Grid{}, fmt.Errorf("row %d, column %d is %q: expected a colour from 0 to 9", g.Rows, c+1, digit)
			}
			g.Cells = append(g.Cells, digit-'0')
		}
	}
	if g.Rows == 0 {
		return Grid{}, errors.New("an empty grid: write lines of digits, or JSON like [[0,1],[2,3]]")
	}
	return g, nil
}

// unpack reads a whole file; the first two bytes tell gzip from text.
func unpack(source string, r io.Reader) ([]byte, error) {
	b := bufio.NewReader(r)
	plain := io.Reader(b)
	if magic, err := b.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, unpackError(source, err)
		}
		plain = z
	}
	text, err := io.ReadAll(dataerror.Limit(plain, source, MaxBytes))
	if err != nil {
		return nil, unpackError(source, err)
	}
	return text, nil
}

// unpackError tells data that is broken from a disk that is.
func unpackError(source string, err error) error {
	var corrupt flate.CorruptInputError
	var bad *dataerror.Error
	switch {
	case errors.As(err, &bad):
		return bad
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return dataerror.New(source, 0, "the gzip data ends too early: copy the file again")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return dataerror.New(source, 0, "the gzip data is damaged (%v): copy the file again", err)
	default:
		return fmt.Errorf("read %s: %w", source, err)
	}
}
