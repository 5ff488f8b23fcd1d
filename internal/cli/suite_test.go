package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/s3server"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
	"github.com/hrm-operator/hrm-operator/trainer/suite"
)

// tinySuite has three runs that hardly know anything, the last of which cannot: no board has so many blanks.
const tinySuite = `apiVersion: hrm.dev/v1alpha1
kind: HRMSuite
metadata: {name: tiny}
spec:
  base:
    model: {hiddenSize: 8, numHeads: 2, expansion: 1, hLayers: 1, lLayers: 1, hCycles: 1, lCycles: 2, act: {maxSteps: 3}}
    dataset: {task: Sudoku, source: {uri: ../../trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz}, subsample: 6, augmentations: 1, testFraction: "0.002", maxBlanks: 20}
    training: {globalBatchSize: 4, steps: 12, warmupSteps: 1, learningRate: "1e-2"}
    evaluation: {everySteps: 100, maxExamples: 2}
    storage: {bucket: none}
  matrix:
    - axis: halting
      values:
        - {name: adaptive}
        - {name: broken, set: {dataset.source.uri: /nowhere.csv}}
        - {name: fixed, set: {model.act.halting: Fixed}}
`

// suiteBench runs 'hrm suite' on a suite of its own, with a store and scratch space that its calls share.
type suiteBench struct {
	t                    *testing.T
	file, store, scratch string
}

func newSuiteBench(t *testing.T, text string) *suiteBench {
	t.Helper()
	b := &suiteBench{t, filepath.Join(t.TempDir(), "suite.yaml"), filepath.Join(t.TempDir(), "store"), t.TempDir()}
	if err := os.WriteFile(b.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *suiteBench) run(ctx context.Context, on map[string]func(), args ...string) (out string, status int) {
	b.t.Helper()
	var o buffer
	said := &log{on: on}
	all := append([]string{"hrm", "suite", args[0], "-f", b.file}, args[1:]...)
	status = run(ctx, all, "test", strings.NewReader(""), &o, said)
	return o.String() + said.text.String(), status
}

// local trains on this machine.
func (b *suiteBench) local(ctx context.Context, on map[string]func(), args ...string) (string, int) {
	b.t.Helper()
	return b.run(ctx, on, append([]string{"run", "--local", "--store", b.store, "--scratch", b.scratch, "--device", "reference"}, args...)...)
}

// steps is the last step of a run's checkpoints; -1 without any.
func (b *suiteBench) steps(place string) int64 {
	b.t.Helper()
	store, err := objectstore.OpenDir(filepath.Join(b.store, place))
	if err != nil {
		b.t.Fatal(err)
	}
	if last := checkpoint.Last(b.t.Context(), store); last != nil {
		return last.Step
	}
	return -1
}

func TestSuiteRun_trainsAllThatCanBeTrained(t *testing.T) {
	b := newSuiteBench(t, tinySuite)
	out, status := b.local(t.Context(), nil)
	if status != exitJobFailed || !strings.Contains(out, "1 of 3 runs failed: tiny-broken") {
		t.Errorf("it ends with %d, want %d and the name of the run that failed\n%s", status, exitJobFailed, out)
	}
	for _, want := range []string{"[2/3] tiny-broken failed: dataset of /nowhere.csv", "[3/3] tiny-fixed done: 12 steps, held-out exact"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q\n%s", want, out)
		}
	}
	for place, want := range map[string]int64{"tiny/tiny-adaptive": 12, "tiny/tiny-broken": -1, "tiny/tiny-fixed": 12} {
		if got := b.steps(place); got != want {
			t.Errorf("%s is at step %d, want %d", place, got, want)
		}
	}
}

