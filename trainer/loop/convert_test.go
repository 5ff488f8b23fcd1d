package loop

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/pytorch"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/official"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/torchfile"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// trained returns a recording's weights at its end.
func (r *recording) trained() map[string]checkpoint.Tensor {
	weights := map[string]checkpoint.Tensor{}
	for name, t := range r.tensors {
		if short, ok := strings.CutPrefix(name, fmt.Sprintf("step%d/after/", r.config.Steps-1)); ok {
			weights[short] = t
		}
	}
	return weights
}

// logits are those of every segment of an evaluation in float32.
func (r *recording) logits(t *testing.T, weights map[string]checkpoint.Tensor) [][]float32 {
	t.Helper()
	c := r.config
	m, err := model.Build(c.spec(), model.Shape{SeqLen: c.SeqLen, VocabSize: c.VocabSize, NumPuzzleIdentifiers: c.Puzzles}, v1alpha1.PrecisionFloat32, 1)
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNetwork(reference.New(), m, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	if err := n.SetWeights(ModelWeights(State{Model: weights})); err != nil {
		t.Fatal(err)
	}
	e, err := NewEvaluator(n, c.BatchSize, c.SeqLen, int(c.MaxSteps))
	if err != nil {
		t.Fatal(err)
	}
	p := &replay{T: t, recording: *r, at: c.Steps - 1}
	if err := e.load(p.evaluationBatch()); err != nil {
		t.Fatal(err)
	}
	var all [][]float32
	for s := range int(c.MaxSteps) {
		if err := e.segment(context.Background(), s == 0); err != nil {
			t.Fatal(err)
		}
		logits, err := device.ReadFloats(e.arrays["logits"], 0, e.arrays["logits"].Len())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, logits)
	}
	return all
}

// largestDifference is Inf where the lengths differ.
func largestDifference(t *testing.T, got []float32, tensor checkpoint.Tensor) float64 {
	t.Helper()
	want, err := tensor.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) || len(got) == 0 {
		return math.Inf(1)
	}
	worst := 0.0
	for i := range want {
		worst = math.Max(worst, math.Abs(float64(got[i])-float64(want[i])))
	}
	return worst
}

// eachRecording runs a test on every recording.
func eachRecording(t *testing.T, test func(*testing.T, recording)) {
	for _, file := range recordings(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".safetensors"), func(t *testing.T) { test(t, readRecording(t, file)) })
	}
}

func export(t *testing.T, weights map[string]checkpoint.Tensor, path string) {
	t.Helper()
	tensors, _, err := official.Export(weights, v1alpha1.PrecisionFloat32, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := torchfile.WriteFile(path, tensors); err != nil {
		t.Fatal(err)
	}
}

func imported(t *testing.T, path string) *official.Weights {
	t.Helper()
	tensors, err := torchfile.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := official.Import(tensors, v1alpha1.ModelSpec{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestConvertedThereAndBack_givesTheRecordedLogits(t *testing.T) {
	eachRecording(t, func(t *testing.T, r recording) {
		dir := t.TempDir()
		export(t, r.trained(), filepath.Join(dir, "model.pt"))
		back := imported(t, filepath.Join(dir, "model.pt"))
		if err := checkpoint.WriteDir(filepath.Join(dir, "checkpoint"), State{Model: back.Tensors}, checkpoint.Options{Now: time.Now}); err != nil {
			t.Fatal(err)
		}
		state, _, err := checkpoint.ReadDir(t.Context(), filepath.Join(dir, "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.trained(), state.Model); diff != "" {
			t.Errorf("the weights come back with other bits: -want +got:\n%.2000s", diff)
		}
		for s, logits := range r.logits(t, state.Model) {
			if d := largestDifference(t, logits, r.tensors[fmt.Sprintf("eval/segment%d/logits", s)]); !(d <= 1e-4) {
				t.Errorf("segment %d differs from the recording by %g", s, d)
			}
		}
	})
}

// peerFile is an implementation in PyTorch that lies beside the project, as the larger recordings do.
const peerFile = "../../../shared/peer/hrm_torch.py"

// askPeer computes the logits of every segment with PyTorch.
func askPeer(t *testing.T, r recording, weights string, official ...string) map[string]checkpoint.Tensor {
	t.Helper()
	dir := t.TempDir()
	_, metadata, err := checkpoint.ReadSafetensors(r.file)
	if err != nil {
		t.Fatal(err)
	}
	config, batch, logits := filepath.Join(dir, "config.json"), filepath.Join(dir, "batch.pt"), filepath.Join(dir, "logits.pt")
	if err := os.WriteFile(config, []byte(metadata["config"]), 0o600); err != nil {
		t.Fatal(err)
	}
	b := (&replay{T: t, recording: r, at: r.config.Steps - 1}).evaluationBatch()
	err = torchfile.WriteFile(batch, map[string]checkpoint.Tensor{
		"inputs":             checkpoint.Int32Tensor(b.Inputs, r.config.BatchSize, r.config.SeqLen),
		"puzzle_identifiers": checkpoint.Int32Tensor(b.Puzzles, r.config.BatchSize),
	})
	if err != nil {
		t.Fatal(err)
	}
	pytorch.Run(t, "testdata/peer_logits.py", append([]string{peerFile, config, weights, batch, logits}, official...)...)
	answers, err := torchfile.ReadFile(logits)
	if err != nil {
		t.Fatal(err)
	}
	return answers
}

func needPeer(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(peerFile); err != nil {
		t.Skipf("needs %s: %v", peerFile, err)
	}
}

func TestConverted_computesWhatPyTorchComputes(t *testing.T) {
	needPeer(t)
	eachRecording(t, func(t *testing.T, r recording) {
		if r.config.Arch != "hrm" {
			return // the implementation in PyTorch is one of HRM
		}
		ours, theirs := filepath.Join(t.TempDir(), "ours.pt"), filepath.Join(t.TempDir(), "theirs.pt")
		export(t, r.trained(), ours)
		t.Run("a file of ours", func(t *testing.T) { sameLogits(t, r, r.trained(), askPeer(t, r, ours)) })
		t.Run("a file of torch.save", func(t *testing.T) {
			answers := askPeer(t, r, ours, theirs)
			w := imported(t, theirs)
			if !w.Compiled || w.Precision != v1alpha1.PrecisionBFloat16 {
				t.Errorf("it is read as compiled %t, %s", w.Compiled, w.Precision)
			}
			sameLogits(t, r, w.Tensors, answers)
		})
	})
}

func sameLogits(t *testing.T, r recording, weights, peer map[string]checkpoint.Tensor) {
	t.Helper()
	worst := 0.0
	for s, logits := range r.logits(t, weights) {
		worst = math.Max(worst, largestDifference(t, logits, peer[fmt.Sprintf("segment%d", s)]))
	}
	if !(worst <= 1e-4) {
		t.Errorf("the logits differ by %g", worst)
	}
	t.Logf("largest difference of the logits of %d segments: %.2g", r.config.MaxSteps, worst)
}
