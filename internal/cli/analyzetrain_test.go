package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// trainTiny trains the tiny model into a store, with what is set, and returns what was said.
func trainTiny(t *testing.T, store string, set ...string) string {
	t.Helper()
	args := []string{"hrm", "train", "-f", "-", "--store", store, "--device", "reference", "--scratch", t.TempDir()}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	var out, problems buffer
	if status := run(t.Context(), args, "test", strings.NewReader(tinyModel), &out, &problems); status != exitDone {
		t.Fatalf("ends with %d\n%s", status, &problems)
	}
	return problems.String()
}

// analysisIn is the analysis that training has left in a store.
func analysisIn(t *testing.T, store string) analysisReport {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(store, "analysis", "analysis.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r analysisReport
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func wantFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a job's end measures is what 'hrm analyze' measures of the same model.
func TestTrain_analyzesTheModelAtItsEnd(t *testing.T) {
	store := t.TempDir()
	trainTiny(t, store, "analysis={trajectories: 3, segments: 2, untrained: true, attention: [H1, L1]}")
	wantFiles(t, filepath.Join(store, "analysis"), "analysis.json", "participation.svg", "residual.svg", "answers.svg", "halting.svg", "path-zh.svg", "path-zl.svg",
		"attention-h1.png", "attention-l1.png")
	r := analysisIn(t, store)
	if r.Step != 3 || r.Trained.Trajectories != 3 || r.Segments != 2 || r.Untrained == nil || len(r.Attention) != 2 || !strings.Contains(r.Checkpoint, "step-0000000003") {
		t.Errorf("got %+v", r)
	}
	var out, problems buffer
	args := []string{"hrm", "analyze", "--store", store, "--step", "3", "--trajectories", "3", "--segments", "2", "--device", "reference", "--scratch", t.TempDir(), "--json"}
	if status := run(t.Context(), args, "test", strings.NewReader(""), &out, &problems); status != exitDone {
		t.Fatalf("analyze ends with %d\n%s", status, &problems)
	}
	var again analysisReport
	if err := json.Unmarshal([]byte(out.String()), &again); err != nil {
		t.Fatal(err)
	}
	if *again.Trained.Residuals[3].ZL != *r.Trained.Residuals[3].ZL || again.Trained.Participation[1].ZH != r.Trained.Participation[1].ZH || again.Checkpoint != r.Checkpoint {
		t.Errorf("hrm analyze says\n%+v\nthe end of training\n%+v", again.Trained, r.Trained)
	}
	page, err := os.ReadFile(filepath.Join(store, "report.html"))
	if err != nil || !strings.Contains(string(page), "Participation ratio, at step 3") || !strings.Contains(string(page), "Forward residual, at step 3") {
		t.Errorf("report.html does not tell of it: %v", err)
	}
}

func TestTrain_analyzesEveryArchitecture(t *testing.T) {
	const sizes = "hiddenSize: 8, numHeads: 2, expansion: 1, act: {maxSteps: 2}"
	for name, row := range map[string]struct {
		model     string
		twoStates bool
	}{
		"TRM":                  {"architecture: TRM, layers: 1, hCycles: 1, lCycles: 2", true},
		"HRM of one level":     {"levels: 1, hLayers: 1, hCycles: 2", false},
		"Transformer":          {"architecture: Transformer, layers: 2", false},
		"UniversalTransformer": {"architecture: UniversalTransformer, layers: 2", false},
		"ClockworkRNN":         {"architecture: ClockworkRNN", false},
		"MultiscaleRNN":        {"architecture: MultiscaleRNN", true},
		"MixtureOfRecursions":  {"architecture: MixtureOfRecursions, layers: 1", false},
		"history compressor":   {"architecture: NeuralHistoryCompressor", false},
		"FastWeights":          {"architecture: FastWeights", false},
	} {
		t.Run(name, func(t *testing.T) {
			store := t.TempDir()
			trainTiny(t, store, "model={"+row.model+", "+sizes+"}", "analysis={trajectories: 2, untrained: true}")
			r := analysisIn(t, store)
			for i, u := range r.Trained.Residuals {
				if (u.ZL != nil) != row.twoStates || !row.twoStates && u.ZH == nil {
					t.Errorf("residual %d is %+v", i, u)
				}
			}
			if p := r.Trained.Participation[1]; (p.ZL != nil) != row.twoStates || p.ZH < 1 || p.ZH > 8 {
				t.Errorf("participation is %+v", p)
			}
			_, err := os.Stat(filepath.Join(store, "analysis", "path-zl.svg"))
			if (err == nil) != row.twoStates {
				t.Errorf("path of zL: %v", err)
			}
			if text := r.text(); strings.Contains(text, "zL") != row.twoStates {
				t.Errorf("as text:\n%s", text)
			}
		})
	}
}

func TestTrain_analyzesARunThatWentOn(t *testing.T) {
	store := t.TempDir()
	trainTiny(t, store, "training.steps=2")
	if _, err := os.Stat(filepath.Join(store, "analysis")); err == nil {
		t.Fatal("there is an analysis that nobody wanted")
	}
	trainTiny(t, store, "training.steps=4", "analysis.trajectories=2")
	if r := analysisIn(t, store); r.Step != 4 {
		t.Errorf("it is of step %d, want 4", r.Step)
	}
}

// Whatever goes wrong with its analysis, a run is complete.
func TestTrain_doesNotNeedItsAnalysis(t *testing.T) {
	for name, row := range map[string]struct {
		set   string
		spoil func(store string) error
		says  string
	}{
		// Twenty puzzles of 1,024 segments take the reference device minutes.
		"no time": {"analysis={segments: 1024, timeoutSeconds: 1}", nil, "it takes longer than 1s: lower analysis.trajectories or raise analysis.timeoutSeconds"},
		"a folder is in the way": {"analysis={trajectories: 1}", func(store string) error {
			return os.MkdirAll(filepath.Join(store, "analysis", "analysis.json"), 0o755)
		}, "the analysis is not written"},
	} {
		t.Run(name, func(t *testing.T) {
			store := t.TempDir()
			if row.spoil != nil {
				if err := row.spoil(store); err != nil {
					t.Fatal(err)
				}
			}
			if said := trainTiny(t, store, "training.steps=1", row.set); !strings.Contains(said, row.says) {
				t.Errorf("says nothing of %q:\n%s", row.says, said)
			}
			if _, err := os.Stat(filepath.Join(store, "report.html")); err != nil {
				t.Error(err)
			}
		})
	}
}
