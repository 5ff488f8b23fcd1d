package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/official"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/torchfile"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// smallModel has two heads, which no tensor shows.
var smallModel = v1alpha1.ModelSpec{
	Architecture: v1alpha1.ArchitectureHRM, HiddenSize: 16, NumHeads: 2, Expansion: 4, HLayers: 1, LLayers: 2, HCycles: 1, LCycles: 1,
	PositionEncoding: v1alpha1.PositionEncodingRoPE, Loss: v1alpha1.LossStablemax, ACT: v1alpha1.ACTSpec{MaxSteps: 2, ExplorationProbability: "0.1"},
}

// smallConfig is smallModel as the official training describes it.
const smallConfig = `arch: {name: hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1, loss: {loss_type: stablemax_cross_entropy}, hidden_size: 16,
  num_heads: 2, expansion: 4, H_layers: 1, L_layers: 2, H_cycles: 1, L_cycles: 1, pos_encodings: rope, halt_max_steps: 2}`

// writeOfficial writes a file as the official training saves a model of so many tokens.
func writeOfficial(t *testing.T, path string, vocabulary int) {
	t.Helper()
	m, err := model.Build(smallModel, model.Shape{SeqLen: 81, VocabSize: vocabulary, NumPuzzleIdentifiers: 1}, v1alpha1.PrecisionBFloat16, 1)
	if err != nil {
		t.Fatal(err)
	}
	weights := map[string]checkpoint.Tensor{}
	shapes := map[string][]int{}
	for _, p := range m.Parameters {
		shapes[p.Name] = p.Shape
	}
	for name, values := range model.InitialValues(m.Parameters, 5) {
		weights[official.Prefix+name] = checkpoint.Float32Tensor(values, shapes[name]...)
	}
	tensors, _, err := official.Export(weights, v1alpha1.PrecisionBFloat16, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := torchfile.WriteFile(path, tensors); err != nil {
		t.Fatal(err)
	}
}

// hrmSays is hrm with all that the command says in one.
func hrmSays(t *testing.T, args ...string) (status int, said string) {
	t.Helper()
	status, out, errors := hrm(t, "", args...)
	return status, out + errors
}

// does fails the test unless a command succeeds and says a text.
func does(t *testing.T, text string, args ...string) {
	t.Helper()
	if status, said := hrmSays(t, args...); status != exitDone || !strings.Contains(said, text) {
		t.Fatalf("hrm %s ends with %d, want 0 and %q:\n%s", strings.Join(args, " "), status, text, said)
	}
}

func sudokuDataset(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sudoku")
	does(t, "held out", "data", "build", "sudoku", "--source", "../../trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz", "--out", dir,
		"--subsample", "10", "--test-fraction", "0.001", "--max-blanks", "20")
	return dir
}

func TestConvert_makesACheckpointThatIsEvaluatedSolvesAndGoesBack(t *testing.T) {
	dir := t.TempDir()
	source, ours, back := filepath.Join(dir, "step_26040"), filepath.Join(dir, "ours"), filepath.Join(dir, "back.pt")
	writeOfficial(t, source, 11)
	does(t, "taken as published: model.loss=Stablemax;", "checkpoint", "convert", source, "--out", ours,
		"--set", "model.numHeads=2", "--set", "model.hCycles=1", "--set", "model.lCycles=1", "--set", "model.act.maxSteps=2")
	does(t, "held-out examples, 2 segments", "eval", "--checkpoint", ours, "--data", sudokuDataset(t), "--device", "reference")
	does(t, "own confidence", "solve", "--checkpoint", ours, "--device", "reference",
		"53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79")
	does(t, "not in the file: model.numHeads=2 model.hCycles=1", "checkpoint", "convert", ours, "--out", back, "--compiled")
	before, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(back); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the way there and back gives other bytes: %v", err)
	}
}

func TestConvert_takesOptionsFromTheOfficialConfig(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "step_1")
	writeOfficial(t, source, 11)
	elsewhere := filepath.Join(t.TempDir(), "options.yaml")
	for _, path := range []string{elsewhere, filepath.Join(dir, official.ConfigName)} {
		if err := os.WriteFile(path, []byte(smallConfig), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"beside it":  {nil, "2 heads"},
		"as told":    {[]string{"--config", elsewhere}, "options of the model from " + elsewhere},
		"overridden": {[]string{"--set", "model.numHeads=4"}, "4 heads"},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "ours")
			does(t, c.want, append([]string{"checkpoint", "convert", source, "--out", out}, c.args...)...)
			_, manifest, err := checkpoint.ReadDir(t.Context(), out)
			if err != nil || !bytes.Contains(manifest.Job, []byte(`"maxSteps":2`)) && !bytes.Contains(manifest.Job, []byte(`"maxSteps": 2`)) {
				t.Errorf("%v, the job is %s", err, manifest.Job)
			}
		})
	}
}

