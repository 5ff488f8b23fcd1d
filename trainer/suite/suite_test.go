package suite_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/suite"
)

const minimal = `apiVersion: hrm.dev/v1alpha1
kind: HRMSuite
metadata: {name: act, labels: {queue: night}}
spec:
  base:
    dataset: {task: Sudoku, source: {uri: puzzles.csv}}
    storage: {bucket: hrm, prefix: suites}
  set: {training.steps: 100}
  matrix:
    - axis: halting
      values:
        - {name: adaptive}
        - {name: fixed, set: {model.act.halting: Fixed}}
    - axis: steps
      values:
        - {name: 4, set: {model.act.maxSteps: 4}}
        - {name: 8, set: {model.act.maxSteps: 8, training.steps: 50}}
`

// changed is the minimal suite with some of its spec replaced.
func changed(t *testing.T, changes ...string) string {
	t.Helper()
	var document map[string]any
	if err := yaml.Unmarshal([]byte(minimal), &document); err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		var v any
		if err := yaml.Unmarshal([]byte(value), &v); err != nil {
			t.Fatal(err)
		}
		document["spec"].(map[string]any)[name] = v
	}
	raw, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func runsOf(text string, override func(*v1alpha1.HRMTrainingJobSpec) error) (*suite.Suite, []suite.Run, error) {
	s, err := suite.Parse([]byte(text))
	if err != nil {
		return nil, nil, err
	}
	runs, err := s.Runs(override)
	return s, runs, err
}

func namesOf(runs []suite.Run) string {
	var list []string
	for _, r := range runs {
		list = append(list, r.Name())
	}
	return strings.Join(list, " ")
}

