package dataset

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/arc"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
)

const (
	// maxARCExamples of a split take 180 GB.
	maxARCExamples = 100_000_000
	// arcChunk is about how many examples are written at a time: 1.8 MB.
	arcChunk = 1000
	// testPuzzlesName is the file of the held-out tasks as they were before they became tokens.
	testPuzzlesName = "test_puzzles.json"
)

// SetSummary says what a build made of one set of tasks.
type SetSummary struct {
	Name          string `json:"name"`
	Tasks         int    `json:"tasks"`
	Puzzles       int    `json:"puzzles"`
	TrainExamples int    `json:"trainExamples"`
	TestExamples  int    `json:"testExamples"`
}

// arcTask is a task with what becomes of it.
type arcTask struct {
	arc.Task
	set     string
	source  string // for messages
	heldOut bool
	// variants are the original and its augmentations.
	variants []arc.Augmentation
}

// train returns the pairs to train on, and test those that are held out.
func (t *arcTask) train() []arc.Pair {
	if t.heldOut {
		return t.Train
	}
	return t.Pairs()
}

func (t *arcTask) test() []arc.Pair {
	if t.heldOut {
		return t.Test
	}
	return nil
}

type arcBuild struct {
	*building
	tasks []arcTask
}

func buildARC(ctx context.Context, common *building) error {
	b := arcBuild{building: common}
	for _, step := range []func(context.Context) error{b.read, b.choose, b.plan, b.write} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// read reads the tasks of all files, those of each set by their names, so that combined files and single ones come to the same.
func (b *arcBuild) read(ctx context.Context) error {
	files := b.src.files
	for i := 0; i < len(files); i++ {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		file := &files[i]
		var solutions *sourceFile
		if arc.IsCombined(file.role) && i+1 < len(files) && strings.TrimSuffix(files[i+1].role, ".gz") == arc.SolutionsOf(file.role) {
			i++
			solutions = &files[i]
		}
		tasks, err := readARC(file, solutions)
		if err != nil {
			return err
		}
		b.summary.Read += len(tasks)
		slices.SortFunc(tasks, func(t, u arc.Task) int { return strings.Compare(t.ID, u.ID) })
		for _, t := range tasks {
			set := path.Dir(file.role)
			b.tasks = append(b.tasks, arcTask{Task: t, set: set, source: file.name, heldOut: arc.HeldOut(set)})
		}
	}
	return b.deduplicate()
}

// readARC reads one file with its solutions, if it has any.
func readARC(file, solutions *sourceFile) (tasks []arc.Task, err error) {
	err = opened(file.path, func(r io.Reader) (err error) {
		if arc.IsCombined(file.role) {
			tasks, err = arc.ParseChallenges(file.name, r)
			return err
		}
		t, err := arc.ParseTask(file.name, arc.IDOf(file.role), r)
		tasks = []arc.Task{t}
		return err
	})
	if err == nil && solutions != nil {
		err = opened(solutions.path, func(r io.Reader) error { return arc.ParseSolutions(solutions.name, r, tasks) })
	}
	if err != nil || arc.Unsolved(path.Dir(file.role)) {
		return tasks, err
	}
	for _, t := range tasks {
		for i, p := range t.Test {
			if !p.Output.Known() {
				return nil, dataerror.New(file.name, 0, "task %s: test input %d has no solution: add it, or %s beside this file",
					t.ID, i+1, path.Base(arc.SolutionsOf(file.role)))
			}
		}
	}
	return tasks, nil
}

func opened(name string, use func(io.Reader) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return use(f)
}

// deduplicate leaves each task once. The answers of a held-out task must not be trained on under another set's name.
func (b *arcBuild) deduplicate() error {
	first := make(map[string]*arcTask, len(b.tasks))
	for i := range b.tasks {
		t := &b.tasks[i]
		was, again := first[t.ID]
		switch {
		case !again:
			first[t.ID] = t
		case was.heldOut != t.heldOut:
			return dataerror.New(t.source, 0,
				"task %s of the set %s is also in the set %s of %s: one is trained on, the other held out; choose sets that don't share tasks, as in folder#training,evaluation",
				t.ID, t.set, was.set, was.source)
		case !arc.SamePairs(t.train(), was.train()) || !arc.SamePairs(t.test(), was.test()):
			return dataerror.New(t.source, 0,
				"task %s of the set %s has other pairs than in the set %s of %s: choose one of the sets, as in folder#training,evaluation",
				t.ID, t.set, was.set, was.source)
		}
	}
	before := len(b.tasks)
	kept := make([]arcTask, 0, len(first))
	for i := range b.tasks {
		if t := &b.tasks[i]; first[t.ID] == t {
			kept = append(kept, *t)
		}
	}
	b.tasks = kept
	b.summary.Duplicates = before - len(kept)
	return nil
}

// choose draws the subsample and, if the collection has no set for evaluation, the tasks that are held out.
func (b *arcBuild) choose(context.Context) error {
	n := len(b.tasks)
	order := arc.Order(b.spec.Seed, n)
	size, err := b.drawn(b.src.files[0].name, "tasks", n)
	if err != nil {
		return err
	}
	if size < n {
		n = size
		drawn := slices.Sorted(slices.Values(order[:n]))
		for to, from := range drawn {
			b.tasks[to] = b.tasks[from]
		}
		b.tasks = b.tasks[:n]
		order = arc.Order(b.spec.Seed, n)
	}
	if slices.ContainsFunc(b.tasks, func(t arcTask) bool { return t.heldOut }) {
		return nil
	}
	held, err := testSize(b.spec.TestFraction, n)
	if err != nil {
		return err
	}
	for _, i := range order[:held] {
		b.tasks[i].heldOut = true
	}
	return nil
}

// plan draws the variants of all tasks.
func (b *arcBuild) plan(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var done atomic.Int64
	for i := range b.tasks {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			t := &b.tasks[i]
			t.variants = arc.Plan(&t.Task, int(b.spec.Augmentations), b.spec.Seed)
			b.progress("draw variants of tasks", int(done.Add(1)), len(b.tasks))
			return nil
		})
	}
	return group.Wait()
}

