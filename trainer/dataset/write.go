package dataset

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Arrays is a split to be written.
type Arrays struct {
	Metadata       Metadata
	Inputs, Labels []uint8 // [N, SeqLen]
	// WideInputs and WideLabels take their place where the vocabulary does not fit into bytes.
	WideInputs, WideLabels []int32
	// Identifiers has one element per puzzle; Puzzles and Groups are offsets that begin with 0.
	Identifiers, Puzzles, Groups []int32
	// Ratings says how hard each example is, or UnknownRating. Not every task has them.
	Ratings []int32
}

// WriteSplit writes the files of one split below dir.
func WriteSplit(dir, split string, a Arrays) error {
	dir = filepath.Join(dir, split)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	set := a.Metadata.Sets[0]
	return errors.Join(
		writeTokens(filepath.Join(dir, arrayFile(set, "inputs")), a.Metadata.SeqLen, a.Inputs, a.WideInputs),
		writeTokens(filepath.Join(dir, arrayFile(set, "labels")), a.Metadata.SeqLen, a.Labels, a.WideLabels),
		writeVector(filepath.Join(dir, arrayFile(set, "puzzle_identifiers")), a.Identifiers),
		writeVector(filepath.Join(dir, arrayFile(set, "puzzle_indices")), a.Puzzles),
		writeVector(filepath.Join(dir, arrayFile(set, "group_indices")), a.Groups),
		writeRatings(filepath.Join(dir, arrayFile(set, ratingsField)), a.Ratings),
		writeJSON(filepath.Join(dir, "dataset.json"), a.Metadata),
	)
}

// writeTokens writes [N, length] tokens: the wide ones if there are any.
func writeTokens(name string, length int, narrow []uint8, wide []int32) error {
	return writeFile(name, func(w io.Writer) error {
		if wide != nil {
			return WriteNPY(w, []int{len(wide) / length, length}, wide)
		}
		return WriteNPY(w, []int{len(narrow) / length, length}, narrow)
	})
}

func writeVector(name string, v []int32) error {
	return writeFile(name, func(w io.Writer) error { return WriteNPY(w, []int{len(v)}, v) })
}

func writeJSON(name string, v any) error {
	return writeFile(name, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	})
}

// writeFile makes a file appear whole under its name, so that another process which makes the same one in the same folder
// does no harm.
func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = errors.Join(write(w), w.Flush(), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
