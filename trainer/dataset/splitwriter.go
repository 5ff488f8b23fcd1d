package dataset

import (
	"errors"
	"os"
	"path/filepath"
)

// SplitWriter writes a split whose examples don't fit into memory. The number of examples is known from the start, so that
// they may come in any order, and from several goroutines.
type SplitWriter struct {
	dir            string
	metadata       Metadata
	inputs, labels arrayWriter
}

// arrayWriter is a file [N, SeqLen] that appears under its name when it is whole.
type arrayWriter struct {
	file   *os.File
	name   string
	header int64
}

// NewSplitWriter begins a split of so many examples below dir. Close or Abort ends it.
func NewSplitWriter(dir, split string, m Metadata, examples int) (*SplitWriter, error) {
	w := &SplitWriter{dir: filepath.Join(dir, split), metadata: m}
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return nil, err
	}
	shape := []int{examples, m.SeqLen}
	err := errors.Join(w.inputs.open(filepath.Join(w.dir, arrayFile(m.Sets[0], "inputs")), shape),
		w.labels.open(filepath.Join(w.dir, arrayFile(m.Sets[0], "labels")), shape))
	if err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

func (a *arrayWriter) open(name string, shape []int) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	header := npyHeaderOf("|u1", shape)
	a.file, a.name, a.header = f, name, int64(len(header))
	if _, err := f.Write(header); err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o644), f.Truncate(a.header+int64(shape[0])*int64(shape[1])))
}

// Write writes the tokens of consecutive examples, [n, SeqLen], of which the first has this index.
func (w *SplitWriter) Write(first int, inputs, labels []uint8) error {
	at := int64(first) * int64(w.metadata.SeqLen)
	if _, err := w.inputs.file.WriteAt(inputs, w.inputs.header+at); err != nil {
		return err
	}
	_, err := w.labels.file.WriteAt(labels, w.labels.header+at)
	return err
}

// Close writes the rest of the split: an identifier for each puzzle, and the offsets of puzzles and groups.
func (w *SplitWriter) Close(identifiers, puzzles, groups []int32) error {
	defer w.Abort()
	if err := errors.Join(w.inputs.close(), w.labels.close()); err != nil {
		return err
	}
	set := w.metadata.Sets[0]
	return errors.Join(
		writeVector(filepath.Join(w.dir, arrayFile(set, "puzzle_identifiers")), identifiers),
		writeVector(filepath.Join(w.dir, arrayFile(set, "puzzle_indices")), puzzles),
		writeVector(filepath.Join(w.dir, arrayFile(set, "group_indices")), groups),
		writeJSON(filepath.Join(w.dir, "dataset.json"), w.metadata),
	)
}

func (a *arrayWriter) close() error {
	if err := a.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(a.file.Name(), a.name); err != nil {
		return err
	}
	a.file = nil
	return nil
}

// Abort removes what was written and not closed.
func (w *SplitWriter) Abort() {
	for _, a := range []*arrayWriter{&w.inputs, &w.labels} {
		if a.file != nil {
			a.file.Close()
			_ = os.Remove(a.file.Name())
			a.file = nil
		}
	}
}
