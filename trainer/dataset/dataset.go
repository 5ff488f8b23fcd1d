// Package dataset owns what training reads: the on-disk layout of the official implementation, the samplers over it, and
// the builds that make it out of puzzles and keep it in a bucket. Building the boards themselves is the work of a package
// below this one for each task.
package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

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

// maxIdentifiers bounds the puzzle identifiers of a dataset.
const maxIdentifiers = 1 << 24

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

// Dataset is one split. It is not changed after loading. Its arrays are the mapped files where that is possible, so that
// they take no memory of the process: the files must not be changed while it is open, and [Guarded] tells of it if they are.
type Dataset struct {
	Metadata

	inputs, labels tokens
	identifiers    []int32 // per puzzle
	puzzles        []int32 // where each puzzle's examples begin, and the end of the last
	groups         []int32 // where each group's puzzles begin, and the end of the last
	ratings        []int32 // per example; nil if there are none
	files          []*mapping
}

// tokens holds [N, S] integers as bytes where they fit, which they do for all known tasks.
type tokens struct {
	narrow []uint8
	wide   []int32
}

func (t tokens) at(i int) int32 {
	if t.wide != nil {
		return t.wide[i]
	}
	return int32(t.narrow[i])
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
func (d *Dataset) Examples() int { return int(d.puzzles[len(d.puzzles)-1]) }

// Puzzles is the number of variants.
func (d *Dataset) Puzzles() int { return len(d.puzzles) - 1 }

// Groups is the number of originals.
func (d *Dataset) Groups() int { return len(d.groups) - 1 }

// Example returns the tokens and labels of one example.
func (d *Dataset) Example(i int) (inputs, labels []int32) {
	inputs, labels = make([]int32, d.SeqLen), make([]int32, d.SeqLen)
	d.Fill([]Draw{{int32(i), d.puzzleOf(i)}}, inputs, labels, make([]int32, 1))
	return inputs, labels
}

// Identifier returns the puzzle identifier of an example.
func (d *Dataset) Identifier(example int) int32 { return d.identifiers[d.puzzleOf(example)] }

// puzzleOf returns the puzzle that an example belongs to.
func (d *Dataset) puzzleOf(example int) int32 {
	p, found := slices.BinarySearch(d.puzzles, int32(example))
	if !found {
		p--
	}
	return int32(p)
}

// Close gives the files back. The dataset must not be used any more, by any goroutine.
func (d *Dataset) Close() error {
	var errs []error
	for _, m := range d.files {
		errs = append(errs, m.unmap())
	}
	// A use after this is an index out of range, and no access to what may be mapped there by then.
	*d = Dataset{Metadata: d.Metadata}
	return errors.Join(errs...)
}

// Load opens a split of the dataset in a directory, and checks all of it.
func Load(dir, split string) (d *Dataset, err error) {
	err = Guarded(func() error {
		d, err = load(dir, split, func(name string) (io.ReadCloser, error) {
			return os.Open(filepath.Join(dir, filepath.FromSlash(name)))
		})
		return err
	})
	return d, err
}

// loader reads the files of one split; the first error ends it.
type loader struct {
	where, split, set string
	open              func(name string) (io.ReadCloser, error)
	// files are those of the arrays that are mapped.
	files []*mapping
}

func load(where, split string, open func(string) (io.ReadCloser, error)) (_ *Dataset, err error) {
	l, d := &loader{where: where, split: split, open: open}, &Dataset{}
	defer func() {
		if d.files == nil { // not loaded: also after a fault, which is no error yet
			err = errors.Join(err, (&Dataset{files: l.files}).Close())
		}
	}()
	if err := l.metadata(&d.Metadata); err != nil {
		return nil, err
	}
	l.set = d.Sets[0]
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
	for _, m := range l.files {
		// Training draws rows from everywhere: reading ahead of each would read the disk many times over.
		m.advise(unix.MADV_RANDOM)
	}
	d.files = l.files
	return d, nil
}

func (l *loader) bad(name, format string, args ...any) error {
	return dataerror.New(path.Join(l.where, l.split, name), 0, format, args...)
}

func (l *loader) read(name string, use func(io.Reader) error) error {
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

func (l *loader) metadata(m *Metadata) error {
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
		case m.NumPuzzleIdentifiers < 1 || m.NumPuzzleIdentifiers > maxIdentifiers:
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

func (l *loader) array(field string) (a NPY, err error) {
	name := arrayFile(l.set, field)
	err = l.read(name, func(r io.Reader) error {
		if a, err = l.mapOrRead(r); err != nil {
			return l.bad(name, "%v", err)
		}
		return nil
	})
	return a, err
}

// mapOrRead maps an array's file, or reads it if that cannot be.
func (l *loader) mapOrRead(r io.Reader) (NPY, error) {
	if f, ok := r.(*os.File); ok {
		a, m, err := mapNPY(f)
		if err == nil {
			m.advise(unix.MADV_SEQUENTIAL)
			l.files = append(l.files, m)
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return a, err
		}
	}
	return ReadNPY(r)
}

// arrayFile is the name of an array's file: all__inputs.npy.
func arrayFile(set, field string) string { return set + "__" + field + ".npy" }

func (l *loader) vector(field string) ([]int32, error) {
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
	v, err := a.int32s()
	if err != nil {
		return nil, l.bad(arrayFile(l.set, field), "%v", err)
	}
	return v, nil
}

func (l *loader) tokens(field string, m *Metadata) (tokens, error) {
	a, err := l.array(field)
	if err != nil {
		return tokens{}, err
	}
	if len(a.Shape) != 2 || a.Shape[1] != m.SeqLen {
		return tokens{}, l.bad(arrayFile(l.set, field), "has shape %v: expected (examples, %d)", a.Shape, m.SeqLen)
	}
	var t tokens
	var bad int
	if a.Type == "|u1" {
		t.narrow = a.Data
		bad = outside(t.narrow, m.VocabSize)
	} else {
		if t.wide, err = a.int32s(); err != nil {
			return tokens{}, l.bad(arrayFile(l.set, field), "%v", err)
		}
		var ignored []int32
		if field == "labels" {
			ignored = append(ignored, IgnoreLabel)
			if m.IgnoreLabelID != nil {
				ignored = append(ignored, *m.IgnoreLabelID)
			}
		}
		bad = outsideWide(t.wide, m.VocabSize, ignored...)
	}
	if bad >= 0 {
		return tokens{}, l.bad(arrayFile(l.set, field), "example %d holds token %d, outside the vocabulary of %d", bad/m.SeqLen, t.at(bad), m.VocabSize)
	}
	return t, nil
}

// check proves that the offsets fit together, so that no later index can be out of range.
func (l *loader) check(d *Dataset) error {
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
