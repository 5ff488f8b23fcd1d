package dataset

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/arc"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

const arcData = "arc/testdata/data"

// smallARC is a recipe of six tasks that builds in moments.
func smallARC() v1alpha1.DatasetSpec {
	return v1alpha1.DatasetSpec{
		Task: v1alpha1.TaskARC, Source: v1alpha1.DatasetSource{URI: arcData}, TestFraction: "0.1", Augmentations: 20, Seed: 5,
	}
}

// arcTasks reads the tasks of a set of the test data.
func arcTasks(t testing.TB, set string) []arc.Task {
	t.Helper()
	var tasks []arc.Task
	names, err := filepath.Glob(filepath.Join(arcData, set, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		task, err := arc.ParseTask(name, arc.IDOf(name), bytes.NewReader(read(t, "", name)))
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	return tasks
}

func identifiersOf(t testing.TB, dir string) (names []string) {
	t.Helper()
	if err := json.Unmarshal(read(t, dir, "identifiers.json"), &names); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestBuildARC_putsDemonstrationsOfHeldOutTasksIntoTrainAndTheirTestsIntoTest(t *testing.T) {
	dir, summary := built(t, smallARC())
	train, test := loaded(t, dir, Train), loaded(t, dir, Test)
	names := identifiersOf(t, dir)
	if len(names) != 1+6*21 || names[0] != "<blank>" || names[1] != "00576224" || train.NumPuzzleIdentifiers != len(names) || test.NumPuzzleIdentifiers != len(names) {
		t.Fatalf("%d names that begin with %q, %d and %d identifiers", len(names), names[:2], train.NumPuzzleIdentifiers, test.NumPuzzleIdentifiers)
	}
	want := map[string]struct{ train, test int }{}
	for _, task := range arcTasks(t, "evaluation") {
		want[task.ID] = struct{ train, test int }{len(task.Train), len(task.Test)}
	}
	for _, task := range arcTasks(t, "training") {
		want[task.ID] = struct{ train, test int }{len(task.Train) + len(task.Test), 0}
	}
	if train.Groups() != 6 || train.Puzzles() != 6*21 || test.Groups() != 3 || test.Puzzles() != 3*21 {
		t.Errorf("%d groups and %d puzzles to train on, %d and %d held out", train.Groups(), train.Puzzles(), test.Groups(), test.Puzzles())
	}
	sizes := func(d *Dataset) map[string]int {
		sizes := map[string]int{}
		for p := range d.Puzzles() {
			sizes[names[d.identifiers[p]]] = int(d.puzzles[p+1] - d.puzzles[p])
		}
		return sizes
	}
	inTrain, inTest := sizes(train), sizes(test)
	for _, name := range names[1:] {
		id, _, err := arc.ParseName(name)
		if err != nil || inTrain[name] != want[id].train || inTest[name] != want[id].test {
			t.Errorf("%s has %d examples in train and %d in test, want %+v (%v)", name, inTrain[name], inTest[name], want[id], err)
		}
	}
	sets := []SetSummary{{"evaluation", 3, 63, 21 * 10, 21 * 4}, {"training", 3, 63, 21 * 17, 0}}
	if !slices.Equal(summary.Sets, sets) || summary.TrainExamples != train.Examples() || summary.TestExamples != test.Examples() || summary.Identifiers != len(names) {
		t.Errorf("summary %+v", summary)
	}
}

func TestBuildARC_everyVariantTurnsBackIntoItsTask(t *testing.T) {
	dir, _ := built(t, smallARC())
	names := identifiersOf(t, dir)
	tasks := map[string]arc.Task{}
	for _, task := range append(arcTasks(t, "evaluation"), arcTasks(t, "training")...) {
		tasks[task.ID] = task
	}
	for _, split := range []string{Train, Test} {
		d := loaded(t, dir, split)
		for p := range d.Puzzles() {
			id, a, err := arc.ParseName(names[d.identifiers[p]])
			if err != nil {
				t.Fatal(err)
			}
			task := tasks[id]
			pairs := task.Pairs()
			if split == Test {
				pairs = task.Test
			}
			for i := d.puzzles[p]; i < d.puzzles[p+1]; i++ {
				in, out := d.Example(int(i))
				for j, v := range out {
					if v == IgnoreLabel {
						out[j] = arc.TokenPad
					}
				}
				pair := pairs[i-d.puzzles[p]]
				for _, x := range []struct {
					tokens []int32
					grid   arc.Grid
				}{{in, pair.Input}, {out, pair.Output}} {
					g, err := arc.ParseGrid(arc.Draw(x.tokens, false))
					if err != nil || !a.Undo(g).Equal(x.grid) {
						t.Fatalf("%s, example %d of %s: %v, %v", split, i, names[d.identifiers[p]], g, err)
					}
					if split == Test && !arc.Crop(x.tokens).Equal(g) {
						t.Fatalf("test example %d is not in the corner", i)
					}
				}
			}
		}
	}
}

func TestBuildARC_sameRecipeSameBytesOnAnyNumberOfProcessors(t *testing.T) {
	a, _ := built(t, smallARC())
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b, _ := built(t, smallARC())
	other := smallARC()
	other.Seed++
	c, _ := built(t, other)
	for _, name := range append(requiredFiles(), testPuzzlesName, manifestName) {
		if !bytes.Equal(read(t, a, name), read(t, b, name)) {
			t.Errorf("%s differs between two builds", name)
		}
	}
	for _, name := range []string{"identifiers.json", "train/all__inputs.npy", "test/all__labels.npy"} {
		if bytes.Equal(read(t, a, name), read(t, c, name)) {
			t.Errorf("%s does not depend on the seed", name)
		}
	}
}

func TestBuildARC_oneTaskDoesNotChangeAnother(t *testing.T) {
	all, _ := built(t, smallARC())
	alone := smallARC()
	alone.Source.URI = filepath.Join(arcData, "training", "25ff71a9.json")
	alone.TestFraction = "0"
	one, _ := built(t, alone)
	want := slices.DeleteFunc(identifiersOf(t, all), func(s string) bool { return !strings.HasPrefix(s, "25ff71a9") })
	if got := identifiersOf(t, one)[1:]; !slices.Equal(got, want) {
		t.Errorf("%v alone, %v with others", got[:3], want[:3])
	}
}

// kaggle writes the test data in Kaggle's combined form, with the answers in files of their own.
func kaggle(t testing.TB, sets map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for set, as := range sets {
		tasks := arcTasks(t, set)
		solutions := map[string][]json.RawMessage{}
		for i := range tasks {
			for j := range tasks[i].Test {
				p := &tasks[i].Test[j]
				text, err := json.Marshal(rows(p.Output))
				if err != nil {
					t.Fatal(err)
				}
				solutions[tasks[i].ID] = append(solutions[tasks[i].ID], text)
				p.Output = arc.Grid{}
			}
		}
		var b bytes.Buffer
		if err := arc.WriteTasks(&b, tasks); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(solutions)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string][]byte{"challenges": b.Bytes(), "solutions": text} {
			if err := os.WriteFile(fmt.Sprintf("%s/arc-agi_%s_%s.json", dir, as, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func rows(g arc.Grid) [][]int {
	rows := make([][]int, g.Rows)
	for r := range rows {
		for _, cell := range g.Cells[r*g.Cols : (r+1)*g.Cols] {
			rows[r] = append(rows[r], int(cell))
		}
	}
	return rows
}

func TestBuildARC_readsAllFormsAlike(t *testing.T) {
	combined := kaggle(t, map[string]string{"training": "training", "evaluation": "evaluation"})
	store, err := objectstore.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	names, err := listFolder(arcData)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text := read(t, arcData, name)
		if _, err := store.Put(context.Background(), "arc/v1/data/"+name, bytes.NewReader(text), int64(len(text)), objectstore.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	sources := Sources{Bucket: func(string) (objectstore.Store, error) { return store, nil }}
	want, _ := built(t, smallARC())
	for name, source := range map[string]v1alpha1.DatasetSource{
		"a folder above":        {URI: "file://arc/testdata/"},
		"a bucket":              {URI: "s3://bucket/arc"},
		"combined files":        {URI: combined},
		"two sets of three":     {URI: combined + "#training,evaluation"},
		"folder by folder":      {URI: arcData + "/evaluation", AdditionalURIs: []string{arcData + "/training/"}},
		"file by combined file": {URI: combined + "/arc-agi_evaluation_challenges.json", AdditionalURIs: []string{combined + "/arc-agi_training_challenges.json"}},
		"the same twice":        {URI: arcData, AdditionalURIs: []string{arcData + "#evaluation"}},
	} {
		t.Run(name, func(t *testing.T) {
			spec := smallARC()
			spec.Source = source
			got := t.TempDir()
			if _, err := Build(context.Background(), spec, sources, got, nil); err != nil {
				t.Fatal(err)
			}
			for _, file := range append(requiredFiles(), testPuzzlesName) {
				if !bytes.Equal(read(t, got, file), read(t, want, file)) {
					t.Errorf("%s is another one", file)
				}
			}
		})
	}
}

func TestBuildARC_readsOnlyTheSetsThatAreWanted(t *testing.T) {
	spec := smallARC()
	spec.Source.URI = kaggle(t, map[string]string{"training": "training2", "evaluation": "test"})
	_, summary := built(t, spec)
	if len(summary.Sets) != 1 || summary.Sets[0].Name != "training2" {
		t.Errorf("without a choice: %+v", summary.Sets)
	}
	spec.Source.URI += "#training2,test"
	_, summary = built(t, spec)
	if len(summary.Sets) != 2 || summary.Sets[0].Name != "test" || summary.Sets[0].TestExamples == 0 {
		t.Errorf("with test: %+v", summary.Sets)
	}
}

func TestBuildARC_holdsOutAFractionWhereNothingIsForEvaluation(t *testing.T) {
	spec := smallARC()
	spec.Source.URI, spec.TestFraction = arcData+"#training", "0.3"
	dir, summary := built(t, spec)
	if test := loaded(t, dir, Test); test.Groups() != 1 || summary.TrainGroups != 3 {
		t.Errorf("%d tasks held out, summary %+v", test.Groups(), summary)
	}
	spec.TestFraction = "0"
	if dir, _ = built(t, spec); loaded(t, dir, Test).Examples() != 0 {
		t.Error("a fraction of 0 holds something out")
	}
}

func TestBuildARC_subsample(t *testing.T) {
	spec := smallARC()
	spec.Subsample = int32p(4)
	dir, summary := built(t, spec)
	if d := loaded(t, dir, Train); d.Groups() != 4 || d.NumPuzzleIdentifiers != 1+4*21 || summary.TrainGroups != 4 {
		t.Errorf("%d tasks, %d identifiers", d.Groups(), d.NumPuzzleIdentifiers)
	}
}

func TestBuildARC_badDataIsRecognisable(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	task := func(answer string) string {
		return `{"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]` + answer + `}]}`
	}
	const answer = `, "output": [[4]]`
	file("shared/training/a.json", task(answer))
	file("shared/evaluation/a.json", task(answer))
	file("other/one/a.json", task(answer))
	file("other/two/a.json", task(`, "output": [[5]]`))
	file("empty/x.txt", "")
	for _, c := range []struct {
		name, uri, want string
		change          func(*v1alpha1.DatasetSpec)
	}{
		{"no such folder", dir + "/none", "correct dataset.source", nil},
		{"a folder without tasks", dir + "/empty", "nor a folder with ARC tasks", nil},
		{"an unknown scheme", "ftp://host/x", "unknown scheme", nil},
		{"an unknown set", arcData + "#training2", "no set training2 here: write # and some of evaluation,training after the URI", nil},
		{"a file of another set", arcData + "/training/25ff71a9.json#evaluation", "remove what follows the #", nil},
		{"no solution in a task's file", file("training/a.json", task("")), "task a: test input 1 has no solution: add it", nil},
		{"no file of solutions", file("x_training_challenges.json", `{"a": `+task("")+`}`), "or x_training_solutions.json beside this file", nil},
		{"a task that is trained on and held out", dir + "/shared", "choose sets that don't share tasks", nil},
		{"two tasks of a name", dir + "/other", "has other pairs than in the set one", nil},
		{"a bad grid", file("training/b.json", `{"train": [{"input": [[11]], "output": [[2]]}], "test": []}`), "b.json: task b: ", nil},
		{"too few tasks", arcData, "6 tasks, but subsample asks for 7: lower it", func(s *v1alpha1.DatasetSpec) { s.Subsample = int32p(7) }},
		{"a bad additional collection", arcData, "correct dataset.source", func(s *v1alpha1.DatasetSpec) { s.Source.AdditionalURIs = []string{dir + "/none"} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := smallARC()
			spec.Source.URI = c.uri
			if c.change != nil {
				c.change(&spec)
			}
			out := t.TempDir()
			_, err := Build(context.Background(), spec, Sources{}, out, nil)
			var bad *DataError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a data error with %q", err, c.want)
			}
			if left, err := listFolder(out); err != nil || len(left) > 0 {
				t.Errorf("leaves %v, %v", left, err)
			}
		})
	}
}

func TestBuildARC_leavesNothingHalfWrittenWhenItIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	out := t.TempDir()
	_, err := Build(ctx, smallARC(), Sources{}, out, func(stage string, _, _ int) {
		if strings.HasPrefix(stage, "write train") {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	left, err := listFolder(out)
	if err != nil || slices.ContainsFunc(left, func(name string) bool { return strings.Contains(name, ".npy") }) {
		t.Errorf("leaves %v, %v", left, err)
	}
}

func TestBuildARC_countsOfThePublishedCollections(t *testing.T) {
	const folder = "../../../shared/data/arc"
	if _, err := os.Stat(folder); err != nil {
		t.Skip("needs the published collections")
	}
	for _, c := range []struct {
		name  string
		uri   string
		add   []string
		sets  []SetSummary
		train int
	}{
		{"ARC-AGI-1", folder + "#training,evaluation", nil, []SetSummary{{"evaluation", 400, 400, 1363, 419}, {"training", 400, 400, 1718, 0}}, 3081},
		{
			"ARC-AGI-2 and ConceptARC", folder + "#training2,evaluation2", []string{folder + "#concept"},
			[]SetSummary{{"evaluation2", 120, 120, 358, 172}, {"training2", 1000, 1000, 4308, 0}, {"concept", 160, 160, 907, 0}}, 5573,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := smallARC()
			spec.Augmentations = 0
			spec.Source = v1alpha1.DatasetSource{URI: c.uri, AdditionalURIs: c.add}
			_, summary := built(t, spec)
			if !slices.Equal(summary.Sets, c.sets) || summary.TrainExamples != c.train {
				t.Errorf("%+v", summary)
			}
		})
	}
	spec := smallARC()
	spec.Source.URI = folder
	_, err := Build(context.Background(), spec, Sources{}, t.TempDir(), nil)
	if err == nil || !strings.Contains(err.Error(), "choose") {
		t.Errorf("all sets at once: %v", err)
	}
}