func TestSuiteRun_goesOnWhereItWasInterrupted(t *testing.T) {
	b := newSuiteBench(t, tinySuite)
	ctx, stop := context.WithCancel(t.Context())
	long := []string{"--set", "training.steps=30", "--set", "evaluation.everySteps=10", "--only", "halting=adaptive", "--only", "halting=fixed"}
	out, status := b.local(ctx, map[string]func(){"step 10: ": stop}, long...)
	reached := b.steps("tiny/tiny-adaptive")
	if status != exitInterrupted || reached < 1 || reached >= 30 {
		t.Fatalf("it ends with %d at step %d, want %d somewhere in between\n%s", status, reached, exitInterrupted, out)
	}
	out, status = b.local(t.Context(), nil, long...)
	if status != 0 || !strings.Contains(out, fmt.Sprintf("going on from step %d", reached)) {
		t.Errorf("it ends with %d and does not go on from step %d\n%s", status, reached, out)
	}
	out, status = b.local(t.Context(), nil, long...)
	if status != 0 || strings.Count(out, "nothing is left to train") != 2 || !strings.Contains(out, "tiny-fixed done: 30 steps") {
		t.Errorf("it ends with %d and trains again what was finished\n%s", status, out)
	}
}

func TestSuiteRun_showsWhatItWouldTrain(t *testing.T) {
	b := newSuiteBench(t, tinySuite)
	out, status := b.run(t.Context(), nil, "run", "--dry-run", "--only", "halting=fixed", "-o", "yaml", "--set", "training.steps=7")
	job, err := v1alpha1.Load(strings.NewReader(strings.TrimPrefix(out, "---\n")))
	if status != 0 || err != nil {
		t.Fatalf("it ends with %d and prints what is no job: %v\n%s", status, err, out)
	}
	if job.Name != "tiny-fixed" || *job.Spec.Training.Steps != 7 || job.Spec.Storage.Prefix != "tiny/tiny-fixed" || job.Labels["suite.hrm.dev/halting"] != "fixed" {
		t.Errorf("the job is %+v", job)
	}
	out, _ = b.run(t.Context(), nil, "run", "--dry-run")
	want := `JOB            HALTING   PLACE
tiny-adaptive  adaptive  tiny/tiny-adaptive
tiny-broken    broken    tiny/tiny-broken
tiny-fixed     fixed     tiny/tiny-fixed
`
	if out != want {
		t.Errorf("it prints\n%s\nwant\n%s", out, want)
	}
}

func TestSuiteRun_saysWhatIsWrong(t *testing.T) {
	b := newSuiteBench(t, tinySuite)
	for _, row := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"--dry-run", "--only", "halting=never"}, exitUsage, "--only axis halting has no value never"},
		{[]string{"--dry-run", "--set", "model.size=3"}, exitUsage, "there is no size"},
		{[]string{"--dry-run", "--set", "model.numHeads=3"}, exitConfiguration, "run tiny-adaptive: spec.model.numHeads must divide hiddenSize"},
		{[]string{"--dry-run", "-o", "json"}, exitUsage, "want yaml"},
		{[]string{"-o", "yaml"}, exitUsage, "add --dry-run"},
		{[]string{"--store", b.store}, exitUsage, "add --local"},
		{[]string{"-f", "/nowhere.yaml"}, exitUsage, "/nowhere.yaml"},
	} {
		out, status := b.run(t.Context(), nil, append([]string{"run"}, row.args...)...)
		if status != row.status || !strings.Contains(out, row.want) {
			t.Errorf("%v ends with %d, want %d and %q\n%s", row.args, status, row.status, row.want, out)
		}
	}
	b = newSuiteBench(t, strings.Replace(tinySuite, "  matrix:", "  baseFile: base.yaml\n  matrix:", 1))
	if out, status := b.run(t.Context(), nil, "run", "--dry-run"); status != exitConfiguration || !strings.Contains(out, "suite.yaml: spec takes either base") {
		t.Errorf("it ends with %d\n%s", status, out)
	}
}