func TestConvert_refusesWhatCannotBe(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	writeOfficial(t, at("model.pt"), 11)
	does(t, "HRM of", "checkpoint", "convert", at("model.pt"), "--out", at("ours"), "--set", "model.numHeads=2")
	for name, content := range map[string]string{"text.pt": "weights", "wrong.yaml": "arch: {name: other}"} {
		if err := os.WriteFile(at(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(at("empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"no destination":                {[]string{at("model.pt")}, exitUsage, "--out is missing"},
		"no source":                     {[]string{at("nowhere"), "--out", at("new")}, exitUsage, "nowhere"},
		"a place without checkpoints":   {[]string{at("empty"), "--out", at("new")}, exitUsage, "holds no such checkpoint"},
		"a file that is none":           {[]string{at("text.pt"), "--out", at("new")}, exitData, "no file of torch.save"},
		"a file of code":                {[]string{"../../trainer/checkpoint/torchfile/testdata/module.pt", "--out", at("new")}, exitData, "torch.nn.modules.linear.Linear"},
		"a file of other tensors":       {[]string{"../../trainer/checkpoint/torchfile/testdata/zip.pt", "--out", at("new")}, exitData, "zip.pt: tensor bool: tensor is BOOL"},
		"a directory that is used":      {[]string{at("model.pt"), "--out", at("ours")}, exitUsage, "is not empty"},
		"a file that is there":          {[]string{at("ours"), "--out", at("model.pt")}, exitUsage, "file exists"},
		"heads that do not divide":      {[]string{at("model.pt"), "--out", at("new"), "--set", "model.numHeads=3"}, exitUsage, "must divide hiddenSize"},
		"sizes that are not the file's": {[]string{at("model.pt"), "--out", at("new"), "--set", "model.hiddenSize=32"}, exitData, "hiddenSize is 32, but the tensors are those of 16"},
		"a field that weights lack":     {[]string{at("model.pt"), "--out", at("new"), "--set", "training.steps=3"}, exitUsage, "nothing else to be set"},
		"another architecture":          {[]string{at("model.pt"), "--out", at("new"), "--config", at("wrong.yaml")}, exitData, "arch.name"},
		"no such configuration":         {[]string{at("model.pt"), "--out", at("new"), "--config", at("nowhere")}, exitUsage, "--config"},
		"names for the other direction": {[]string{at("model.pt"), "--out", at("new"), "--compiled"}, exitUsage, "is a PyTorch file"},
		"options for the other one":     {[]string{at("ours"), "--out", at("new"), "--set", "model.numHeads=2"}, exitUsage, "is a checkpoint"},
		"an architecture of ours alone": {[]string{at("model.pt"), "--out", at("new"), "--set", "model.architecture=ElmanRNN"}, exitUsage, "ElmanRNN is not converted"},
		"a step of a single checkpoint": {[]string{at("ours"), "--out", at("new"), "--step", "3"}, exitUsage, "is one checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			status, said := hrmSays(t, append([]string{"checkpoint", "convert"}, c.args...)...)
			if status != c.status || !strings.Contains(said, c.want) {
				t.Errorf("ends with %d, want %d and %q:\n%s", status, c.status, c.want, said)
			}
			if _, err := os.Stat(at("new")); err == nil {
				t.Error("something was written")
			}
		})
	}
}

func TestEval_refusesADatasetOfAnotherTask(t *testing.T) {
	dir := t.TempDir()
	writeOfficial(t, filepath.Join(dir, "model.pt"), 6)
	does(t, "6 tokens", "checkpoint", "convert", filepath.Join(dir, "model.pt"), "--out", filepath.Join(dir, "ours"), "--set", "model.numHeads=2")
	status, said := hrmSays(t, "eval", "--checkpoint", filepath.Join(dir, "ours"), "--data", sudokuDataset(t), "--device", "reference")
	if status != exitUsage || !strings.Contains(said, "has 11 different tokens, the model of") {
		t.Errorf("ends with %d:\n%s", status, said)
	}
}

func TestReadWeights_takesBothKinds(t *testing.T) {
	dir := t.TempDir()
	file, ours := filepath.Join(dir, "model.pt"), filepath.Join(dir, "ours")
	writeOfficial(t, file, 11)
	does(t, "HRM of", "checkpoint", "convert", file, "--out", ours, "--set", "model.numHeads=2")
	for _, source := range []string{file, ours} {
		if w, err := readWeights(t.Context(), source, smallModel); err != nil || len(w[official.Prefix+model.HInit].Shape) != 1 {
			t.Errorf("%s: %d tensors, %v", source, len(w), err)
		}
	}
	for _, source := range []string{dir, filepath.Join(dir, "nowhere")} {
		if _, err := readWeights(t.Context(), source, smallModel); exitCode(err) != exitUsage {
			t.Errorf("%s: %v", source, err)
		}
	}
}
