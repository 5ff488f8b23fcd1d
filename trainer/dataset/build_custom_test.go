package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/dataerror"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

func customSpec(uri string) v1alpha1.DatasetSpec {
	return v1alpha1.DatasetSpec{Task: v1alpha1.TaskCustom, Source: v1alpha1.DatasetSource{URI: uri}}
}

// filesIn writes files, by name, and returns where.
func filesIn(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// reversals are examples whose answer is the sequence from behind.
func reversals(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, "{\"input\": [%d, %d, %d], \"output\": [%d, %d, %d]}\n", i%10, i/10%10, i/100, i/100, i/10%10, i%10)
	}
	return s.String()
}

const (
	customTrain = `{"input": [[1,2],[3,4]], "output": [[4]], "id": "a"}
{"input": [[5,6]], "output": [[6,5]]}
{"input": [[7,8]], "output": [[8,7]]}
{"input": [[1,1,1]], "output": [[1]], "id": "a"}
{"input": [[5,6]], "output": [[6,5]]}
{"input": [[9]], "output": [[9]], "id": "a"}
`
	customTest = `{"input": [[9]], "output": [[9]], "id": "a"}
{"input": [[0]], "output": [[0]], "id": 7}
`
)

func TestBuildCustom_makesGroupsOfIdsThatBothSplitsShare(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(customTest))
	_ = z.Close()
	uri := filesIn(t, map[string]string{"train.jsonl": customTrain, "test.jsonl.gz": packed.String()})
	dir, summary := built(t, customSpec(uri))
	if want := (Summary{SourceSHA256: summary.SourceSHA256, Read: 8, Duplicates: 1, Related: 1, TrainGroups: 3, TrainExamples: 4, TestExamples: 2}); !reflect.DeepEqual(summary, want) {
		t.Errorf("summary %+v, want %+v", summary, want)
	}
	train, test := loaded(t, dir, Train), loaded(t, dir, Test)
	for _, d := range []*Dataset{train, test} {
		if d.SeqLen != 6 || d.VocabSize != 11 || d.NumPuzzleIdentifiers != 3 || d.IgnoreLabelID != nil || d.GridHeight != 2 || d.GridWidth != 3 {
			t.Errorf("metadata %+v", d.Metadata)
		}
	}
	var names []string
	if err := json.Unmarshal(read(t, dir, "identifiers.json"), &names); err != nil || !slices.Equal(names, []string{"<blank>", "a", "7"}) {
		t.Errorf("identifiers %q, %v", names, err)
	}
	for name, c := range map[string]struct{ got, want []int32 }{
		"identifiers to train": {train.identifiers, []int32{1, 0, 0}}, "to test": {test.identifiers, []int32{1, 2}},
		"puzzles": {train.puzzles, []int32{0, 2, 3, 4}}, "groups": {train.groups, []int32{0, 1, 2, 3}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s %v, want %v", name, c.got, c.want)
		}
	}
	inputs, labels := train.Example(0)
	if !slices.Equal(inputs, []int32{2, 3, 0, 4, 5, 0}) || !slices.Equal(labels, []int32{5, 0, 0, 0, 0, 0}) {
		t.Errorf("the first example is %v and %v: expected it in the top left corner, padding to be learned", inputs, labels)
	}
}

func TestBuildCustom_splitsOneFile(t *testing.T) {
	uri := filepath.Join(filesIn(t, map[string]string{"all.jsonl": reversals(500)}), "all.jsonl")
	spec := customSpec(uri)
	spec.TestFraction, spec.Subsample = "0.2", int32p(300)
	dir, summary := built(t, spec)
	train, test := loaded(t, dir, Train), loaded(t, dir, Test)
	if train.Examples() != 300 || train.Groups() != 300 || test.Examples() != 100 || train.SeqLen != 3 || summary.TrainExamples != 300 {
		t.Fatalf("%d + %d examples of %d: %+v", train.Examples(), test.Examples(), train.SeqLen, summary)
	}
	held := map[string]bool{}
	for i := range test.Examples() {
		in, _ := test.Example(i)
		held[fmt.Sprint(in)] = true
	}
	for i := range train.Examples() {
		in, out := train.Example(i)
		if held[fmt.Sprint(in)] || in[0] != out[2] || in[2] != out[0] {
			t.Fatalf("training example %d: %v and %v", i, in, out)
		}
	}
}

func TestBuildCustom_takesValuesThatNeedMoreThanAByte(t *testing.T) {
	uri := filepath.Join(filesIn(t, map[string]string{"f": `{"input": [0, 65533], "output": [300]}` + "\n" + `{"input": [1, 2], "output": [3]}`}), "f")
	dir, _ := built(t, customSpec(uri))
	d := loaded(t, dir, Train)
	if d.VocabSize != 65535 {
		t.Errorf("a vocabulary of %d", d.VocabSize)
	}
	both := map[string]bool{}
	for _, split := range []string{Train, Test} {
		in, out := loaded(t, dir, split).Example(0)
		both[fmt.Sprint(in, out)] = true
	}
	if !both["[1 65534] [301 0]"] || !both["[2 3] [4 0]"] {
		t.Errorf("got %v", both)
	}
}

