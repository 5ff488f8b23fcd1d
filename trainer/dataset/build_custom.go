package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/custom"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

// maxCustomBytes is how much memory the tokens of a split may take while it is built.
const maxCustomBytes = 16_000_000_000

type customBuild struct {
	*building
	train, test []custom.Example
	shape       custom.Shape
	// identifiers number the ids of the examples; names are the ids by number, the first one that of examples without.
	identifiers map[string]int32
	names       []string
}

func buildCustom(ctx context.Context, common *building) error {
	if n := common.spec.Augmentations; n > 0 {
		return dataerror.New("dataset.augmentations", 0, "is %d, but nothing is known of how a custom task may be varied: set it to 0, and write variants as lines of their own", n)
	}
	b := customBuild{building: common, identifiers: map[string]int32{"": 0}, names: []string{blankIdentifier}}
	if b.src.file("train/dataset.json") != nil {
		return b.copyArrays()
	}
	if err := b.gather(ctx, b.src.file(Train), b.src.file(Test)); err != nil {
		return err
	}
	if err := b.write(b.outDir); err != nil {
		return fmt.Errorf("write dataset to %s: %w", b.outDir, err)
	}
	return nil
}

// gather reads examples, splits them and takes a subsample.
func (b *customBuild) gather(ctx context.Context, train, test *sourceFile) (err error) {
	if b.train, err = b.read(ctx, train); err != nil {
		return err
	}
	if test != nil {
		if b.test, err = b.read(ctx, test); err != nil {
			return err
		}
		before := len(b.train)
		b.train = custom.DropAsked(b.train, b.test)
		b.summary.Related = before - len(b.train)
	} else {
		held, err := testSize(b.spec.TestFraction, len(b.train))
		if err != nil {
			return err
		}
		b.train, b.test = custom.Split(b.train, held, b.spec.Seed)
	}
	if len(b.train) == 0 {
		return dataerror.New(train.name, 0, "no example is left to train on: add examples, or lower testFraction")
	}
	n, err := b.drawn(train.name, "examples to train on", len(b.train))
	if err != nil {
		return err
	}
	b.train = custom.Subsample(b.train, n, b.spec.Seed)
	b.shape.Extend(b.train)
	b.shape.Extend(b.test)
	if b.shape.Cells() > custom.MaxCells {
		return dataerror.New(train.name, 0, "the largest height %d and the largest width %d make %d cells, more than %d: split the grids, or leave the largest out",
			b.shape.Height, b.shape.Width, b.shape.Cells(), custom.MaxCells)
	}
	return nil
}

// read returns the different examples of a file.
func (b *customBuild) read(ctx context.Context, from *sourceFile) ([]custom.Example, error) {
	f, err := b.open(from)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	examples, err := custom.Parse(ctx, from.name, f)
	if err != nil {
		return nil, err
	}
	read := len(examples)
	examples = custom.Deduplicate(examples)
	b.summary.Read += read
	b.summary.Duplicates += read - len(examples)
	return examples, nil
}

func (b *customBuild) write(outDir string) error {
	train, test := b.groups(b.train), b.groups(b.test)
	if err := b.writeSplit(outDir, Train, train); err != nil {
		return err
	}
	if err := b.writeSplit(outDir, Test, test); err != nil {
		return err
	}
	b.summary.TrainGroups, b.summary.TrainExamples, b.summary.TestExamples = len(train), len(b.train), len(b.test)
	return writeJSON(filepath.Join(outDir, identifiersName), b.names)
}

// groups puts examples of one id together, each without one stays alone, and numbers the ids.
func (b *customBuild) groups(examples []custom.Example) [][]custom.Example {
	var groups [][]custom.Example
	of := map[string]int{}
	for _, e := range examples {
		if _, known := b.identifiers[e.ID]; !known {
			b.identifiers[e.ID] = int32(len(b.names))
			b.names = append(b.names, e.ID)
		}
		g, known := of[e.ID]
		if e.ID == "" || !known {
			g = len(groups)
			of[e.ID] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], e)
	}
	return groups
}

