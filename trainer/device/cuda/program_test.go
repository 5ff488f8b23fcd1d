package cuda_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// contents are random numbers for what a program reads, and poison for what it writes.
func contents(p *device.Program, rows, vocabulary int) map[string]*device.HostArray {
	random := rand.New(rand.NewPCG(5, 6))
	all := map[string]*device.HostArray{}
	for i := range p.Values {
		v := &p.Values[i]
		n := v.Elements()
		if v.Rows {
			n *= rows
		}
		a := device.NewHostArray(v.DType, n)
		for k := range n {
			switch {
			case v.Role == device.Temporary:
			case v.DType == device.Int32 && len(v.Shape) == 0:
				_ = device.WriteInts(a, k, []int32{random.Int32N(2)})
			case v.DType == device.Int32:
				_ = device.WriteInts(a, k, []int32{random.Int32N(int32(vocabulary))})
			case v.Role == device.Output || v.Role == device.Gradient:
				_ = device.WriteFloats(a, k, []float32{float32(math.NaN())})
			case v.Role == device.Parameter:
				_ = device.WriteFloats(a, k, []float32{float32(random.NormFloat64()) / 8})
			default:
				_ = device.WriteFloats(a, k, []float32{float32(random.NormFloat64())})
			}
		}
		all[v.Name] = a
	}
	return all
}

