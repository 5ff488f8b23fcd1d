package loop

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/needs"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/open"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// architectures are models as jobs describe them, every option among them.
var architectures = map[string]string{
	"TRM":                       "architecture: TRM, layers: 1, hCycles: 2, lCycles: 2",
	"TRM with an MLP":           "architecture: TRM, layers: 1, hCycles: 1, lCycles: 2, mixing: MLP, positionEncoding: None, puzzleEmbeddingPositions: 2",
	"Transformer":               "architecture: Transformer, layers: 2",
	"Universal Transformer":     "architecture: UniversalTransformer, layers: 2, sharing: Attention",
	"Elman RNN":                 "architecture: ElmanRNN",
	"Clockwork RNN":             "architecture: ClockworkRNN, levels: 2, period: 3, combination: Gated",
	"Hierarchical RNN":          "architecture: HierarchicalRNN",
	"Multiscale RNN":            "architecture: MultiscaleRNN, levels: 4",
	"Mixture-of-Recursions":     "architecture: MixtureOfRecursions, layers: 1",
	"Neural history compressor": "architecture: NeuralHistoryCompressor, combination: Gated",
	"Fast weights":              "architecture: FastWeights, innerSteps: 2",
	"HRM of one level":          "levels: 1, hLayers: 1, hCycles: 3, gradient: Full",
	"HRM with gates":            "hLayers: 1, lLayers: 1, hCycles: 2, lCycles: 1, combination: Gated, gradient: Steps, gradientSteps: 3",
}

