package model

import (
	"slices"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// The last answer of a trace, its states and its q are those of an evaluation's segment, and there is an answer after
// every low-level step, and after every layer where there are no levels.
func TestTrace_endsWhereTheSegmentEnds(t *testing.T) {
	const rows = 2
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			m, err := Build(tiny(v.change), tinyShape, v1alpha1.PrecisionFloat32, rows)
			if err != nil {
				t.Fatal(err)
			}
			trace, err := BuildTrace(m)
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
			if slices.Equal(all(t, got[trace.Moments[0].Output]), all(t, got[last])) {
				t.Error("the first answer is the last")
			}
		})
	}
}

func TestTrace_namesAnArchitectureWithoutOne(t *testing.T) {
	if _, err := BuildTrace(&Model{Spec: v1alpha1.ModelSpec{Architecture: "Oracle"}}); err == nil {
		t.Error("an unknown architecture has a trace")
	}
}
