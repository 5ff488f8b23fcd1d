// Package dataset owns what training reads: the on-disk layout of the official implementation, the samplers over it, and
// the builds that make it out of puzzles and keep it in a bucket. Building the boards themselves is the work of a package
// below this one for each task.
package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// DataError is what every function here returns (wrapped) for bad data.
type DataError = dataerror.Error

// The splits of a dataset.
const (
	Train = "train"
	Test  = "test"
)

// IgnoreLabel marks positions without a label in what Fill returns, whatever the files use.
const IgnoreLabel = -100

// maxMetadata is far more than dataset.json needs.
const maxMetadata = 1 << 20

// Metadata is dataset.json.
type Metadata struct {
	PadID                int32    `json:"pad_id"`
	IgnoreLabelID        *int32   `json:"ignore_label_id"`
	BlankIdentifierID    int32    `json:"blank_identifier_id"`
	VocabSize            int      `json:"vocab_size"`
	SeqLen               int      `json:"seq_len"`
	NumPuzzleIdentifiers int      `json:"num_puzzle_identifiers"`
	TotalGroups          int      `json:"total_groups"`
	MeanPuzzleExamples   float64  `json:"mean_puzzle_examples"`
	TotalPuzzles         int      `json:"total_puzzles"`
	Sets                 []string `json:"sets"`
	// GridHeight and GridWidth say how examples are drawn, where a task does not know it; the official loader ignores them.
	GridHeight int `json:"grid_height,omitempty"`
	GridWidth  int `json:"grid_width,omitempty"`
}

// Dataset is one split in memory. It is not changed after loading.
type Dataset struct {
	Metadata

	inputs, labels tokens
	identifiers    []int32 // per puzzle
	puzzles        []int32 // where each puzzle's examples begin, and the end of the last
	groups         []int32 // where each group's puzzles begin, and the end of the last
	puzzleOf       []int32 // per example
	ratings        []int32 // per example; nil if there are none
}

// tokens holds [N, S] integers as bytes where they fit, which they do for all known tasks.
type tokens struct {
	narrow []uint8
	wide   []int32
}

func (t tokens) copyTo(dst []int32, from int) {
	if t.wide != nil {
		copy(dst, t.wide[from:])
		return
	}
	for i, v := range t.narrow[from : from+len(dst)] {
		dst[i] = int32(v)
	}
}

// Examples is the number of examples.
func (d *Dataset) Examples() int { return len(d.puzzleOf) }

// Puzzles is the number of variants.
func (d *Dataset) Puzzles() int { return len(d.puzzles) - 1 }

// Groups is the number of originals.
func (d *Dataset) Groups() int { return len(d.groups) - 1 }

// Example returns the tokens and labels of one example.
func (d *Dataset) Example(i int) (inputs, labels []int32) {
	inputs, labels = make([]int32, d.SeqLen), make([]int32, d.SeqLen)
	d.Fill([]Draw{{int32(i), d.puzzleOf[i]}}, inputs, labels, make([]int32, 1))
	return inputs, labels
}

// Load reads a split of the dataset in a directory.
func Load(dir, split string) (*Dataset, error) {
	return load(dir, split, func(name string) (io.ReadCloser, error) {
		return os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	})
}

// LoadStore reads a split of the dataset below a prefix of a store.
func LoadStore(ctx context.Context, store objectstore.Store, prefix, split string) (*Dataset, error) {
	return load(store.URI(prefix), split, func(name string) (io.ReadCloser, error) {
		r, _, err := store.Get(ctx, path.Join(prefix, name))
		return r, err
	})
}

// loader reads the files of one split; the first error ends it.
type loader struct {
	where, split, set string
	open              func(name string) (io.ReadCloser, error)
}

