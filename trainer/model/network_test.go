package model

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

// tiny returns a small model for tests that look at everything.
func tiny(change func(*v1alpha1.ModelSpec)) v1alpha1.ModelSpec {
	spec := v1alpha1.ModelSpec{
		Architecture: v1alpha1.ArchitectureHRM, HiddenSize: 8, NumHeads: 2, Expansion: 1, HLayers: 1, LLayers: 2, HCycles: 2, LCycles: 2,
		PositionEncoding: v1alpha1.PositionEncodingRoPE, Loss: v1alpha1.LossStablemax,
		ACT: v1alpha1.ACTSpec{MaxSteps: 3, ExplorationProbability: "0"},
	}
	if change != nil {
		change(&spec)
	}
	return spec
}

var tinyShape = Shape{SeqLen: 5, VocabSize: 4, NumPuzzleIdentifiers: 3}

var variants = []struct {
	name   string
	change func(*v1alpha1.ModelSpec)
}{
	{"published options", nil},
	{"learned positions and softmax", func(s *v1alpha1.ModelSpec) {
		s.PositionEncoding, s.Loss = v1alpha1.PositionEncodingLearned, v1alpha1.LossSoftmax
	}},
	{"a prefix of three positions", func(s *v1alpha1.ModelSpec) { size := int32(20); s.PuzzleEmbeddingSize = &size }},
	{"no prefix", func(s *v1alpha1.ModelSpec) { size := int32(0); s.PuzzleEmbeddingSize = &size }},
	{"a single segment", func(s *v1alpha1.ModelSpec) { s.ACT.MaxSteps = 1 }},
	{"a puzzle embedding with room to spare", func(s *v1alpha1.ModelSpec) { s.PuzzleEmbeddingPositions = 3 }},
	{"the gradient of the last cycle", func(s *v1alpha1.ModelSpec) { s.Gradient = v1alpha1.GradientLastCycle }},
	{"the whole gradient", func(s *v1alpha1.ModelSpec) { s.Gradient = v1alpha1.GradientFull }},
	{"the gradient of four updates", func(s *v1alpha1.ModelSpec) { s.Gradient, s.GradientSteps = v1alpha1.GradientSteps, 4 }},
	{"gates", func(s *v1alpha1.ModelSpec) {
		s.Combination, s.Gradient = v1alpha1.CombinationGated, v1alpha1.GradientFull
	}},
	{"an MLP over the positions", func(s *v1alpha1.ModelSpec) {
		s.Mixing, s.PositionEncoding = v1alpha1.MixingMLP, v1alpha1.PositionEncodingNone
	}},
	{"attention without positions", func(s *v1alpha1.ModelSpec) { s.PositionEncoding = v1alpha1.PositionEncodingNone }},
	{"a single level", func(s *v1alpha1.ModelSpec) { s.Levels, s.LLayers, s.LCycles, s.HCycles = 1, 0, 0, 3 }},
	{"a single level and the whole gradient", func(s *v1alpha1.ModelSpec) {
		s.Levels, s.LLayers, s.LCycles, s.HCycles, s.Gradient = 1, 0, 0, 3, v1alpha1.GradientFull
	}},
	{"TRM", trm},
	{"TRM with an MLP", func(s *v1alpha1.ModelSpec) {
		trm(s)
		s.Mixing, s.PositionEncoding = v1alpha1.MixingMLP, v1alpha1.PositionEncodingNone
	}},
	{"TRM that learns of going on", func(s *v1alpha1.ModelSpec) { trm(s); s.ACT.Halting = v1alpha1.HaltingQLearning }},
	{"TRM of one step and gates", func(s *v1alpha1.ModelSpec) {
		trm(s)
		s.Gradient, s.Combination = v1alpha1.GradientOneStep, v1alpha1.CombinationGated
	}},
	{"Transformer", transformer},
	{"Transformer that halts as the official one", func(s *v1alpha1.ModelSpec) { transformer(s); s.ACT.Halting = v1alpha1.HaltingQDifference }},
	{"Transformer with an MLP and gates", func(s *v1alpha1.ModelSpec) {
		transformer(s)
		s.Mixing, s.Combination = v1alpha1.MixingMLP, v1alpha1.CombinationGated
	}},
	{"UniversalTransformer", universal},
	{"UniversalTransformer that shares attention", func(s *v1alpha1.ModelSpec) { universal(s); s.Sharing = v1alpha1.SharingAttention }},
	{"UniversalTransformer that shares feed-forward parts", func(s *v1alpha1.ModelSpec) { universal(s); s.Sharing = v1alpha1.SharingFeedForward }},
	{"MixtureOfRecursions", mixture},
	{"MixtureOfRecursions of one pass", func(s *v1alpha1.ModelSpec) { mixture(s); s.Recursions = 1 }},
	{"NeuralHistoryCompressor", compressor},
	{"NeuralHistoryCompressor with gates and no prefix", func(s *v1alpha1.ModelSpec) {
		compressor(s)
		s.Combination, s.PuzzleEmbeddingSize = v1alpha1.CombinationGated, new(int32)
	}},
	{"FastWeights", fastWeights},
	{"FastWeights of two inner steps", func(s *v1alpha1.ModelSpec) { fastWeights(s); s.InnerSteps = 2 }},
}