// shippedSuites are the files below config/suites, those for the processor by cpu/NAME.
func shippedSuites(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, dir := range []string{"", "cpu/"} {
		list, err := filepath.Glob("../../config/suites/" + dir + "*.yaml")
		if err != nil || len(list) == 0 {
			t.Fatalf("no suites in config/suites/%s: %v", dir, err)
		}
		for _, file := range list {
			files[dir+strings.TrimSuffix(filepath.Base(file), ".yaml")] = file
		}
	}
	return files
}

func TestShippedSuites_areWhole(t *testing.T) {
	for name, file := range shippedSuites(t) {
		t.Run(name, func(t *testing.T) {
			s, runs, err := (&app{}).loadSuite(suiteFlags{file: file})
			if err != nil {
				t.Fatal(err)
			}
			if s.Metadata.Name != filepath.Base(name) {
				t.Errorf("it is called %s", s.Metadata.Name)
			}
			if s.Spec.Title == "" || s.Spec.Question == "" || s.Spec.Claim == "" {
				t.Error("it does not say what is to be settled: title, question or claim is missing")
			}
			if len(runs) < 2 {
				t.Errorf("%d runs compare nothing", len(runs))
			}
			differ(t, runs)
		})
	}
}

// differ checks that no two runs compute the same.
func differ(t *testing.T, runs []suite.Run) {
	t.Helper()
	known := map[string]string{}
	for _, r := range runs {
		recipe := loop.Recipe(&r.Job.Spec)
		if other, ok := known[recipe]; ok {
			t.Errorf("%s computes what %s does", r.Name(), other)
		}
		known[recipe] = r.Name()
	}
}

// What is asked of a cluster can be tried on the processor.
func TestShippedSuites_haveASmallOneForTheProcessor(t *testing.T) {
	files := shippedSuites(t)
	for name := range files {
		other, small := strings.CutPrefix(name, "cpu/")
		if !small {
			other = "cpu/" + name
		}
		if files[other] == "" {
			t.Errorf("there is %s without %s", name, other)
		}
	}
}

func TestSuiteCollect_comparesWhatRunsHaveComeTo(t *testing.T) {
	b := newSuiteBench(t, tinySuite+"  evaluate: {segments: [1, 2, 4]}\n")
	out, status := b.run(t.Context(), nil, "collect", "--store", b.store)
	if status != 0 || strings.Count(out, "not started") != 3 {
		t.Errorf("before all it ends with %d\n%s", status, out)
	}
	if _, err := os.Stat(b.store); err == nil {
		t.Error("looking into a store that is not there makes one")
	}
	b.local(t.Context(), nil)
	where := []string{"--store", b.store, "--scratch", b.scratch, "--device", "reference"}
	dir := t.TempDir()
	out, status = b.run(t.Context(), nil, append([]string{"collect", "--table", filepath.Join(dir, "t.md"), "--picture", filepath.Join(dir, "t.svg")}, where...)...)
	if status != 0 || strings.Count(out, "msg=measuring") != 2 || !strings.Contains(out, "tiny-broken, failed: dataset of /nowhere.csv") {
		t.Errorf("it ends with %d\n%s", status, out)
	}
	page, err := os.ReadFile(filepath.Join(dir, "t.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## tiny\n", "    hrm suite run -f " + b.file + " --local --store " + b.store, "| broken | failed |", "exact @4 |", "![tiny](t.svg)"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the table does not hold %q\n%s", want, page)
		}
	}
	var document struct{ Runs []suite.Result }
	out, status = b.run(t.Context(), nil, append([]string{"collect", "--json"}, where...)...)
	if err := json.Unmarshal([]byte(out), &document); status != 0 || err != nil {
		t.Fatalf("it ends with %d, %v, or measures again\n%s", status, err, out)
	}
	checkCollected(t, document.Runs)
}