func load(where, split string, open func(string) (io.ReadCloser, error)) (*Dataset, error) {
	l := loader{where: where, split: split, open: open}
	d := &Dataset{}
	if err := l.metadata(&d.Metadata); err != nil {
		return nil, err
	}
	l.set = d.Sets[0]
	var err error
	if d.inputs, err = l.tokens("inputs", &d.Metadata); err != nil {
		return nil, err
	}
	if d.labels, err = l.tokens("labels", &d.Metadata); err != nil {
		return nil, err
	}
	if d.identifiers, err = l.vector("puzzle_identifiers"); err != nil {
		return nil, err
	}
	if d.puzzles, err = l.vector("puzzle_indices"); err != nil {
		return nil, err
	}
	if d.groups, err = l.vector("group_indices"); err != nil {
		return nil, err
	}
	if d.ratings, err = l.ratings(); err != nil {
		return nil, err
	}
	if err := l.check(d); err != nil {
		return nil, err
	}
	return d, nil
}

func (l loader) bad(name, format string, args ...any) error {
	return dataerror.New(path.Join(l.where, l.split, name), 0, format, args...)
}

func (l loader) read(name string, use func(io.Reader) error) error {
	r, err := l.open(path.Join(l.split, name))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, objectstore.ErrNotFound) {
		return l.bad(name, "missing: this is not a dataset, or only part of one")
	}
	if err != nil {
		return fmt.Errorf("load dataset %s: %w", l.where, err)
	}
	defer r.Close()
	return use(r)
}

func (l loader) metadata(m *Metadata) error {
	const name = "dataset.json"
	return l.read(name, func(r io.Reader) error {
		text, err := io.ReadAll(dataerror.Limit(r, path.Join(l.where, l.split, name), maxMetadata))
		if err != nil {
			return fmt.Errorf("load dataset %s: %w", l.where, err)
		}
		if err := json.Unmarshal(text, m); err != nil {
			return l.bad(name, "not the expected JSON: %v", err)
		}
		switch {
		case len(m.Sets) != 1 || path.Base(m.Sets[0]) != m.Sets[0]:
			return l.bad(name, "sets is %q: expected one name", m.Sets)
		case m.SeqLen < 1 || m.SeqLen > 1<<20:
			return l.bad(name, "seq_len is %d: expected 1 to 1048576", m.SeqLen)
		case m.VocabSize < 1 || m.VocabSize > 1<<24:
			return l.bad(name, "vocab_size is %d: expected 1 to 16777216", m.VocabSize)
		case m.NumPuzzleIdentifiers < 1 || m.NumPuzzleIdentifiers > 1<<24:
			return l.bad(name, "num_puzzle_identifiers is %d: expected 1, the blank one, to 16777216", m.NumPuzzleIdentifiers)
		case (m.GridHeight != 0 || m.GridWidth != 0) && (m.GridHeight < 1 || m.GridWidth < 1 || m.GridHeight > m.SeqLen || m.GridHeight*m.GridWidth != m.SeqLen):
			return l.bad(name, "grid_height %d and grid_width %d don't make seq_len %d: correct them, or leave them out", m.GridHeight, m.GridWidth, m.SeqLen)
		case m.PadID < 0 || int(m.PadID) >= m.VocabSize:
			return l.bad(name, "pad_id is %d, outside the vocabulary of %d", m.PadID, m.VocabSize)
		case m.BlankIdentifierID < 0 || int(m.BlankIdentifierID) >= m.NumPuzzleIdentifiers:
			return l.bad(name, "blank_identifier_id is %d, of %d identifiers", m.BlankIdentifierID, m.NumPuzzleIdentifiers)
		}
		return nil
	})
}

func (l loader) array(field string) (a NPY, err error) {
	name := arrayFile(l.set, field)
	err = l.read(name, func(r io.Reader) error {
		if a, err = ReadNPY(r); err != nil {
			return l.bad(name, "%v", err)
		}
		return nil
	})
	return a, err
}

// arrayFile is the name of an array's file: all__inputs.npy.
func arrayFile(set, field string) string { return set + "__" + field + ".npy" }

func (l loader) vector(field string) ([]int32, error) {
	a, err := l.array(field)
	if err != nil {
		return nil, err
	}
	return l.oneAxis(field, a)
}

func (l loader) oneAxis(field string, a NPY) ([]int32, error) {
	if len(a.Shape) != 1 {
		return nil, l.bad(arrayFile(l.set, field), "has shape %v: expected one axis", a.Shape)
	}
	v, err := a.Int32s()
	if err != nil {
		return nil, l.bad(arrayFile(l.set, field), "%v", err)
	}
	return v, nil
}

