package kernel_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel/emulate"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// TestMain ends the emulation's processes.
func TestMain(m *testing.M) {
	code := m.Run()
	if d := started.Load(); d != nil {
		d.Close()
	}
	os.Exit(code)
}

// trainingProgram is that of a model with two heads of 32 numbers.
func trainingProgram(t *testing.T, precision v1alpha1.Precision, change func(*v1alpha1.ModelSpec)) *model.Model {
	t.Helper()
	spec := v1alpha1.ModelSpec{
		Architecture: v1alpha1.ArchitectureHRM, HiddenSize: 64, NumHeads: 2, Expansion: 1, HLayers: 1, LLayers: 1, HCycles: 1, LCycles: 2,
		PositionEncoding: v1alpha1.PositionEncodingRoPE, Loss: v1alpha1.LossStablemax, ACT: v1alpha1.ACTSpec{MaxSteps: 3, ExplorationProbability: "0"},
	}
	change(&spec)
	m, err := model.Build(spec, model.Shape{SeqLen: 5, VocabSize: 11, NumPuzzleIdentifiers: 3}, precision, 2)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// fill gives a value contents that training could have; what is to be written is NaN, gradients are zero.
func (b *builder) fill(v *device.Value, initial map[string][]float32) []byte {
	n := v.Elements()
	if v.Rows {
		n *= b.rows
	}
	a := device.NewHostArray(v.DType, n)
	for i := range n {
		switch {
		case v.Role == device.Parameter:
			_ = device.WriteFloats(a, i, initial[v.Name][i:i+1])
		case v.Role == device.Input && v.DType != device.Int32:
			_ = device.WriteFloats(a, i, []float32{float32(b.random.NormFloat64())})
		case v.Role == device.Input && len(v.Shape) == 0:
			_ = device.WriteInts(a, i, []int32{int32(b.random.IntN(2))})
		case v.Role == device.Input && v.Name == "labels" && b.random.IntN(4) == 0:
			_ = device.WriteInts(a, i, []int32{-100})
		case v.Role == device.Input:
			_ = device.WriteInts(a, i, []int32{int32(b.random.IntN(11))})
		}
	}
	if v.Role == device.Temporary || v.Role == device.Output {
		return bytes.Repeat([]byte{0xff}, len(a.Bytes()))
	}
	return a.Bytes()
}

// step executes one instruction by its kernels, from the values that the reference device has come to, and on the reference
// device, and compares what they wrote.
func (b *builder) step(t *testing.T, ins *device.Instruction, tolerance float64) {
	t.Helper()
	arrays := make([]device.Array, len(b.values))
	job := &emulate.Job{Seed: b.random.Uint64(), Buffers: make([][]byte, len(b.values))}
	written := []int{ins.Out}
	if ins.Aux != device.NoValue {
		written = append(written, ins.Aux)
	}
	for _, v := range append(written, ins.In...) {
		if v != device.NoValue {
			job.Buffers[v] = bytes.Clone(b.contents[v])
			arrays[v] = device.HostArrayOver(b.values[v].DType, b.contents[v])
		}
	}
	if err := reference.Execute(ins, b.values, b.rows, arrays); err != nil {
		t.Fatal(err)
	}
	switch ins.Op {
	case device.OpLinear, device.OpLinearGradInput, device.OpLinearGradWeight:
		return
	}
	work, err := kernel.For(ins, b.values, b.rows)
	if err != nil {
		t.Fatal(err)
	}
	if err := emulated(t).Run(job, work); err != nil {
		t.Fatal(err)
	}
	if ins.Op == device.OpAttentionGrad && b.act == device.BFloat16 {
		// The log-sum-exp of the reference's forward is that of vectors that were not rounded: the probabilities don't
		// quite add up to one, which they do after the kernel's own forward.
		tolerance *= 3
	}
	for _, v := range written {
		dtype := b.values[v].DType
		compare(t, ins.Op.String()+": "+b.values[v].Name, floats(t, dtype, job.Buffers[v]), floats(t, dtype, b.contents[v]), tolerance)
	}
}

func TestTrainingPrograms_haveAKernelForEveryInstruction(t *testing.T) {
	size := func(n int32) *int32 { return &n }
	for name, change := range map[string]func(*v1alpha1.ModelSpec){
		"published options": func(*v1alpha1.ModelSpec) {},
		"learned positions and softmax": func(s *v1alpha1.ModelSpec) {
			s.PositionEncoding, s.Loss = v1alpha1.PositionEncodingLearned, v1alpha1.LossSoftmax
		},
		"a prefix of two positions": func(s *v1alpha1.ModelSpec) { s.PuzzleEmbeddingSize = size(100) },
		"no prefix":                 func(s *v1alpha1.ModelSpec) { s.PuzzleEmbeddingSize = size(0) },
		"a single segment":          func(s *v1alpha1.ModelSpec) { s.ACT.MaxSteps = 1 },
	} {
		for _, precision := range []v1alpha1.Precision{v1alpha1.PrecisionFloat32, v1alpha1.PrecisionBFloat16} {
			t.Run(name+" "+string(precision), func(t *testing.T) {
				t.Parallel()
				m := trainingProgram(t, precision, change)
				b := &builder{act: m.Activation, rows: 2, random: rand.New(rand.NewPCG(1, 2)), values: m.Train.Values}
				initial := map[string][]float32{}
				for name, x := range model.InitialValues(m.Parameters, 7) {
					initial[name] = x
				}
				for i := range b.values {
					b.contents = append(b.contents, b.fill(&b.values[i], initial))
				}
				for i := range m.Train.Instructions {
					b.step(t, &m.Train.Instructions[i], roundedTwice[m.Activation])
				}
			})
		}
	}
}
