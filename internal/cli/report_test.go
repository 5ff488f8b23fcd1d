package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reported runs 'hrm report' on the shared model's device and returns what it wrote and said.
func reported(t *testing.T, args ...string) (page, problems string, status int) {
	t.Helper()
	trainedStore(t)
	file := filepath.Join(t.TempDir(), "report.html")
	var out, told buffer
	all := append([]string{"hrm", "report", "--device", "reference", "--scratch", filepath.Join(sharedModel.dir, "scratch"), "--out", file}, args...)
	status = run(t.Context(), all, "test", strings.NewReader(""), &out, &told)
	raw, err := os.ReadFile(file)
	if err != nil && status == 0 {
		t.Fatal(err)
	}
	return string(raw), told.String(), status
}

func TestReport_tellsOfARun(t *testing.T) {
	page, problems, status := reported(t, trainedStore(t), "--index", "3,7", "--evaluate", "5", "--segments", "2")
	if status != 0 {
		t.Fatalf("ends with %d\n%s", status, problems)
	}
	for _, want := range []string{"test 3", "test 7", "Loss per example", "Evaluations during training", "Checkpoints that are kept", "Measured for this page", "model.hiddenSize", `max="3"`} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(page, `class="missing" aria-label`) {
		t.Errorf("of a whole run something is missing:\n%s", problems)
	}
}

func TestReport_writesItsChartsAsFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "curves")
	if _, problems, status := reported(t, trainedStore(t), "--puzzles", "0", "--evaluate", "0", "--pictures", dir); status != 0 {
		t.Fatalf("ends with %d\n%s", status, problems)
	}
	wantFiles(t, dir, "examples-wholly-right.svg", "loss-per-example.svg", "learning-rate.svg")
}

func TestReport_comparesRuns(t *testing.T) {
	other := copyOf(t, trainedStore(t))
	page, problems, status := reported(t, trainedStore(t), other, "--puzzles", "0", "--evaluate", "0")
	if status != 0 || !strings.Contains(page, "Settings that all runs share") || !strings.Contains(page, other) {
		t.Errorf("ends with %d\n%s", status, problems)
	}
}

// copyOf copies a store but for its datasets.
func copyOf(t *testing.T, store string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"checkpoints", "metrics.jsonl", "latest.json", "best.json"} {
		source := filepath.Join(store, name)
		info, err := os.Stat(source)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			err = os.CopyFS(filepath.Join(dir, name), os.DirFS(source))
		} else if raw, readErr := os.ReadFile(source); readErr == nil {
			err = os.WriteFile(filepath.Join(dir, name), raw, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReport_saysWhatIsMissing(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(dir string) error
		says  string
	}{
		"no journal":        {func(dir string) error { return os.Remove(filepath.Join(dir, "metrics.jsonl")) }, "metrics.jsonl does not exist"},
		"an empty journal":  {func(dir string) error { return os.WriteFile(filepath.Join(dir, "metrics.jsonl"), nil, 0o644) }, "metrics.jsonl is empty"},
		"a cut journal":     {func(dir string) error { return cutOff(filepath.Join(dir, "metrics.jsonl")) }, "1 line of"},
		"no checkpoint":     {func(dir string) error { return os.RemoveAll(filepath.Join(dir, "checkpoints")) }, "there is no checkpoint yet"},
		"a broken model":    {func(dir string) error { return everyCheckpoint(dir, "model.safetensors", cutOff) }, "truncated or altered"},
		"a broken manifest": {func(dir string) error { return everyCheckpoint(dir, "manifest.json", cutOff) }, "not a manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyOf(t, trainedStore(t))
			if err := row.spoil(dir); err != nil {
				t.Fatal(err)
			}
			page, problems, status := reported(t, dir, "--data", trainedData(t), "--puzzles", "1", "--segments", "1", "--evaluate", "0")
			if status != 0 || !strings.Contains(page, row.says) || !strings.Contains(problems, row.says) {
				t.Errorf("ends with %d and says\n%s", status, problems)
			}
		})
	}
}