func (l loader) tokens(field string, m *Metadata) (tokens, error) {
	a, err := l.array(field)
	if err != nil {
		return tokens{}, err
	}
	if len(a.Shape) != 2 || a.Shape[1] != m.SeqLen {
		return tokens{}, l.bad(arrayFile(l.set, field), "has shape %v: expected (examples, %d)", a.Shape, m.SeqLen)
	}
	if a.Type == "|u1" {
		for i, v := range a.Data {
			if int(v) >= m.VocabSize {
				return tokens{}, l.bad(arrayFile(l.set, field), "example %d holds token %d, outside the vocabulary of %d", i/m.SeqLen, v, m.VocabSize)
			}
		}
		return tokens{narrow: a.Data}, nil
	}
	wide, err := a.Int32s()
	if err != nil {
		return tokens{}, l.bad(arrayFile(l.set, field), "%v", err)
	}
	for i, v := range wide {
		ignored := field == "labels" && (v == IgnoreLabel || (m.IgnoreLabelID != nil && v == *m.IgnoreLabelID))
		if !ignored && (v < 0 || int(v) >= m.VocabSize) {
			return tokens{}, l.bad(arrayFile(l.set, field), "example %d holds token %d, outside the vocabulary of %d", i/m.SeqLen, v, m.VocabSize)
		}
	}
	return tokens{wide: wide}, nil
}

// check proves that the offsets fit together, so that no later index can be out of range.
func (l loader) check(d *Dataset) error {
	size := func(t tokens) int { return max(len(t.narrow), len(t.wide)) / d.SeqLen }
	n := size(d.inputs)
	if size(d.labels) != n {
		return l.bad(arrayFile(l.set, "labels"), "%d examples, but %d inputs", size(d.labels), n)
	}
	if d.ratings != nil && len(d.ratings) != n {
		return l.bad(arrayFile(l.set, ratingsField), "%d ratings, but %d inputs", len(d.ratings), n)
	}
	if err := offsets(d.puzzles, n); err != nil {
		return l.bad(arrayFile(l.set, "puzzle_indices"), "%v", err)
	}
	if err := offsets(d.groups, d.Puzzles()); err != nil {
		return l.bad(arrayFile(l.set, "group_indices"), "%v", err)
	}
	if len(d.identifiers) != d.Puzzles() {
		return l.bad(arrayFile(l.set, "puzzle_identifiers"), "%d identifiers for %d puzzles", len(d.identifiers), d.Puzzles())
	}
	for i, id := range d.identifiers {
		if id < 0 || int(id) >= d.NumPuzzleIdentifiers {
			return l.bad(arrayFile(l.set, "puzzle_identifiers"), "puzzle %d has identifier %d of %d", i, id, d.NumPuzzleIdentifiers)
		}
	}
	if mean := d.MeanPuzzleExamples; mean < 0 || mean > float64(max(1, n)) {
		return l.bad("dataset.json", "mean_puzzle_examples is %g: expected 0 to %d, the number of examples", mean, max(1, n))
	}
	if d.TotalGroups != d.Groups() {
		return l.bad("dataset.json", "total_groups is %d, but there are %d", d.TotalGroups, d.Groups())
	}
	d.puzzleOf = make([]int32, n)
	for p := range d.Puzzles() {
		for i := d.puzzles[p]; i < d.puzzles[p+1]; i++ {
			d.puzzleOf[i] = int32(p)
		}
	}
	return nil
}

// offsets checks that v begins with 0, increases, and ends with n. Nothing may be empty: it could not be drawn.
func offsets(v []int32, n int) error {
	if len(v) == 0 || v[0] != 0 {
		return errors.New("does not begin with 0")
	}
	for i := 1; i < len(v); i++ {
		if v[i] <= v[i-1] {
			return fmt.Errorf("element %d is %d after %d: expected a larger one", i, v[i], v[i-1])
		}
	}
	if int(v[len(v)-1]) != n {
		return fmt.Errorf("ends with %d: expected %d", v[len(v)-1], n)
	}
	return nil
}
