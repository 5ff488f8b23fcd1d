package model

import (
	"slices"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// The last answer of a trace, its states and its q are those of an evaluation's segment, and there is an answer after
// every low-level step, and after every layer where there are no levels; what recurs over positions has an answer at the end.
func TestTrace_endsWhereTheSegmentEnds(t *testing.T) {
	const rows = 2
	for _, v := range slices.Concat(variants, recurrent) {
		t.Run(v.name, func(t *testing.T) {
			m, err := Build(tiny(v.change), tinyShape, v1alpha1.PrecisionFloat32, rows)
			if err != nil {
				t.Fatal(err)
			}
			trace, err := BuildTrace(m, TraceOptions{})
			if err != nil {
				t.Fatal(err)
			}
			checkPlan(t, v.name, trace.Program)
			want, got := randomArrays(m.Eval, m.Parameters, rows), randomArrays(trace.Program, m.Parameters, rows)
			for _, in := range []string{"tokens", "halted", "puzzle", "zH", "zL"} {
				if a, ok := want[in]; ok {
					got[in] = a
				}
			}
			run(t, m.Eval, rows, want)
			run(t, trace.Program, rows, got)
			var moments [][2]int
			for _, moment := range trace.Moments {
				moments = append(moments, [2]int{moment.Cycle, moment.Step})
			}
			order := [][2]int{{1, 1}, {1, 2}, {1, 3}}
			switch {
			case m.Spec.RecursOverPositions() || m.Spec.Recursions == 1:
				order = [][2]int{{1, 1}}
			case m.Spec.TwoLevels():
				order = [][2]int{{1, 1}, {1, 2}, {2, 1}, {2, 2}}
			case m.Spec.Levels == 1:
				order = [][2]int{{1, 1}, {2, 1}, {3, 1}}
			}
			if !slices.Equal(moments, order) {
				t.Errorf("moments %v, want %v", moments, order)
			}
			last := trace.Moments[len(trace.Moments)-1].Output
			outputs := map[string]string{last: "logits", "q": "q"}
			for _, s := range m.States() {
				outputs[s.Name+".next"] = s.Name + ".next"
			}
			for output, of := range outputs {
				if !slices.Equal(all(t, got[output]), all(t, want[of])) {
					t.Errorf("%s of the trace is not %s of the segment", output, of)
				}
			}
			if first := trace.Moments[0].Output; first != last && slices.Equal(all(t, got[first]), all(t, got[last])) {
				t.Error("the first answer is the last")
			}
		})
	}
}

func TestTrace_namesAnArchitectureWithoutOne(t *testing.T) {
	if _, err := BuildTrace(&Model{Spec: v1alpha1.ModelSpec{Architecture: "Oracle"}}, TraceOptions{}); err == nil {
		t.Error("an unknown architecture has a trace")
	}
}

// States and attention layers do not change what is computed, and are there where their module has had its turn.
func TestTrace_deliversWhatIsAskedFor(t *testing.T) {
	m, err := Build(tiny(nil), tinyShape, v1alpha1.PrecisionFloat32, 1)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := BuildTrace(m, TraceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := BuildTrace(m, TraceOptions{States: true, Attention: []AttentionLayer{{"H", 1}, {"L", 1}}})
	if err != nil {
		t.Fatal(err)
	}
	want, got := randomArrays(plain.Program, m.Parameters, 1), randomArrays(whole.Program, m.Parameters, 1)
	for _, in := range []string{"tokens", "halted", "puzzle", "zH", "zL"} {
		if a, ok := want[in]; ok {
			got[in] = a
		}
	}
	run(t, plain.Program, 1, want)
	run(t, whole.Program, 1, got)
	width := m.Positions() * int(m.Spec.HiddenSize)
	for i, moment := range whole.Moments {
		if !slices.Equal(all(t, got[moment.Output]), all(t, want[plain.Moments[i].Output])) {
			t.Errorf("%s is another answer where states are delivered", moment.Output)
		}
		ends := moment.Step == int(m.Spec.LCycles)
		if (moment.ZH != "") != ends || (moment.QKV[0] != "") != ends || moment.QKV[1] == "" || moment.ZL == "" {
			t.Errorf("moment %+v", moment)
		}
		if n := got[moment.ZL].Len(); n != width {
			t.Errorf("%s has %d elements, want %d", moment.ZL, n, width)
		}
		for _, name := range moment.QKV {
			if name != "" && got[name].Len() != 3*width {
				t.Errorf("%s has %d elements, want %d", name, got[name].Len(), 3*width)
			}
		}
		if ends && got[moment.ZH].Len() != width {
			t.Errorf("%s has %d elements, want %d", moment.ZH, got[moment.ZH].Len(), width)
		}
	}
	if moments := whole.Moments; slices.Equal(all(t, got[moments[0].ZL]), all(t, got[moments[1].ZL])) {
		t.Error("the low-level state does not change")
	}
	for _, none := range []AttentionLayer{{"H", 0}, {"L", 99}, {"M", 1}} {
		if _, err := BuildTrace(m, TraceOptions{Attention: []AttentionLayer{none}}); err == nil {
			t.Errorf("layer %s exists", none)
		}
	}
}

// What the API takes for layers with attention are those of the model, and no others.
func TestTrace_knowsTheLayersThatTheAPIKnows(t *testing.T) {
	for _, v := range variants {
		m, err := Build(tiny(v.change), tinyShape, v1alpha1.PrecisionFloat32, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, module := range []string{"H", "L"} {
			n := int(m.Spec.AttentionLayers(module))
			for layer := 1; layer <= n+1; layer++ {
				_, err := BuildTrace(m, TraceOptions{Attention: []AttentionLayer{{module, layer}}})
				if (err == nil) != (layer <= n) {
					t.Errorf("%s: of %d layers %s%d: %v", v.name, n, module, layer, err)
				}
			}
		}
	}
}

func TestTrace_ofAModelOfOneStateDeliversItAsBoth(t *testing.T) {
	seen := 0
	for _, v := range variants {
		m, err := Build(tiny(v.change), tinyShape, v1alpha1.PrecisionFloat32, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.States()) > 1 {
			continue
		}
		seen++
		trace, err := BuildTrace(m, TraceOptions{States: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, moment := range trace.Moments {
			if moment.ZH == "" || moment.ZL != moment.ZH {
				t.Errorf("%s: moment %+v", v.name, moment)
			}
		}
	}
	if seen == 0 {
		t.Error("no variant has one state")
	}
}
