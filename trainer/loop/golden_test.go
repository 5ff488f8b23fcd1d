package loop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/fakegpu"
	"github.com/hrm-operator/hrm-operator/internal/testing/needs"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/open"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// recording is a run of the official implementation: its configuration, and its tensors by name.
type recording struct {
	file    string
	config  recordedConfig
	tensors map[string]checkpoint.Tensor
}

type recordedConfig struct {
	Arch         string  `json:"arch"`
	BatchSize    int     `json:"batch_size"`
	SeqLen       int     `json:"seq_len"`
	PuzzleDim    int32   `json:"puzzle_emb_ndim"`
	PuzzleLen    int32   `json:"puzzle_emb_len"`
	Puzzles      int     `json:"num_puzzle_identifiers"`
	VocabSize    int     `json:"vocab_size"`
	HLayers      int32   `json:"H_layers"`
	LLayers      int32   `json:"L_layers"`
	HCycles      int32   `json:"H_cycles"`
	LCycles      int32   `json:"L_cycles"`
	HiddenSize   int32   `json:"hidden_size"`
	Expansion    float64 `json:"expansion"`
	NumHeads     int32   `json:"num_heads"`
	PosEncodings string  `json:"pos_encodings"`
	MaxSteps     int32   `json:"halt_max_steps"`
	NoContinue   bool    `json:"no_ACT_continue"`
	MLP          bool    `json:"mlp_t"`
	LossType     string  `json:"loss_type"`
	Steps        int     `json:"steps"`
	Optimizer    struct {
		LR          float64    `json:"lr"`
		WeightDecay float64    `json:"weight_decay"`
		Betas       [2]float64 `json:"betas"`
		PuzzleLR    float64    `json:"puzzle_emb_lr"`
		PuzzleDecay float64    `json:"puzzle_emb_weight_decay"`
	} `json:"optimizer"`
}

func (c recordedConfig) spec() v1alpha1.ModelSpec {
	spec := v1alpha1.ModelSpec{
		HiddenSize: c.HiddenSize, NumHeads: c.NumHeads, Expansion: int32(c.Expansion),
		PositionEncoding: v1alpha1.PositionEncodingRoPE, Loss: v1alpha1.LossStablemax, PuzzleEmbeddingSize: &c.PuzzleDim,
		ACT: v1alpha1.ACTSpec{MaxSteps: c.MaxSteps, ExplorationProbability: "0"},
	}
	switch c.Arch {
	case "hrm":
		spec.Architecture, spec.HLayers, spec.LLayers = v1alpha1.ArchitectureHRM, c.HLayers, c.LLayers
		spec.HCycles, spec.LCycles, spec.ACT.Halting = c.HCycles, c.LCycles, v1alpha1.HaltingQLearning
	case "trm":
		spec.Architecture, spec.Layers, spec.HCycles, spec.LCycles = v1alpha1.ArchitectureTRM, c.LLayers, c.HCycles, c.LCycles
		spec.PuzzleEmbeddingPositions, spec.ACT.Halting = c.puzzlePositions(), v1alpha1.HaltingQLearning
		if c.NoContinue {
			spec.ACT.Halting = v1alpha1.HaltingQHalt
		}
		if c.MLP {
			spec.Mixing = v1alpha1.MixingMLP
		}
	case "direct":
		spec.Architecture, spec.Layers, spec.ACT.Halting = v1alpha1.ArchitectureTransformer, c.HLayers, v1alpha1.HaltingQDifference
	}
	switch c.PosEncodings {
	case "learned":
		spec.PositionEncoding = v1alpha1.PositionEncodingLearned
	case "rope":
	default:
		spec.PositionEncoding = v1alpha1.PositionEncodingNone
	}
	if strings.HasPrefix(c.LossType, "softmax") {
		spec.Loss = v1alpha1.LossSoftmax
	}
	return spec
}

// puzzlePositions are those of TRM's configuration, in which 0 is as many as the embedding needs.
func (c recordedConfig) puzzlePositions() int32 {
	if c.PuzzleLen == 0 {
		return (c.PuzzleDim + c.HiddenSize - 1) / c.HiddenSize
	}
	return c.PuzzleLen
}