func TestBuildCustom_takesOverArraysFromFolderAndBucket(t *testing.T) {
	from, _ := built(t, small())
	store, err := objectstore.Open(t.Context(), from, objectstore.S3Config{})
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]struct {
		uri   string
		files Files
	}{
		"folder": {from + "/", Sources{}},
		"bucket": {"s3://bucket", Sources{Bucket: func(string) (objectstore.Store, error) { return store, nil }}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			summary, err := Build(t.Context(), customSpec(source.uri), source.files, dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			if summary.TrainExamples != 240 || summary.TestExamples != 50 {
				t.Errorf("summary %+v", summary)
			}
			for _, file := range requiredFiles() {
				if !bytes.Equal(read(t, dir, file), read(t, from, file)) {
					t.Errorf("%s is not what it was", file)
				}
			}
		})
	}
}

func TestBuildCustom_namesTheIdentifiersOfArraysThatHaveNone(t *testing.T) {
	from, _ := built(t, customSpec(filesIn(t, map[string]string{"train.jsonl": customTrain, "test.jsonl": customTest})))
	if err := os.Remove(filepath.Join(from, "identifiers.json")); err != nil {
		t.Fatal(err)
	}
	dir, _ := built(t, customSpec(from))
	var names []string
	if err := json.Unmarshal(read(t, dir, "identifiers.json"), &names); err != nil || !slices.Equal(names, []string{"<blank>", "1", "2"}) {
		t.Errorf("identifiers %q, %v", names, err)
	}
}

func TestBuildCustom_badDataIsRecognisable(t *testing.T) {
	file := func(text string) v1alpha1.DatasetSpec {
		return customSpec(filepath.Join(filesIn(t, map[string]string{"f.jsonl": text}), "f.jsonl"))
	}
	arrays := func(change func(dir string) error) v1alpha1.DatasetSpec {
		dir, _ := built(t, customSpec(filesIn(t, map[string]string{"train.jsonl": customTrain, "test.jsonl": customTest})))
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		return customSpec(dir)
	}
	replace := func(name, old, by string) func(string) error {
		return func(dir string) error {
			name := filepath.Join(dir, name)
			text, err := os.ReadFile(name)
			return errors.Join(err, os.WriteFile(name, []byte(strings.Replace(string(text), old, by, 1)), 0o644))
		}
	}
	with := func(spec v1alpha1.DatasetSpec, change func(*v1alpha1.DatasetSpec)) v1alpha1.DatasetSpec {
		change(&spec)
		return spec
	}
	for _, c := range []struct {
		name string
		spec v1alpha1.DatasetSpec
		want string
	}{
		{"nothing there", customSpec(filepath.Join(t.TempDir(), "none")), "no such file, nor a folder with a train.jsonl or with train/dataset.json"},
		{"a bad line", file(reversals(3) + `{"input": [1], "output": [-1]}`), `f.jsonl:4: "output": column 1 is "-1]": expected a whole number`},
		{"one example", file(reversals(1)), "no example is left to train on"},
		{"a subsample of more", with(file(reversals(9)), func(s *v1alpha1.DatasetSpec) { s.Subsample = int32p(9) }), "8 examples to train on, but subsample asks for 9"},
		{"augmentations", with(file(reversals(9)), func(s *v1alpha1.DatasetSpec) { s.Augmentations = 8 }), "dataset.augmentations: is 8, but nothing is known"},
		{"tall and wide", file(fmt.Sprintf(`{"input": [%s1], "output": [%s[1]]}`, strings.Repeat("1,", 999), strings.Repeat("[1],", 999)) + "\n" + reversals(20)), "height 1000 and the largest width 1000 make 1000000 cells"},
		{"a subsample of arrays", with(arrays(func(string) error { return nil }), func(s *v1alpha1.DatasetSpec) { s.Subsample = int32p(1) }), "dataset.subsample: is 1, but a dataset of arrays is taken as it is"},
		{"an array less", arrays(func(dir string) error { return os.Remove(filepath.Join(dir, "test/all__labels.npy")) }), "test/all__labels.npy: missing: expected both splits"},
		{"a token too large", arrays(replace("train/dataset.json", `"vocab_size": 11`, `"vocab_size": 3`)), "train/all__inputs.npy: example 0 holds token"},
		{"splits that differ", arrays(replace("test/dataset.json", `"vocab_size": 11`, `"vocab_size": 12`)), "test/dataset.json: vocab_size is 12, in train/dataset.json 11"},
		{"a shape that is none", arrays(replace("train/dataset.json", `"grid_width": 3`, `"grid_width": 5`)), "train/dataset.json: grid_height 2 and grid_width 5 don't make seq_len 6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := t.TempDir()
			_, err := Build(t.Context(), c.spec, Sources{}, out, nil)
			var bad *dataerror.Error
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), out) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestCustomRules(t *testing.T) {
	dir, _ := built(t, customSpec(filesIn(t, map[string]string{"train.jsonl": customTrain, "test.jsonl": customTest})))
	d := loaded(t, dir, Train)
	rules := RulesOf(v1alpha1.TaskCustom, &d.Metadata)
	puzzle, answer := d.Example(0)
	if got, want := rules.Draw(puzzle, false)+rules.Draw(answer, true), "1 2 .\n3 4 .\n4 . .\n. . .\n"; got != want {
		t.Errorf("drawn as\n%swant\n%s", got, want)
	}
	if again, err := rules.Parse("[[1,2],[3,4]]"); err != nil || !slices.Equal(again, puzzle) {
		t.Errorf("read as %v, %v", again, err)
	}
	if got := rules.Check(puzzle, answer); got.Known {
		t.Errorf("got %+v: nothing is known of the task", got)
	}
}