// tinyArchitecture is tinyJob with another model.
func tinyArchitecture(t *testing.T, description string) *v1alpha1.HRMTrainingJobSpec {
	t.Helper()
	job, err := v1alpha1.Load(strings.NewReader(`
apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: tiny}
spec:
  model: {hiddenSize: 8, numHeads: 2, expansion: 1, act: {maxSteps: 3, explorationProbability: "0.5"}, ` + description + `}
  dataset: {task: Sudoku, source: {uri: none}}
  storage: {bucket: none}
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := job.Validate(); err != nil {
		t.Fatal(err)
	}
	spec := tinyJob(t)
	decay := job.Spec.Training.EMADecay
	spec.Model, spec.Training.EMADecay = job.Spec.Model, decay
	return spec
}

func TestEveryArchitecture_goesOnWithTheSameBits(t *testing.T) {
	data := tinyData(t)
	for name, description := range architectures {
		t.Run(name, func(t *testing.T) {
			spec := tinyArchitecture(t, description)
			whole, _ := directory(t)
			if _, err := trainJobUntil(t, spec, whole, data, 0); err != nil {
				t.Fatal(err)
			}
			store, _ := directory(t)
			if _, err := trainJobUntil(t, spec, store, data, 3); !errors.Is(err, ErrInterrupted) {
				t.Fatalf("interrupted run ends with %v", err)
			}
			if _, err := trainJobUntil(t, spec, store, data, 0); err != nil {
				t.Fatal(err)
			}
			sameBits(t, final(t, store), final(t, whole))
		})
	}
}

// fixedBatch is a source of the same random examples again and again.
type fixedBatch struct{ Batch }

func (f fixedBatch) Next() Batch             { return f.Batch }
func (fixedBatch) Position() ([]byte, error) { return nil, nil }
func (fixedBatch) Seek([]byte) error         { return nil }

func newFixedBatch(rows, seqLen, vocabulary int) fixedBatch {
	random := rand.New(rand.NewPCG(1, 1))
	b := newBatch(rows, seqLen)
	for i := range b.Inputs {
		b.Inputs[i], b.Labels[i] = random.Int32N(int32(vocabulary)), random.Int32N(int32(vocabulary))
	}
	return fixedBatch{b}
}

// Outputs and gradients of a training step are those of the reference device.
func TestEveryArchitecture_computesTheSameOnEveryDevice(t *testing.T) {
	const rows, seqLen, vocabulary = 3, 5, 6
	for name, description := range architectures {
		t.Run(name, func(t *testing.T) {
			spec := tinyArchitecture(t, description)
			spec.Training.GlobalBatchSize = rows
			step := func(t *testing.T, on string) map[string][]float32 {
				if on == "cuda" {
					fakeGPU(t)
				}
				d, _, err := open.Open(on, open.Options{Threads: 2})
				if err != nil && on == "cpu" {
					needs.Missing(t, err)
				} else if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = d.Close() }()
				m, err := model.Build(spec.Model, model.Shape{SeqLen: seqLen, VocabSize: vocabulary, NumPuzzleIdentifiers: 1}, v1alpha1.PrecisionFloat32, rows)
				if err != nil {
					t.Fatal(err)
				}
				n, err := NewNetwork(d, m, true)
				if err != nil {
					t.Fatal(err)
				}
				if err := n.Initialize(1); err != nil {
					t.Fatal(err)
				}
				h, err := HyperparametersOf(spec, 10)
				if err != nil {
					t.Fatal(err)
				}
				trainer, err := NewTrainer(n, newFixedBatch(rows, seqLen, vocabulary), seqLen, h)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(trainer.Step(t.Context()), trainer.Settle()); err != nil {
					t.Fatal(err)
				}
				out := map[string][]float32{}
				for name, a := range trainer.arrays {
					if a.DType() != device.Float32 {
						continue
					}
					if out[name], err = device.ReadFloats(a, 0, a.Len()); err != nil {
						t.Fatal(err)
					}
				}
				if err := errors.Join(trainer.Close(), n.Close()); err != nil {
					t.Error(err)
				}
				return out
			}
			want := step(t, "reference")
			for _, on := range []string{"cpu", "cuda"} {
				t.Run(on, func(t *testing.T) {
					got := step(t, on)
					for name, x := range want {
						if _, parameter := got["grad/"+name]; parameter {
							continue // of a gradient near zero the update takes a sign that rounding decides
						}
						size, worst := 1e-3, 0.0
						for i := range x {
							size = max(size, math.Abs(float64(x[i])))
							worst = max(worst, math.Abs(float64(got[name][i]-x[i])))
						}
						if !(worst <= 1e-4*size) {
							t.Errorf("%s is off by %g of %g", name, worst, size)
						}
					}
				})
			}
		})
	}
}

// What is exported is the average of what is trained, and begins with it.
func TestTrainer_averagesItsWeights(t *testing.T) {
	const rows, seqLen, vocabulary, name = 3, 5, 6, "lm_head.weight"
	spec := tinyArchitecture(t, architectures["TRM"])
	spec.Training.GlobalBatchSize, spec.Training.EMADecay = rows, "0.75"
	m, err := model.Build(spec.Model, model.Shape{SeqLen: seqLen, VocabSize: vocabulary, NumPuzzleIdentifiers: 1}, v1alpha1.PrecisionFloat32, rows)
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNetwork(reference.New(), m, true)
	if err != nil {
		t.Fatal(err)
	}
	h, err := HyperparametersOf(spec, 10)
	if err != nil {
		t.Fatal(err)
	}
	trainer, err := NewTrainer(n, newFixedBatch(rows, seqLen, vocabulary), seqLen, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Initialize(1); err != nil {
		t.Fatal(err)
	}
	read := func(weights map[string]checkpoint.Tensor, err error) []float32 {
		t.Helper()
		x, e := weights[name].Float32s()
		if err := errors.Join(err, e); err != nil {
			t.Fatal(err)
		}
		return x
	}
	want := read(n.trainedWeights())
	for step := range 4 {
		if err := trainer.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		trained, got := read(n.trainedWeights()), read(n.Weights())
		for i := range want {
			want[i] = 0.75*want[i] + 0.25*trained[i]
			if math.Abs(float64(got[i]-want[i])) > 1e-6 {
				t.Fatalf("step %d: the average of %s[%d] is %g, want %g", step+1, name, i, got[i], want[i])
			}
		}
		if slices.Equal(got, trained) {
			t.Errorf("step %d: the weights are not averaged", step+1)
		}
	}
}

// An evaluation, and who reads the weights, gets the averages where they are something else than what is trained.
func TestEvaluator_takesTheAverages(t *testing.T) {
	spec := tinyArchitecture(t, architectures["TRM"])
	m, err := model.Build(spec.Model, model.Shape{SeqLen: 5, VocabSize: 6, NumPuzzleIdentifiers: 1}, v1alpha1.PrecisionFloat32, 1)
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNetwork(reference.New(), m, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.average(), n.Initialize(1)); err != nil {
		t.Fatal(err)
	}
	head := n.parameters["q_head.bias"]
	if err := device.WriteFloats(head, 0, []float32{7, 7}); err != nil {
		t.Fatal(err)
	}
	e, err := NewEvaluator(n, 1, m.Shape.SeqLen, 1)
	if err != nil {
		t.Fatal(err)
	}
	answers, err := e.Predict(t.Context(), newFixedBatch(1, m.Shape.SeqLen, m.Shape.VocabSize).Batch, 1)
	if err != nil {
		t.Fatal(err)
	}
	if answers[0].QHalt != -5 {
		t.Errorf("q_halt is %g, want the average's -5", answers[0].QHalt)
	}
	weights, err := n.Weights()
	if err != nil {
		t.Fatal(err)
	}
	if bias, _ := weights["q_head.bias"].Float32s(); !slices.Equal(bias, []float32{-5, -5}) {
		t.Errorf("the weights to export are %v, want the averages", bias)
	}
}
