package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/arc"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/custom"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/maze"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
)

// TaskOf returns what the dataset in dir is about: as its manifest says if a build of this program made it, otherwise
// guessed by its vocabulary and length.
func TaskOf(dir string, m *Metadata) (v1alpha1.Task, error) {
	var made manifest
	found, err := readSmall(filepath.Join(dir, manifestName), maxMetadata, &made)
	if err != nil {
		return "", err
	}
	if task := made.Spec.Task; found && task != "" {
		return task, nil
	}
	for _, known := range published {
		if m.VocabSize == known.vocabSize && m.SeqLen == known.seqLen {
			return known.task, nil
		}
	}
	return v1alpha1.TaskCustom, nil
}

// published are the sizes of the official datasets.
var published = []struct {
	task              v1alpha1.Task
	vocabSize, seqLen int
}{{v1alpha1.TaskSudoku, sudoku.VocabSize, sudoku.Cells}, {v1alpha1.TaskMaze, maze.VocabSize, 900}, {v1alpha1.TaskARC, arc.VocabSize, arc.SeqLen}}

// PublishedTask returns the published task, and the length of its examples, that a model with this vocabulary was made for.
func PublishedTask(vocabSize int) (task v1alpha1.Task, seqLen int, found bool) {
	for _, known := range published {
		if vocabSize == known.vocabSize {
			return known.task, known.seqLen, true
		}
	}
	return "", 0, false
}

// blankIdentifier is the name of identifier 0: no puzzle in particular.
const blankIdentifier = custom.Blank

// identifiersName is the file of the puzzle identifiers' names, by their numbers.
const identifiersName = "identifiers.json"

// maxIdentifiersBytes bounds identifiers.json: a name for each of millions of puzzles.
const maxIdentifiersBytes = 1 << 30

// ReadIdentifiers returns the names of a dataset's puzzle identifiers, by their numbers; nil if identifiers.json is not
// there.
func ReadIdentifiers(dir string) ([]string, error) {
	var names []string
	_, err := readSmall(filepath.Join(dir, identifiersName), maxIdentifiersBytes, &names)
	return names, err
}

// readSmall reads a JSON file of at most limit bytes, if it is there.
func readSmall(name string, limit int64, into any) (found bool, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(dataerror.Limit(f, name, limit))
	if err != nil {
		return false, fmt.Errorf("read %s: %w", name, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return false, dataerror.New(name, 0, "not the expected JSON: %v", err)
	}
	return true, nil
}