func cutOff(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	return os.Truncate(file, info.Size()-9)
}

func everyCheckpoint(dir, name string, spoil func(string) error) error {
	files, err := filepath.Glob(filepath.Join(dir, "checkpoints", "*", name))
	for _, file := range files {
		if err == nil {
			err = spoil(file)
		}
	}
	return err
}

func TestReport_ofACheckpointAlone(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(trainedStore(t), "checkpoints", "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("checkpoints %v, %v", dirs, err)
	}
	page, problems, status := reported(t, dirs[0], "--data", trainedData(t), "--puzzles", "1", "--segments", "1", "--evaluate", "0")
	if status != 0 || !strings.Contains(page, "this is a single checkpoint") || !strings.Contains(page, "test 0") {
		t.Errorf("ends with %d\n%s", status, problems)
	}
}

func TestReport_refusesWhatCannotBe(t *testing.T) {
	empty, nowhere := t.TempDir(), filepath.Join(t.TempDir(), "nowhere")
	for name, row := range map[string]struct {
		args []string
		says string
	}{
		"no run":                  {nil, "name 1 to 12 runs"},
		"a run that is nowhere":   {[]string{nowhere}, "no such file"},
		"an empty place":          {[]string{empty}, "neither metrics.jsonl nor a checkpoint"},
		"a puzzle beyond":         {[]string{trainedStore(t), "--index", "20"}, "--index 20: there are 20 puzzles"},
		"a step that is not kept": {[]string{trainedStore(t), "--step", "77"}, "holds no such checkpoint"},
		"too many puzzles":        {[]string{empty, "--puzzles", "1000"}, "--puzzles 1000"},
		"thoughts without end":    {[]string{empty, "--segments", "1000"}, "--segments 1000"},
		"a third half":            {[]string{empty, "--split", "half"}, "want train or test"},
		"no place for the page":   {[]string{trainedStore(t), "--puzzles", "0", "--evaluate", "0", "--out", filepath.Join(nowhere, "r.html")}, "--out"},
		"fewer than no examples":  {[]string{empty, "--evaluate", "-1"}, "--evaluate -1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems, status := reported(t, row.args...)
			if status != exitUsage || !strings.Contains(problems, row.says) {
				t.Errorf("ends with %d and says\n%s", status, problems)
			}
		})
	}
	if _, err := os.Stat(nowhere); err == nil {
		t.Error("a report makes the place that it is to tell of")
	}
}

func TestSpread(t *testing.T) {
	for _, row := range []struct {
		count, examples int
		want            string
	}{{3, 9, "0 3 6"}, {5, 2, "0 1"}, {0, 9, ""}} {
		var got []string
		for _, i := range spread(row.count, row.examples) {
			got = append(got, string(rune('0'+i)))
		}
		if strings.Join(got, " ") != row.want {
			t.Errorf("%d of %d: %v", row.count, row.examples, got)
		}
	}
}

// A training run writes the page beside its checkpoints, and the events for TensorBoard.
func TestTrain_writesAReportAtItsEnd(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(trainedStore(t), "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Training run tiny", "test 0", "Loss per example", "Checkpoints that are kept"} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(string(raw), `class="missing" aria-label`) {
		t.Error("something is missing")
	}
	if _, err := os.Stat(filepath.Join(trainedStore(t), "tensorboard", "events.out.tfevents.hrm")); err != nil {
		t.Error(err)
	}
}

// Where the page cannot be written training ends as well as ever.
func TestTrain_doesNotNeedItsReport(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	if err := os.MkdirAll(filepath.Join(store, "report.html"), 0o755); err != nil { // a folder is in the way
		t.Fatal(err)
	}
	var out, problems buffer
	args := []string{"hrm", "train", "-f", "-", "--store", store, "--device", "reference", "--scratch", t.TempDir(), "--set", "training.steps=1"}
	status := run(t.Context(), args, "test", strings.NewReader(tinyModel), &out, &problems)
	if status != 0 || !strings.Contains(problems.String(), "report.html") {
		t.Errorf("ends with %d\n%s", status, &problems)
	}
}