// recurrent are variants whose tensors do not show what they are of.
var recurrent = []struct {
	name   string
	change func(*v1alpha1.ModelSpec)
}{
	{"ElmanRNN", elman},
	{"ElmanRNN with gates that learns of going on", func(s *v1alpha1.ModelSpec) {
		elman(s)
		s.Combination, s.ACT.Halting = v1alpha1.CombinationGated, v1alpha1.HaltingQLearning
	}},
	{"ClockworkRNN", func(s *v1alpha1.ModelSpec) {
		elman(s)
		s.Architecture, s.Levels, s.Period = v1alpha1.ArchitectureClockworkRNN, 4, 2
	}},
	{"HierarchicalRNN", func(s *v1alpha1.ModelSpec) {
		elman(s)
		s.Architecture, s.Levels, s.Period = v1alpha1.ArchitectureHierarchicalRNN, 2, 3
	}},
	{"MultiscaleRNN of two levels", func(s *v1alpha1.ModelSpec) {
		elman(s)
		s.Architecture, s.Levels = v1alpha1.ArchitectureMultiscaleRNN, 2
	}},
	{"MultiscaleRNN of four levels, learned positions", func(s *v1alpha1.ModelSpec) {
		elman(s)
		s.Architecture, s.Levels, s.PositionEncoding = v1alpha1.ArchitectureMultiscaleRNN, 4, v1alpha1.PositionEncodingLearned
	}},
}

func elman(s *v1alpha1.ModelSpec) {
	s.Architecture, s.HLayers, s.LLayers, s.HCycles, s.LCycles = v1alpha1.ArchitectureElmanRNN, 0, 0, 0, 0
	s.ACT.Halting = v1alpha1.HaltingQHalt
}

func trm(s *v1alpha1.ModelSpec) {
	s.Architecture, s.Layers, s.HLayers, s.LLayers, s.PuzzleEmbeddingPositions = v1alpha1.ArchitectureTRM, 2, 0, 0, 2
	s.ACT.Halting = v1alpha1.HaltingQHalt
}

func transformer(s *v1alpha1.ModelSpec) {
	s.Architecture, s.Layers, s.HLayers, s.LLayers, s.HCycles, s.LCycles = v1alpha1.ArchitectureTransformer, 3, 0, 0, 0, 0
	s.ACT.Halting = v1alpha1.HaltingQHalt
}

func universal(s *v1alpha1.ModelSpec) {
	transformer(s)
	s.Architecture = v1alpha1.ArchitectureUniversalTransformer
}

func mixture(s *v1alpha1.ModelSpec) {
	transformer(s)
	s.Architecture, s.Layers, s.Recursions = v1alpha1.ArchitectureMixtureOfRecursions, 1, 3
}

func compressor(s *v1alpha1.ModelSpec) {
	transformer(s)
	s.Architecture, s.Layers = v1alpha1.ArchitectureNeuralHistoryCompressor, 0
}