func (b *arcBuild) write(ctx context.Context) error {
	err := b.writeAll(ctx)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("write dataset to %s: %w", b.outDir, err)
	}
	return err
}

func (b *arcBuild) writeAll(ctx context.Context) error {
	b.count()
	for _, split := range []string{Train, Test} {
		if err := b.writeSplit(ctx, split); err != nil {
			return err
		}
	}
	var held []arc.Task
	for i := range b.tasks {
		if b.tasks[i].heldOut {
			held = append(held, b.tasks[i].Task)
		}
	}
	err := writeFile(filepath.Join(b.outDir, testPuzzlesName), func(w io.Writer) error { return arc.WriteTasks(w, held) })
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(b.outDir, identifiersName), b.writeIdentifiers)
}

// writeIdentifiers writes the names of all variants, in the order of their numbers.
func (b *arcBuild) writeIdentifiers(w io.Writer) error {
	if _, err := io.WriteString(w, `["`+blankIdentifier+`"`); err != nil {
		return err
	}
	for i := range b.tasks {
		t := &b.tasks[i]
		for v := range t.variants {
			name, err := json.Marshal(t.variants[v].Name(t.ID))
			if err != nil {
				return err
			}
			if _, err := w.Write(append([]byte(",\n"), name...)); err != nil {
				return err
			}
		}
	}
	_, err := io.WriteString(w, "]\n")
	return err
}

// count fills in the summary.
func (b *arcBuild) count() {
	s := &b.summary
	s.Identifiers = 1
	for i := range b.tasks {
		t := &b.tasks[i]
		at := slices.IndexFunc(s.Sets, func(x SetSummary) bool { return x.Name == t.set })
		if at < 0 {
			at = len(s.Sets)
			s.Sets = append(s.Sets, SetSummary{Name: t.set})
		}
		set := &s.Sets[at]
		set.Tasks++
		set.Puzzles += len(t.variants)
		set.TrainExamples += len(t.variants) * len(t.train())
		set.TestExamples += len(t.variants) * len(t.test())
		s.Identifiers += len(t.variants)
	}
	s.TrainGroups = len(b.tasks)
	for _, set := range s.Sets {
		s.TrainExamples += set.TrainExamples
		s.TestExamples += set.TestExamples
	}
}