func TestRuns_areAllCombinations(t *testing.T) {
	_, runs, err := runsOf(minimal, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := namesOf(runs), "act-adaptive-4 act-adaptive-8 act-fixed-4 act-fixed-8"; got != want {
		t.Fatalf("runs %s, want %s", got, want)
	}
	job := runs[3].Job
	if job.Spec.Model.ACT.Halting != v1alpha1.HaltingFixed || job.Spec.Model.ACT.MaxSteps != 8 {
		t.Errorf("act is %+v, want that of both values", job.Spec.Model.ACT)
	}
	if got := *job.Spec.Training.Steps; got != 50 {
		t.Errorf("%d steps, want 50: a value comes before what is set for all", got)
	}
	if got := *runs[0].Job.Spec.Training.Steps; got != 100 {
		t.Errorf("%d steps, want the 100 that are set for all", got)
	}
	if got, want := job.Spec.Storage.Prefix, "suites/act/act-fixed-8"; got != want {
		t.Errorf("prefix %s, want %s", got, want)
	}
	want := map[string]string{"queue": "night", "hrm.dev/suite": "act", "suite.hrm.dev/halting": "fixed", "suite.hrm.dev/steps": "8"}
	if !maps.Equal(job.Labels, want) {
		t.Errorf("labels %v, want %v", job.Labels, want)
	}
}

func TestRuns_leaveOutWhatIsExcluded(t *testing.T) {
	for _, row := range []struct{ exclude, want string }{
		{"[{halting: fixed}]", "act-adaptive-4 act-adaptive-8"},
		{"[{halting: fixed, steps: 8}]", "act-adaptive-4 act-adaptive-8 act-fixed-4"},
		{"[{halting: fixed, steps: 8}, {halting: adaptive, steps: '4'}]", "act-adaptive-8 act-fixed-4"},
	} {
		_, runs, err := runsOf(changed(t, "exclude="+row.exclude), nil)
		if err != nil || namesOf(runs) != row.want {
			t.Errorf("%s leaves %s, %v; want %s", row.exclude, namesOf(runs), err, row.want)
		}
	}
}

func TestRuns_areAdjustedWhereTheyMatch(t *testing.T) {
	_, runs, err := runsOf(changed(t, "adjust=[{where: {halting: fixed, steps: 8}, set: {model.act.maxSteps: 9}}]"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []int32
	for _, r := range runs {
		got = append(got, r.Job.Spec.Model.ACT.MaxSteps)
	}
	if want := []int32{4, 8, 4, 9}; !slices.Equal(got, want) {
		t.Errorf("maxSteps %v, want %v", got, want)
	}
}

func TestRuns_takeAnOverrideLast(t *testing.T) {
	_, runs, err := runsOf(minimal, func(s *v1alpha1.HRMTrainingJobSpec) error {
		s.Model.ACT.MaxSteps, s.Storage.Prefix = 3, ""
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if r.Job.Spec.Model.ACT.MaxSteps != 3 || r.Job.Spec.Storage.Prefix != r.Place {
			t.Errorf("%s: maxSteps %d, prefix %s", r.Name(), r.Job.Spec.Model.ACT.MaxSteps, r.Job.Spec.Storage.Prefix)
		}
	}
}

func TestRuns_canUnsetAField(t *testing.T) {
	text := changed(t, "base={model: {hLayers: 2, lLayers: 2}, dataset: {task: Sudoku, source: {uri: x}}, storage: {bucket: hrm}}",
		"matrix=[{axis: model, values: [{name: transformer, set: {model.architecture: Transformer, model.hLayers: null, model.lLayers: null, model.layers: 4}}]}]")
	_, runs, err := runsOf(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := runs[0].Job.Spec.Model; m.HLayers != 0 || m.LLayers != 0 || m.Layers != 4 {
		t.Errorf("model %+v", m)
	}
}

func TestSelect_takesRunsByTheirValues(t *testing.T) {
	s, runs, err := runsOf(minimal, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		only []string
		want string
	}{
		{nil, "act-adaptive-4 act-adaptive-8 act-fixed-4 act-fixed-8"},
		{[]string{"halting=fixed"}, "act-fixed-4 act-fixed-8"},
		{[]string{"halting=fixed", "steps=8"}, "act-fixed-8"},
		{[]string{"steps=8", "steps=4"}, "act-adaptive-4 act-adaptive-8 act-fixed-4 act-fixed-8"},
	} {
		selected, err := s.Select(runs, row.only)
		if err != nil || namesOf(selected) != row.want {
			t.Errorf("%v selects %s, %v; want %s", row.only, namesOf(selected), err, row.want)
		}
	}
	for only, want := range map[string]string{
		"halting":       "want axis=value",
		"hating=fixed":  "there are halting, steps",
		"halting=fixes": "there are adaptive, fixed",
	} {
		if _, err := s.Select(runs, []string{only}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want an error with %q", only, err, want)
		}
	}
}

func TestParse_saysWhatIsWrong(t *testing.T) {
	tooMany := "matrix=["
	for axis := range 9 {
		tooMany += fmt.Sprintf("{axis: a%d, values: [{name: v}, {name: w}]},", axis)
	}
	for _, row := range []struct{ text, want string }{
		{"kind: HRMTrainingJob", "want apiVersion hrm.dev/v1alpha1 and kind HRMSuite"},
		{"{", "not a suite"},
		{strings.Replace(minimal, "name: act", "name: Act", 1), "metadata.name"},
		{changed(t, "matrics=[]"), `unknown field "matrics"`},
		{changed(t, "base={shape: {}}"), `unknown field "shape"`},
		{changed(t, "base=null"), "base, a job's spec, or baseFile"},
		{changed(t, "baseFile=job.yaml"), "base, a job's spec, or baseFile"},
		{changed(t, "matrix=[]"), "spec.matrix is empty"},
		{changed(t, "matrix=[{axis: a, values: []}]"), "has no values"},
		{changed(t, "matrix=[{axis: a_b, values: [{name: x}]}]"), "spec.matrix[0].axis"},
		{changed(t, "matrix=[{axis: a, values: [{name: 0.5}]}]"), "spec.matrix[0].values[0].name \"0.5\""},
		{changed(t, "matrix=[{axis: a, values: [{name: true}]}]"), "write it in quotes"},
		{changed(t, "matrix=[{axis: a, values: [{name: x}, {name: x}]}]"), "the value x twice"},
		{changed(t, "matrix=[{axis: a, values: [{name: x}]}, {axis: a, values: [{name: z}]}]"), "a is there twice"},
		{changed(t, tooMany+"]"), "more than 500 combinations"},
		{changed(t, "exclude=[{}]"), "spec.exclude[0]: it is empty"},
		{changed(t, "exclude=[{size: big}]"), "there is no axis size"},
		{changed(t, "exclude=[{steps: 5}]"), "there are 4, 8"},
		{changed(t, "adjust=[{where: {}, set: {nodes: 1}}]"), "spec.adjust[0].where: it is empty"},
		{changed(t, "adjust=[{where: {size: 8}, set: {nodes: 1}}]"), "spec.adjust[0].where: there is no axis size"},
		{changed(t, "evaluate={segments: [0]}"), "spec.evaluate.segments"},
		{changed(t, "evaluate={maxExamples: -1}"), "spec.evaluate.maxExamples"},
		{strings.Repeat(" ", suite.MaxBytes+1), "larger than"},
	} {
		_, err := suite.Parse([]byte(row.text))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%.200s\ngives %v, want an error with %q", row.text, err, row.want)
		}
	}
}

func TestRuns_sayWhatIsWrong(t *testing.T) {
	for _, row := range []struct{ change, want string }{
		{"set={model.hiddenSise: 8}", "run act-adaptive-4: spec.set: model.hiddenSise: there is no hiddenSise"},
		{"set={training.steps: many}", "training.steps takes a whole number"},
		{"set={model.numHeads: 7}", "run act-adaptive-4: spec.model.numHeads must divide hiddenSize"},
		{"matrix=[{axis: a, values: [{name: x, set: {model.layers: 2}}]}]", "run act-x: spec.model.layers is not for architecture HRM"},
		{"matrix=[{axis: a, values: [{name: x, set: {model.size: 2}}]}]", "run act-x: a=x: set model.size: there is no size"},
		{"matrix=[{axis: a, values: [{name: x}, {name: x-y}]}, {axis: b, values: [{name: y-z}, {name: z}]}]", "run act-x-y-z: another combination has the same name"},
		{"matrix=[{axis: a, values: [{name: " + strings.Repeat("x", 60) + "}]}]", "cannot name a Service"},
		{"adjust=[{where: {steps: 8}, set: {model.size: 2}}]", "run act-adaptive-8: spec.adjust[0]: set model.size: there is no size"},
		{"exclude=[{halting: fixed}, {halting: adaptive}]", "leaves no run"},
	} {
		_, _, err := runsOf(changed(t, row.change), nil)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s gives %v, want an error with %q", row.change, err, row.want)
		}
	}
}

func TestRuns_countsHowManyAreWrong(t *testing.T) {
	_, _, err := runsOf(changed(t, "set={model.numHeads: 7}"), nil)
	if err == nil || strings.Count(err.Error(), "run act") != 1 || !strings.Contains(err.Error(), "the first of 4 runs that are wrong") {
		t.Errorf("it is %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(minimal)
	f.Add(strings.Replace(minimal, "{name: adaptive}", "{name: 7, set: {model: null, dataset.maze: {size: 8}}}", 1))
	f.Add("apiVersion: hrm.dev/v1alpha1\nkind: HRMSuite\nspec: {exclude: [{a: 1}]}")
	f.Fuzz(func(t *testing.T, text string) {
		s, runs, err := runsOf(text, nil)
		if err != nil {
			return
		}
		if len(runs) == 0 || len(runs) > suite.MaxRuns {
			t.Fatalf("%d runs", len(runs))
		}
		if !slices.ContainsFunc(runs, func(r suite.Run) bool { return r.Place == s.Metadata.Name+"/"+r.Name() }) {
			t.Error("a run is out of its place")
		}
	})
}