func fastWeights(s *v1alpha1.ModelSpec) {
	compressor(s)
	s.Architecture, s.InnerSteps, s.FastDecay, s.FastRate = v1alpha1.ArchitectureFastWeights, 1, "0.95", "0.5"
}

// The program that is run must compute what Gorgonia's own executor computes on the same graph.
func TestProgramEqualsTheTapeMachine(t *testing.T) {
	const rows = 3
	for _, v := range slices.Concat(variants, recurrent) {
		t.Run(v.name, func(t *testing.T) {
			m, err := Build(tiny(v.change), tinyShape, v1alpha1.PrecisionFloat32, rows)
			if err != nil {
				t.Fatal(err)
			}
			arrays := randomArrays(m.Train, m.Parameters, rows)
			run(t, m.Train, rows, arrays)
			for name, want := range tapeMachine(t, m, rows, arrays) {
				compare(t, name, all(t, arrays[name]), want)
			}
		})
	}
}

func compare(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: program has %d elements, tape machine %d", name, len(got), len(want))
	}
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-5*(1+math.Abs(float64(want[i])))) {
			t.Errorf("%s[%d]: program %g, tape machine %g", name, i, got[i], want[i])
			return
		}
	}
}

// tapeMachine runs the graph with Gorgonia and returns the values of all results.
func tapeMachine(t *testing.T, m *Model, rows int, arrays map[string]device.Array) map[string][]float32 {
	t.Helper()
	n := newNetwork(m, rows)
	results, err := n.train(rows)
	if err != nil {
		t.Fatal(err)
	}
	hashes := map[uint32]bool{}
	for _, node := range n.Gorgonia.AllNodes() {
		if hashes[node.Hashcode()] {
			t.Fatalf("two nodes share the hash of %v: Gorgonia would merge them", node)
		}
		hashes[node.Hashcode()] = true
	}
	for _, n := range n.Gorgonia.Inputs() {
		a, ok := arrays[n.Name()]
		if !ok {
			continue
		}
		var backing any
		if a.DType() == device.Int32 {
			backing, err = device.ReadInts(a, 0, a.Len())
		} else {
			backing, err = device.ReadFloats(a, 0, a.Len())
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := gorgonia.Let(n, tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking(backing))); err != nil {
			t.Fatal(err)
		}
	}
	reads := make([]gorgonia.Value, len(results))
	for i, r := range results {
		gorgonia.Read(r.Node, &reads[i])
	}
	machine := gorgonia.NewTapeMachine(n.Gorgonia)
	defer func() { _ = machine.Close() }()
	if err := machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	out := map[string][]float32{}
	for i, r := range results {
		out[r.Name] = reads[i].Data().([]float32)
	}
	return out
}

// randomArrays binds everything that a program names: small random parameters, inputs in range, zeros elsewhere.
func randomArrays(p *device.Program, parameters []Parameter, rows int) map[string]device.Array {
	random := rand.New(rand.NewPCG(1, 2))
	initial := maps.Collect(InitialValues(parameters, 7))
	arrays := map[string]device.Array{}
	for _, v := range p.Values {
		if v.Role == device.Temporary {
			continue
		}
		n := v.Elements()
		if v.Rows {
			n *= rows
		}
		a := device.NewHostArray(v.DType, n)
		switch {
		case v.Role == device.Parameter:
			_ = device.WriteFloats(a, 0, initial[v.Name])
		case v.Role == device.Input && v.DType == device.Int32:
			ints := make([]int32, n)
			for i := range ints {
				ints[i] = int32(random.IntN(4))
				if v.Name == "halted" || v.Name == "last" {
					ints[i] %= 2
				} else if v.Name == "labels" && i%5 == 0 {
					ints[i] = -100
				}
			}
			_ = device.WriteInts(a, 0, ints)
		case v.Role == device.Input:
			floats := make([]float32, n)
			for i := range floats {
				floats[i] = float32(random.NormFloat64())
			}
			_ = device.WriteFloats(a, 0, floats)
		}
		arrays[v.Name] = a
	}
	return arrays
}

func run(t *testing.T, p *device.Program, rows int, arrays map[string]device.Array) {
	t.Helper()
	executable, err := reference.New().Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := executable.Run(t.Context(), rows, arrays); err != nil {
		t.Fatal(err)
	}
}