func checkCollected(t *testing.T, runs []suite.Result) {
	t.Helper()
	if len(runs) != 3 {
		t.Fatalf("%d runs", len(runs))
	}
	r := runs[2]
	if r.State != suite.Finished || r.Steps != 12 || r.Parameters == 0 || r.Loss == nil || r.ExactAccuracy == nil || r.SamplesPerSecond == nil {
		t.Errorf("the finished one is %+v", r)
	}
	if e := r.Evaluation; e == nil || len(e.Points) != 3 || e.Points[2].Segments != 4 || e.Points[2].Examples != 2 {
		t.Errorf("measured is %+v", e)
	}
	if r := runs[1]; r.State != suite.Failed || r.Evaluation != nil {
		t.Errorf("the broken one is %+v", r)
	}
}

func TestSuiteCollect_showsTheRestWhereAModelCannotBeMeasured(t *testing.T) {
	b := newSuiteBench(t, tinySuite+"  evaluate: {segments: [1, 2]}\n")
	b.local(t.Context(), nil, "--only", "halting=fixed")
	out, status := b.run(t.Context(), nil, "collect", "--store", b.store, "--only", "halting=fixed", "--device", "cuda:99")
	if status == 0 || !strings.Contains(out, "run tiny-fixed is not measured") || !strings.Contains(out, "fixed") || !strings.Contains(out, "parameters") {
		t.Errorf("it ends with %d\n%s", status, out)
	}
	out, status = b.run(t.Context(), nil, "collect", "--store", b.store, "--only", "halting=fixed", "--evaluate=false")
	if status != 0 || strings.Contains(out, "exact @") {
		t.Errorf("without measuring it ends with %d\n%s", status, out)
	}
}

func TestSuiteCollect_tellsOfRunsThatAreOthers(t *testing.T) {
	b := newSuiteBench(t, tinySuite)
	b.local(t.Context(), nil, "--only", "halting=fixed")
	out, status := b.run(t.Context(), nil, "collect", "--store", b.store, "--only", "halting=fixed", "--set", "training.steps=9")
	if status != 0 || !strings.Contains(out, "tiny-fixed, another job: training.steps is 12, not 9") {
		t.Errorf("it ends with %d\n%s", status, out)
	}
}

func TestSuiteCollect_forgetsAFailureThatIsMended(t *testing.T) {
	b := newSuiteBench(t, tinySuite)
	b.local(t.Context(), nil, "--only", "halting=broken")
	if out, _ := b.run(t.Context(), nil, "collect", "--store", b.store, "--only", "halting=broken"); !strings.Contains(out, "failed") {
		t.Fatalf("nothing has failed\n%s", out)
	}
	source, err := filepath.Abs("../../trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	mended := []string{"--only", "halting=broken", "--set", "dataset.source.uri=" + source}
	b.local(t.Context(), nil, mended...)
	out, status := b.run(t.Context(), nil, append([]string{"collect", "--store", b.store}, mended...)...)
	if status != 0 || strings.Contains(out, "failed") || !strings.Contains(out, "12") {
		t.Errorf("it ends with %d\n%s", status, out)
	}
}

func TestSuite_worksInABucket(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", s3server.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3server.SecretAccessKey)
	server := s3server.Start(t)
	server.Bucket(t, "hrm")
	storage := fmt.Sprintf("storage: {bucket: hrm, prefix: suites, endpoint: %q, pathStyle: true}", server.Endpoint)
	b := newSuiteBench(t, strings.Replace(tinySuite, "storage: {bucket: none}", storage, 1)+"  evaluate: {segments: [1, 2]}\n")
	machine := []string{"--only", "halting=fixed", "--scratch", b.scratch, "--device", "reference"}
	if out, status := b.run(t.Context(), nil, append([]string{"run", "--local"}, machine...)...); status != 0 {
		t.Fatalf("it ends with %d\n%s", status, out)
	}
	if out, status := b.run(t.Context(), nil, append([]string{"collect"}, machine...)...); status != 0 || !strings.Contains(out, "exact @2") {
		t.Errorf("it ends with %d\n%s", status, out)
	}
	if _, err := os.Stat(filepath.Join(server.Dir, "hrm/suites/tiny/tiny-fixed", evaluationKey)); err != nil {
		t.Errorf("the evaluation is not kept: %v", err)
	}
}