// goldenDevices are what recordings are replayed on. The recordings are float32 from another library, so that sums
// differ in the last bits; bfloat16 has 8 bits, and eight steps of training amplify its rounding.
var goldenDevices = []struct {
	device            string
	precision         v1alpha1.Precision
	states, gradients float64
	// mean bounds the average difference of states and logits, where single ones are chance.
	mean float64
	// firstStepOnly leaves out what rounding may flip: who halts, and so everything after.
	firstStepOnly bool
}{
	{"reference", v1alpha1.PrecisionFloat32, 1e-4, 1e-3, 1e-4, false},
	{"cpu", v1alpha1.PrecisionFloat32, 1e-4, 1e-3, 1e-4, false},
	// PyTorch's own step in bfloat16 differs from the recordings by up to 0.17, 0.016 on average.
	{"cpu", v1alpha1.PrecisionBFloat16, 0.3, 0.1, 0.02, true},
	{"cuda", v1alpha1.PrecisionFloat32, 1e-4, 1e-3, 1e-4, false},
	{"cuda", v1alpha1.PrecisionBFloat16, 0.3, 0.1, 0.02, true},
}

func TestGolden(t *testing.T) {
	for _, file := range recordings(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".safetensors"), func(t *testing.T) {
			r := readRecording(t, file)
			if r.config.spec().Architecture == "" {
				t.Fatalf("architecture %q does not exist", r.config.Arch)
			}
			for _, d := range goldenDevices {
				t.Run(fmt.Sprintf("%s %s", d.device, d.precision), func(t *testing.T) {
					if d.device == "cuda" {
						fakeGPU(t)
					}
					dev, _, err := open.Open(d.device, open.Options{Threads: 2})
					if err != nil && d.device == "cpu" {
						needs.Missing(t, err)
					} else if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = dev.Close() }()
					p := &replay{T: t, recording: r, device: dev, states: d.states, gradients: d.gradients, mean: d.mean}
					p.run(d.precision, d.firstStepOnly)
					t.Logf("largest differences: states, logits and losses %.2g, gradients relative to their norm %.2g, weights %.2g",
						p.worstState, p.worstGradient, p.worstWeight)
				})
			}
		})
	}
}

// fakeGPU lets the test run on the fake GPU, unless the machine's own is to be tested.
func fakeGPU(t *testing.T) {
	t.Helper()
	if os.Getenv("HRM_TEST_GPU") != "" || os.Getenv(binding.LibrariesVariable) != "" {
		return
	}
	fakegpu.Install(t)
}