func all(t *testing.T, a device.Array) []float32 {
	t.Helper()
	x, err := device.ReadFloats(a, 0, a.Len())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// Two temporaries that live at the same time must not share memory, and every temporary is written before it is read.
func TestProgramsPlanTheirMemory(t *testing.T) {
	for _, v := range slices.Concat(variants, recurrent) {
		m, err := Build(tiny(v.change), tinyShape, v1alpha1.PrecisionBFloat16, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*device.Program{m.Train, m.Eval} {
			checkPlan(t, v.name+"/"+p.Name, p)
		}
	}
}

func checkPlan(t *testing.T, name string, p *device.Program) {
	t.Helper()
	// owner says which value a byte of the arena holds.
	owner := make([]int, p.ArenaBytes)
	for i := range owner {
		owner[i] = device.NoValue
	}
	span := func(v int) []int {
		value := &p.Values[v]
		return owner[value.Offset : value.Offset+value.Elements()*value.DType.Size()]
	}
	for i, ins := range p.Instructions {
		reads := ins.In
		if strings.HasSuffix(ins.Op.String(), "Grad") && ins.Aux != device.NoValue {
			reads = append(reads[:len(reads):len(reads)], ins.Aux)
		}
		for _, v := range reads {
			if v == device.NoValue || p.Values[v].Role != device.Temporary {
				continue
			}
			for _, o := range span(v) {
				if o != v {
					t.Fatalf("%s: instruction %d (%v) reads %s, which is not there any more", name, i, ins.Op, p.Values[v].Name)
				}
			}
		}
		for _, v := range []int{ins.Out, ins.Aux} {
			if v != device.NoValue && p.Values[v].Role == device.Temporary {
				s := span(v)
				for j := range s {
					s[j] = v
				}
			}
		}
	}
}

func TestInitialValuesHaveTheStandardDeviationAskedFor(t *testing.T) {
	x := maps.Collect(InitialValues([]Parameter{{Name: "w", Shape: []int{400, 500}, Std: 0.25}}, 3))["w"]
	var sum, squares, largest float64
	for _, v := range x {
		sum += float64(v)
		squares += float64(v) * float64(v)
		largest = math.Max(largest, math.Abs(float64(v)))
	}
	n := float64(len(x))
	if std := math.Sqrt(squares/n - sum/n*sum/n); math.Abs(std-0.25) > 0.002 {
		t.Errorf("standard deviation is %g, want 0.25", std)
	}
	if limit := 2 / truncatedStd * 0.25; largest > limit {
		t.Errorf("largest value is %g, the cut is at %g", largest, limit)
	}
}

func TestHalted(t *testing.T) {
	for _, c := range []struct {
		name                     string
		steps, maxSteps, minimum int32
		halt, proceed            float32
		rule                     device.Halting
		want                     bool
	}{
		{"the last segment ends it", 4, 4, 0, -1, 1, device.HaltAboveContinue, true},
		{"halting promises more", 2, 4, 0, 2, 1, device.HaltAboveContinue, true},
		{"going on promises more", 2, 4, 0, 1, 2, device.HaltAboveContinue, false},
		{"exploration keeps it", 2, 4, 3, 1, -1, device.HaltAboveContinue, false},
		{"exploration has had its segments", 3, 4, 3, 1, -1, device.HaltAboveContinue, true},
		{"one segment is all there is", 1, 1, 0, -1, 1, device.HaltAboveContinue, true},
		{"the answer is held for right", 2, 4, 0, 1, 2, device.HaltAboveZero, true},
		{"the answer is held for wrong", 2, 4, 0, -1, -2, device.HaltAboveZero, false},
		{"the answer is held for right too early", 2, 4, 3, 1, -1, device.HaltAboveZero, false},
		{"segments are fixed", 2, 4, 0, 1, -1, device.HaltAtLast, false},
		{"fixed segments end", 4, 4, 0, -1, 1, device.HaltAtLast, true},
	} {
		if got := Halted(c.rule, c.steps, c.maxSteps, c.halt, c.proceed, c.minimum); got != c.want {
			t.Errorf("%s: halted is %t", c.name, got)
		}
	}
}
