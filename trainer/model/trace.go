package model

import (
	"fmt"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

// Trace is a program that runs a segment as evaluation does and also delivers what the network would answer on the way.
// Its inputs are those of Model.Eval; its outputs "zH.next", "zL.next", "q" [2], and of each moment logits [S,V].
type Trace struct {
	Program *device.Program
	// Moments are in the order of the computation; the last is the segment's answer.
	Moments []Moment
}

// Moment is a place in a segment: the low-level step of the high-level cycle after which an answer is read off, both
// counted from 1.
type Moment struct {
	// Output is the name of its logits.
	Output      string
	Cycle, Step int
}

// tracers build the trace of an architecture.
var tracers = map[v1alpha1.Architecture]func(*Model) (*Trace, error){
	v1alpha1.ArchitectureHRM: hrmTrace,
}

// BuildTrace builds the trace of a model.
func BuildTrace(m *Model) (*Trace, error) {
	build, ok := tracers[m.Spec.Architecture]
	if !ok {
		return nil, fmt.Errorf("architecture %s has no intermediate answers to show", m.Spec.Architecture)
	}
	t, err := build(m)
	if err != nil {
		return nil, fmt.Errorf("build the trace of %s: %w", m.Spec.Architecture, err)
	}
	return t, nil
}

// hrmTrace reads an answer off after every low-level step, as if the high-level module had its turn then:
// lm_head(f_H(zH, zL)) (paper, section "Visualization of intermediate timesteps"). After the last step of a cycle it has.
func hrmTrace(m *Model) (*Trace, error) {
	h := newHRM(m, 1)
	zH, zL, e, _ := h.begin()
	t := &Trace{}
	var results []graph.Result
	for cycle := range int(m.Spec.HCycles) {
		for step := range int(m.Spec.LCycles) {
			zL = h.fL(zL, zH, e)
			next := h.fH(zH, zL)
			moment := Moment{Output: fmt.Sprintf("logits.%d.%d", cycle+1, step+1), Cycle: cycle + 1, Step: step + 1}
			t.Moments = append(t.Moments, moment)
			results = append(results, graph.Result{Name: moment.Output, Node: h.decode(next)})
			if step == int(m.Spec.LCycles)-1 {
				zH = next
			}
		}
	}
	results = append(results, graph.Result{Name: "zH.next", Node: zH}, graph.Result{Name: "zL.next", Node: zL}, graph.Result{Name: "q", Node: h.qHead(zH)})
	var err error
	t.Program, err = h.Compile("trace", m.Activation, results)
	return t, err
}