// splitLayout is where the tasks' variants and pairs are in a split.
type splitLayout struct {
	// pairs of a task that are in the split; a task without any is not in it.
	pairs                        func(*arcTask) []arc.Pair
	identifiers, puzzles, groups []int32
	// first is the index of each task's first example.
	first []int
}

func (b *arcBuild) layout(split string) (splitLayout, error) {
	l := splitLayout{pairs: (*arcTask).train, puzzles: []int32{0}, groups: []int32{0}, first: make([]int, len(b.tasks))}
	examples := b.summary.TrainExamples
	if split == Test {
		l.pairs, examples = (*arcTask).test, b.summary.TestExamples
	}
	if examples > maxARCExamples || b.summary.Identifiers > maxIdentifiers {
		return l, dataerror.New(b.src.files[0].name, 0, "%d examples of %d variants, more than %d of %d: lower augmentations or subsample",
			examples, b.summary.Identifiers, maxARCExamples, maxIdentifiers)
	}
	next, identifier := 0, int32(0)
	for i := range b.tasks {
		t := &b.tasks[i]
		l.first[i] = next
		n := len(l.pairs(t))
		for range t.variants {
			identifier++
			if n == 0 {
				continue
			}
			next += n
			l.puzzles = append(l.puzzles, int32(next))
			l.identifiers = append(l.identifiers, identifier)
		}
		if n > 0 {
			l.groups = append(l.groups, int32(len(l.identifiers)))
		}
	}
	return l, nil
}

func (b *arcBuild) writeSplit(ctx context.Context, split string) error {
	l, err := b.layout(split)
	if err != nil {
		return err
	}
	examples, puzzles, ignore := int(l.puzzles[len(l.puzzles)-1]), len(l.identifiers), int32(0)
	w, err := NewSplitWriter(b.outDir, split, Metadata{
		IgnoreLabelID: &ignore, VocabSize: arc.VocabSize, SeqLen: arc.SeqLen, NumPuzzleIdentifiers: b.summary.Identifiers,
		TotalGroups: len(l.groups) - 1, MeanPuzzleExamples: float64(examples) / math.Max(1, float64(puzzles)), TotalPuzzles: puzzles,
		Sets: []string{"all"},
	}, examples)
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := b.writeExamples(ctx, w, split, l); err != nil {
		return err
	}
	return w.Close(l.identifiers, l.puzzles, l.groups)
}

// writeExamples writes the tokens of a split, some variants of a task at a time, on all processors.
func (b *arcBuild) writeExamples(ctx context.Context, w *SplitWriter, split string, l splitLayout) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	buffers := sync.Pool{New: func() any { return new([2][]uint8) }}
	var done atomic.Int64
	total := int(l.puzzles[len(l.puzzles)-1])
	for i := range b.tasks {
		t := &b.tasks[i]
		pairs := l.pairs(t)
		if len(pairs) == 0 {
			continue
		}
		step := max(1, arcChunk/len(pairs))
		for from := 0; from < len(t.variants); from += step {
			to := min(from+step, len(t.variants))
			group.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				tokens := buffers.Get().(*[2][]uint8)
				defer buffers.Put(tokens)
				b.encode(split, t, pairs, from, to, tokens)
				if err := w.Write(l.first[i]+from*len(pairs), tokens[0], tokens[1]); err != nil {
					return err
				}
				b.progress("write "+split+" examples", int(done.Add(int64((to-from)*len(pairs)))), total)
				return nil
			})
		}
	}
	return group.Wait()
}

// encode makes the inputs and labels of a task's variants from one index to another.
func (b *arcBuild) encode(split string, t *arcTask, pairs []arc.Pair, from, to int, tokens *[2][]uint8) {
	e := arc.Encoder{Task: &t.Task, Seed: b.spec.Seed}
	size := len(pairs) * arc.SeqLen
	for i := range tokens {
		tokens[i] = slices.Grow(tokens[i][:0], (to-from)*size)[:(to-from)*size]
	}
	for v := from; v < to; v++ {
		at, end := (v-from)*size, (v-from+1)*size
		if split == Train {
			e.Train(pairs, v, &t.variants[v], tokens[0][at:end], tokens[1][at:end])
		} else {
			e.Test(pairs, &t.variants[v], tokens[0][at:end], tokens[1][at:end])
		}
	}
}