// run runs a program twice, so that the second is a graph where there are graphs, and returns what it wrote. The reference device
// has none and is slow: there once will do.
func run(t *testing.T, d device.Device, p *device.Program, rows int, given map[string]*device.HostArray) map[string][]float32 {
	t.Helper()
	x, err := d.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	bound := map[string]device.Array{}
	for i := range p.Values {
		if v := &p.Values[i]; v.Role != device.Temporary {
			if bound[v.Name], err = d.NewArray(v.DType, given[v.Name].Len()); err != nil {
				t.Fatal(err)
			}
		}
	}
	times := 2
	if d.Name() == "reference" {
		times = 1
	}
	for range times {
		for name, a := range bound {
			if err := a.Write(0, given[name].Bytes()); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.Run(context.Background(), rows, bound); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string][]float32{}
	for i := range p.Values {
		if v := &p.Values[i]; v.Role == device.Output || v.Role == device.Gradient {
			if out[v.Name], err = device.ReadFloats(bound[v.Name], 0, bound[v.Name].Len()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// compare compares what two devices wrote, relative to the largest number of each value.
func compare(t *testing.T, p *device.Program, got, want map[string][]float32, tolerance float64) {
	t.Helper()
	for i := range p.Values {
		name := p.Values[i].Name
		largest, worst := 1e-6, 0.0
		for k := range want[name] {
			// What a program leaves as it was, both devices do.
			if got[name][k] != got[name][k] && want[name][k] != want[name][k] {
				continue
			}
			largest = max(largest, math.Abs(float64(want[name][k])))
			if difference := math.Abs(float64(got[name][k] - want[name][k])); !(difference <= worst) {
				worst = difference
			}
		}
		if !(worst <= tolerance*largest) {
			t.Errorf("%s differs by %.3g of %.3g", name, worst, largest)
		}
	}
}

// exposed is a program whose temporaries are outputs.
func exposed(p *device.Program) *device.Program {
	q := *p
	q.Values = append([]device.Value{}, p.Values...)
	for i := range q.Values {
		if v := &q.Values[i]; v.Role == device.Temporary {
			v.Role, v.Name = device.Output, fmt.Sprintf("%d %s", i, v.Name)
		}
	}
	return &q
}

// modelCase is a model whose programs are run; real ones are for a GPU.
type modelCase struct {
	name   string
	real   bool
	shape  model.Shape
	rows   int
	change func(*v1alpha1.ModelSpec)
}

func size(n int32) *int32 { return &n }

var modelCases = []modelCase{
	{name: "small", shape: model.Shape{SeqLen: 5, VocabSize: 7, NumPuzzleIdentifiers: 4}, rows: 3, change: func(*v1alpha1.ModelSpec) {}},
	{name: "learned positions, softmax, a long prefix, odd heads", shape: model.Shape{SeqLen: 9, VocabSize: 11, NumPuzzleIdentifiers: 4}, rows: 2,
		change: func(s *v1alpha1.ModelSpec) {
			s.HiddenSize, s.NumHeads, s.PuzzleEmbeddingSize = 36, 3, size(50)
			s.PositionEncoding, s.Loss = v1alpha1.PositionEncodingLearned, v1alpha1.LossSoftmax
		}},
	{name: "no prefix, a single segment", shape: model.Shape{SeqLen: 4, VocabSize: 3, NumPuzzleIdentifiers: 1}, rows: 1,
		change: func(s *v1alpha1.ModelSpec) { s.PuzzleEmbeddingSize, s.ACT.MaxSteps = size(0), 1 }},
	{name: "Sudoku as published", real: true, shape: model.Shape{SeqLen: 81, VocabSize: 11, NumPuzzleIdentifiers: 1}, rows: 5,
		change: func(s *v1alpha1.ModelSpec) { s.HiddenSize, s.NumHeads, s.Expansion = 512, 8, 4 }},
	{name: "heads of 128, a sequence of 300", real: true, shape: model.Shape{SeqLen: 300, VocabSize: 12, NumPuzzleIdentifiers: 40}, rows: 2,
		change: func(s *v1alpha1.ModelSpec) { s.HiddenSize, s.NumHeads = 256, 2 }},
	{name: "mazes: a sequence of 900", real: true, shape: model.Shape{SeqLen: 900, VocabSize: 6, NumPuzzleIdentifiers: 1}, rows: 1,
		change: func(s *v1alpha1.ModelSpec) { s.HiddenSize, s.NumHeads = 128, 2 }},
}

// eachModel runs a test for the models that this GPU can compute, in both types.
func eachModel(t *testing.T, test func(t *testing.T, c modelCase, m *model.Model, tolerance float64)) {
	for _, c := range modelCases {
		for precision, tolerance := range map[v1alpha1.Precision]float64{v1alpha1.PrecisionFloat32: 3e-5, v1alpha1.PrecisionBFloat16: 2e-2} {
			t.Run(fmt.Sprintf("%s %s", c.name, precision), func(t *testing.T) {
				if c.real && !hasGPU() {
					t.Skip("too large for the fake GPU: make test-gpu runs it")
				}
				spec := tinySpec()
				c.change(&spec)
				m, err := model.Build(spec, c.shape, precision, c.rows)
				if err != nil {
					t.Fatal(err)
				}
				test(t, c, m, tolerance)
			})
		}
	}
}

func TestPrograms_writeWhatTheReferenceWrites(t *testing.T) {
	eachModel(t, func(t *testing.T, c modelCase, m *model.Model, tolerance float64) {
		d := anyGPU(t)
		for _, p := range []*device.Program{m.Train, m.Eval} {
			given := contents(p, c.rows, c.shape.VocabSize)
			// Rounding adds up over a whole program.
			compare(t, p, run(t, d, p, c.rows, given), run(t, reference.New(), p, c.rows, given), 5*tolerance)
		}
	})
}

// alone is a program of one instruction, whose operands are inputs.
func alone(p *device.Program, i int) *device.Program {
	ins := p.Instructions[i]
	q := &device.Program{Name: fmt.Sprintf("%d %v", i, ins.Op), Instructions: []device.Instruction{ins}}
	index := map[int]int{}
	use := func(v int, role device.Role) int {
		if v == device.NoValue {
			return v
		}
		if at, ok := index[v]; ok {
			return at
		}
		value := p.Values[v]
		value.Name = fmt.Sprintf("%d %s", v, value.Name)
		if value.Role != device.Parameter && value.Role != device.Gradient {
			value.Role = role
		}
		index[v] = len(q.Values)
		q.Values = append(q.Values, value)
		return index[v]
	}
	out := &q.Instructions[0]
	out.In = make([]int, len(ins.In))
	for k, v := range ins.In {
		out.In[k] = use(v, device.Input)
	}
	out.Out = use(ins.Out, device.Output)
	// The forward operation writes the side buffer, the backward one reads it.
	role := device.Output
	if ins.Op == device.OpAttentionGrad || ins.Op == device.OpAddRMSNormGrad {
		role = device.Input
	}
	out.Aux = use(ins.Aux, role)
	return q
}

// TestInstructions_writeWhatTheReferenceWrites runs every instruction of training by itself, on what the reference device has
// come to, into results full of NaN.
func TestInstructions_writeWhatTheReferenceWrites(t *testing.T) {
	eachModel(t, func(t *testing.T, c modelCase, m *model.Model, tolerance float64) {
		d := anyGPU(t)
		p := exposed(m.Train)
		given := contents(p, c.rows, c.shape.VocabSize)
		all := run(t, reference.New(), p, c.rows, given)
		for i := range p.Instructions {
			q := alone(p, i)
			if q.Values[q.Instructions[0].Out].Role == device.Input {
				continue // an addition in place
			}
			allowed := tolerance
			if q.Instructions[0].Op == device.OpAttentionGrad {
				// The log-sum-exp of the reference's forward is that of vectors that were not rounded.
				allowed *= 3
			}
			t.Run(q.Name, func(t *testing.T) {
				given := operands(q, given, all)
				compare(t, q, run(t, d, q, c.rows, given), run(t, reference.New(), q, c.rows, given), allowed)
			})
		}
	})
}

// operands are what a program of one instruction finds: what was given to the whole program or computed by it, and NaN where
// it writes.
func operands(q *device.Program, given map[string]*device.HostArray, computed map[string][]float32) map[string]*device.HostArray {
	out := map[string]*device.HostArray{}
	for k := range q.Values {
		v := &q.Values[k]
		original := v.Name[strings.Index(v.Name, " ")+1:]
		a := given[original]
		if x, ok := computed[original]; ok {
			a = device.NewHostArray(v.DType, a.Len())
			if v.Role == device.Output && !q.Instructions[0].Attr.Accumulate {
				x = slices.Repeat([]float32{float32(math.NaN())}, len(x))
			}
			_ = device.WriteFloats(a, 0, x)
		}
		out[v.Name] = a
	}
	return out
}