// writeSplit writes groups of one puzzle each.
func (b *customBuild) writeSplit(outDir, split string, groups [][]custom.Example) error {
	a := Arrays{
		Metadata: Metadata{
			VocabSize: b.shape.VocabSize, SeqLen: b.shape.Cells(), NumPuzzleIdentifiers: len(b.names),
			TotalGroups: len(groups), TotalPuzzles: len(groups), Sets: []string{"all"},
			GridHeight: b.shape.Height, GridWidth: b.shape.Width,
		},
		Puzzles: []int32{0},
		Groups:  offsetsOf(len(groups), 1),
	}
	examples := slices.Concat(groups...)
	for _, g := range groups {
		a.Identifiers = append(a.Identifiers, b.identifiers[g[0].ID])
		a.Puzzles = append(a.Puzzles, a.Puzzles[len(a.Puzzles)-1]+int32(len(g)))
	}
	if len(groups) > 0 {
		a.Metadata.MeanPuzzleExamples = float64(len(examples)) / float64(len(groups))
	}
	size := len(examples) * b.shape.Cells()
	wide := b.shape.VocabSize > 256
	if bytes := 2 * size; bytes > maxCustomBytes || wide && 4*bytes > maxCustomBytes {
		return dataerror.New("dataset", 0, "%d examples of %dx%d cells: take fewer, or leave out the largest", len(examples), b.shape.Height, b.shape.Width)
	}
	if wide {
		a.WideInputs, a.WideLabels = encode[int32](b.shape, examples)
	} else {
		a.Inputs, a.Labels = encode[uint8](b.shape, examples)
	}
	return WriteSplit(outDir, split, a)
}

func encode[T uint8 | int32](shape custom.Shape, examples []custom.Example) (inputs, labels []T) {
	cells := shape.Cells()
	inputs, labels = make([]T, len(examples)*cells), make([]T, len(examples)*cells)
	for i, e := range examples {
		custom.Encode(shape, e.Input, inputs[i*cells:(i+1)*cells])
		custom.Encode(shape, e.Output, labels[i*cells:(i+1)*cells])
	}
	return inputs, labels
}

// copyArrays takes over a dataset that is in the official layout already, and checks it.
func (b *customBuild) copyArrays() error {
	if n := b.spec.Subsample; n != nil {
		return dataerror.New("dataset.subsample", 0, "is %d, but a dataset of arrays is taken as it is: remove it", *n)
	}
	folder := strings.TrimSuffix(b.src.file("train/dataset.json").name, "/train/dataset.json")
	for _, name := range requiredFiles() {
		if b.src.file(name) == nil && name != identifiersName {
			return dataerror.New(folder+"/"+name, 0, `missing: expected both splits, with the arrays of the set "all"`)
		}
	}
	for _, f := range b.src.files {
		if err := copyInto(filepath.Join(b.outDir, filepath.FromSlash(f.role)), f.path); err != nil {
			return err
		}
	}
	// What is wrong is wrong with the source, and not with the copy.
	var bad *dataerror.Error
	train, err := Load(b.outDir, Train)
	if err == nil {
		var test *Dataset
		if test, err = Load(b.outDir, Test); err == nil {
			err = b.fit(train, test)
		}
	}
	if errors.As(err, &bad) {
		return dataerror.New(folder+strings.TrimPrefix(bad.Source, b.outDir), 0, "%s", bad.Reason)
	}
	return err
}

// fit proves that two splits are of one dataset.
func (b *customBuild) fit(train, test *Dataset) error {
	for _, c := range []struct {
		key         string
		train, test int
	}{
		{"seq_len", train.SeqLen, test.SeqLen},
		{"vocab_size", train.VocabSize, test.VocabSize},
		{"num_puzzle_identifiers", train.NumPuzzleIdentifiers, test.NumPuzzleIdentifiers},
		{"pad_id", int(train.PadID), int(test.PadID)},
	} {
		if c.train != c.test {
			return dataerror.New(path.Join(b.outDir, Test, "dataset.json"), 0, "%s is %d, in train/dataset.json %d: expected the same", c.key, c.test, c.train)
		}
	}
	b.summary.Read = train.Examples() + test.Examples()
	b.summary.TrainGroups, b.summary.TrainExamples, b.summary.TestExamples = train.Groups(), train.Examples(), test.Examples()
	if b.src.file(identifiersName) != nil {
		return nil
	}
	names := []string{blankIdentifier}
	for i := 1; i < train.NumPuzzleIdentifiers; i++ {
		names = append(names, fmt.Sprint(i))
	}
	return writeJSON(filepath.Join(b.outDir, identifiersName), names)
}

func copyInto(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return writeFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}