// recordings lists the files of HRM_GOLDEN_DIR, by default ../shared/golden beside the project, and the one in testdata.
func recordings(t *testing.T) []string {
	t.Helper()
	dir := os.Getenv("HRM_GOLDEN_DIR")
	if dir == "" {
		dir = "../../../shared/golden"
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("HRM_GOLDEN_DIR") != "" && len(files) == 0 {
		t.Fatalf("HRM_GOLDEN_DIR=%s holds no *.safetensors", dir)
	}
	own, err := filepath.Glob("testdata/*.safetensors")
	if err != nil || len(own) == 0 {
		t.Fatalf("testdata has no recording: %v", err)
	}
	seen := map[string]bool{}
	var out []string
	for _, file := range append(files, own...) {
		if !seen[filepath.Base(file)] {
			seen[filepath.Base(file)] = true
			out = append(out, file)
		}
	}
	return out
}

func readRecording(t *testing.T, file string) recording {
	t.Helper()
	tensors, metadata, err := checkpoint.ReadSafetensors(file)
	if err != nil {
		t.Fatal(err)
	}
	r := recording{file: file, tensors: tensors}
	if err := json.Unmarshal([]byte(metadata["config"]), &r.config); err != nil {
		t.Fatalf("config of %s: %v", file, err)
	}
	return r
}

// replay runs one recording on one device.
type replay struct {
	*testing.T
	recording
	device                  device.Device
	states, gradients, mean float64

	network                                *Network
	trainer                                *Trainer
	at                                     int
	worstState, worstGradient, worstWeight float64
}

// Next is the recorded batch of the step.
func (p *replay) Next() Batch {
	at := fmt.Sprintf("step%d/batch/", p.at)
	return Batch{Inputs: p.ints(at + "inputs"), Labels: p.ints(at + "labels"), Puzzles: p.ints(at + "puzzle_identifiers")}
}

func (p *replay) Position() ([]byte, error) { return nil, nil }
func (p *replay) Seek([]byte) error         { return nil }

func (p *replay) run(precision v1alpha1.Precision, firstStepOnly bool) {
	c := p.config
	m, err := model.Build(c.spec(), model.Shape{SeqLen: c.SeqLen, VocabSize: c.VocabSize, NumPuzzleIdentifiers: c.Puzzles}, precision, c.BatchSize)
	if err != nil {
		p.Fatal(err)
	}
	if p.network, err = NewNetwork(p.device, m, true); err != nil {
		p.Fatal(err)
	}
	defer func() { _ = p.network.Close() }()
	weights := map[string]checkpoint.Tensor{}
	for _, param := range m.Parameters {
		weights[param.Name] = p.tensor("init/model.inner." + param.Name)
	}
	if err := p.network.SetWeights(weights); err != nil {
		p.Fatal(err)
	}
	p.trainer, err = NewTrainer(p.network, p, c.SeqLen, Hyperparameters{
		Batch: c.BatchSize, TotalSteps: int64(c.Steps), LearningRate: c.Optimizer.LR, MinLearningRateRatio: 1,
		WeightDecay: c.Optimizer.WeightDecay, Beta1: c.Optimizer.Betas[0], Beta2: c.Optimizer.Betas[1],
		PuzzleLearningRate: c.Optimizer.PuzzleLR, PuzzleWeightDecay: c.Optimizer.PuzzleDecay, MaxSegments: int(c.MaxSteps),
	})
	if err != nil {
		p.Fatal(err)
	}
	steps := c.Steps
	if firstStepOnly {
		steps = 1
	}
	for p.at = 0; p.at < steps; p.at++ {
		p.step(!firstStepOnly)
	}
	if !firstStepOnly {
		p.evaluation()
	}
}

// step makes a training step and compares everything that was recorded of it.
func (p *replay) step(weights bool) {
	if _, err := p.trainer.TakeWindow(); err != nil {
		p.Fatal(err)
	}
	if err := errors.Join(p.trainer.Step(context.Background()), p.trainer.Settle()); err != nil {
		p.Fatal(err)
	}
	at := fmt.Sprintf("step%d/", p.at)
	for _, state := range p.network.states() {
		p.near(at+"carry/"+strings.Replace(state, "z", "z_", 1), p.array(state), p.states, &p.worstState)
	}
	p.near(at+"out/logits", p.array("logits"), p.states, &p.worstState)
	q := p.array("q")
	var halt, proceed []float32
	for i := 0; i < len(q); i += 2 {
		halt, proceed = append(halt, q[i]), append(proceed, q[i+1])
	}
	p.near(at+"out/q_halt_logits", halt, p.states, &p.worstState)
	p.near(at+"out/q_continue_logits", proceed, p.states, &p.worstState)
	if _, ok := p.tensors[at+"out/target_q_continue"]; ok {
		p.near(at+"out/target_q_continue", p.array("q.target"), p.states, &p.worstState)
	}
	p.equal(at+"carry/steps", p.trainer.carry.steps)
	p.equal(at+"carry/halted", bits(p.trainer.carry.halted))
	p.equal(at+"carry/current_data/inputs", p.trainer.carry.tokens)
	p.metrics(at+"metrics/", p.trainer.window)
	p.compareGradients(at + "grad/model.inner.")
	if weights {
		if p.at == 0 {
			p.takeUndecidedWeights()
		}
		p.compareWeights(at + "after/model.inner.")
	}
}

// metrics compares the sums that the official code reports.
func (p *replay) metrics(at string, w Window) {
	tolerance := p.states * float64(p.config.BatchSize)
	for name, got := range map[string]float64{
		"count": w.Halted, "accuracy": w.Accuracy, "exact_accuracy": w.Exact, "q_halt_accuracy": w.QHaltAccuracy,
		"steps": w.Took, "lm_loss": w.LM, "q_halt_loss": w.QHalt, "q_continue_loss": w.QContinue,
	} {
		if _, ok := p.tensors[at+name]; ok {
			p.near(at+name, []float32{float32(got)}, tolerance, &p.worstState)
		}
	}
	total := w.LM + 0.5*(w.QHalt+w.QContinue)
	p.near(strings.TrimSuffix(at, "metrics/")+"loss_total", []float32{float32(total)}, tolerance, &p.worstState)
}

func (p *replay) compareGradients(at string) {
	for name, want := range p.tensors {
		short, ok := strings.CutPrefix(name, at)
		if !ok {
			continue
		}
		var got []float32
		if short == "puzzle_emb.local_weights" {
			got = p.array("grad/puzzle")
		} else {
			got = p.array("grad/" + short)
		}
		p.relative(name, got, want)
	}
}

// roundingError is the share of a gradient's root mean square below which float32 does not tell a number's sign.
const roundingError = 2e-6

// takeUndecidedWeights takes from the recording what the first step made of weights whose gradients are rounding errors around
// zero: of a gradient, AdamATan2 takes the sign and not the size, and one weight that goes the other way is enough to change
// all that comes after.
func (p *replay) takeUndecidedWeights() {
	weights, err := p.network.trainedWeights()
	if err != nil {
		p.Fatal(err)
	}
	taken := 0
	for name := range weights {
		if _, ok := p.tensors["step0/grad/model.inner."+name]; !ok {
			continue
		}
		gradient, want := p.floats("step0/grad/model.inner."+name), p.floats("step0/after/model.inner."+name)
		got, err := weights[name].Float32s()
		if err != nil {
			p.Fatal(err)
		}
		squares := 0.0
		for _, g := range gradient {
			squares += float64(g) * float64(g)
		}
		limit := roundingError * math.Sqrt(squares/float64(len(gradient)))
		for i, g := range gradient {
			if difference := math.Abs(float64(got[i] - want[i])); math.Abs(float64(g)) <= limit && difference > p.states && difference < 4*p.config.Optimizer.LR {
				got[i] = want[i]
				taken++
			}
		}
		weights[name] = checkpoint.Tensor{DType: checkpoint.F32, Shape: weights[name].Shape, Data: device.Bytes(got)}
	}
	if taken == 0 {
		return
	}
	p.Logf("%d weights have gradients that are rounding errors: taken from the recording", taken)
	if err := p.network.SetWeights(weights); err != nil {
		p.Fatal(err)
	}
}

func (p *replay) compareWeights(at string) {
	weights, err := p.network.trainedWeights()
	if err != nil {
		p.Fatal(err)
	}
	for name := range p.tensors {
		if short, ok := strings.CutPrefix(name, at); ok {
			got, err := weights[short].Float32s()
			if err != nil {
				p.Fatal(err)
			}
			p.near(name, got, p.states, &p.worstWeight)
		}
	}
}

// evaluation compares the segments of an evaluation of the last batch's examples with the trained weights.
func (p *replay) evaluation() {
	c := p.config
	e, err := NewEvaluator(p.network, c.BatchSize, c.SeqLen, int(c.MaxSteps))
	if err != nil {
		p.Fatal(err)
	}
	p.at = c.Steps - 1
	p.takeRecordedWeights()
	batch := p.evaluationBatch()
	if err := e.load(batch); err != nil {
		p.Fatal(err)
	}
	for s := range int(c.MaxSteps) {
		if err := e.segment(context.Background(), s == 0); err != nil {
			p.Fatal(err)
		}
		logits, err := device.ReadFloats(e.arrays["logits"], 0, c.BatchSize*c.SeqLen*c.VocabSize)
		if err != nil {
			p.Fatal(err)
		}
		p.near(fmt.Sprintf("eval/segment%d/logits", s), logits, p.states, &p.worstState)
	}
}

// takeRecordedWeights replaces the trained weights by the recorded ones, which compareWeights has found to be near: the
// segments of an evaluation amplify what is left, and that is training's difference, not evaluation's.
func (p *replay) takeRecordedWeights() {
	weights, err := p.network.trainedWeights()
	if err != nil {
		p.Fatal(err)
	}
	for name := range weights {
		if recorded := fmt.Sprintf("step%d/after/model.inner.%s", p.at, name); len(p.tensors[recorded].Data) > 0 {
			weights[name] = p.tensor(recorded)
		}
	}
	if err := p.network.SetWeights(weights); err != nil {
		p.Fatal(err)
	}
}

// evaluationBatch is the recorded one if there is one, else the last step's.
func (p *replay) evaluationBatch() Batch {
	if _, ok := p.tensors["eval/batch/inputs"]; ok {
		return Batch{Inputs: p.ints("eval/batch/inputs"), Labels: p.ints("eval/batch/labels"), Puzzles: p.ints("eval/batch/puzzle_identifiers")}
	}
	return p.Next()
}

func (p *replay) tensor(name string) checkpoint.Tensor {
	p.Helper()
	x, ok := p.tensors[name]
	if !ok {
		p.Fatalf("the recording lacks %s", name)
	}
	return x
}

func (p *replay) floats(name string) []float32 {
	p.Helper()
	x, err := p.tensor(name).Float32s()
	if err != nil {
		p.Fatalf("%s: %v", name, err)
	}
	return x
}

func (p *replay) ints(name string) []int32 {
	p.Helper()
	x, err := p.tensor(name).Int32s()
	if err != nil {
		p.Fatalf("%s: %v", name, err)
	}
	return x
}

func (p *replay) array(name string) []float32 {
	p.Helper()
	a, ok := p.trainer.arrays[name]
	if !ok {
		p.Fatalf("the program has no %s", name)
	}
	x, err := device.ReadFloats(a, 0, a.Len())
	if err != nil {
		p.Fatal(err)
	}
	return x
}

// near compares element by element, to an absolute and a relative tolerance.
func (p *replay) near(name string, got []float32, tolerance float64, worst *float64) {
	p.Helper()
	want := p.floats(name)
	if len(got) != len(want) {
		p.Errorf("%s has %d elements, recorded are %d", name, len(got), len(want))
		return
	}
	sum := 0.0
	for i := range want {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		sum += d
		*worst = math.Max(*worst, d)
		if !(d <= tolerance*(1+math.Abs(float64(want[i])))) {
			p.Errorf("%s[%d] is %g, recorded is %g", name, i, got[i], want[i])
			return
		}
	}
	if mean := sum / float64(len(want)); len(want) > 100 && !(mean <= p.mean) {
		p.Errorf("%s differs by %g on average", name, mean)
	}
}

// relative compares a gradient by the norm of the difference.
func (p *replay) relative(name string, got []float32, tensor checkpoint.Tensor) {
	p.Helper()
	want, err := tensor.Float32s()
	if err != nil || len(got) != len(want) {
		p.Errorf("%s: %v, %d elements, recorded are %d", name, err, len(got), len(want))
		return
	}
	var difference, norm float64
	for i := range want {
		difference += math.Pow(float64(got[i])-float64(want[i]), 2)
		norm += math.Pow(float64(want[i]), 2)
	}
	ratio := math.Sqrt(difference) / (math.Sqrt(norm) + 1e-12)
	p.worstGradient = math.Max(p.worstGradient, ratio)
	if !(ratio <= p.gradients) {
		p.Errorf("%s is off by %g of its norm", name, ratio)
	}
}

func (p *replay) equal(name string, got []int32) {
	p.Helper()
	for i, want := range p.ints(name) {
		if got[i] != want {
			p.Errorf("%s[%d] is %d, recorded is %d", name, i, got[i], want)
			return
		}
	}
}
