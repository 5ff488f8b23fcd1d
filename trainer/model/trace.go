package model

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

// Trace is a program that runs a segment as evaluation does and also delivers what the network would answer on the way.
// Its inputs are those of Model.Eval; its outputs the states' ".next", "q" [2], and of each moment logits [S,V].
type Trace struct {
	Program *device.Program
	// Moments are in the order of the computation; the last is the segment's answer.
	Moments []Moment
}

// Moment is a place in a segment: the low-level step of the high-level cycle after which an answer is read off, both
// counted from 1. A Transformer has one cycle, whose steps are its layers.
type Moment struct {
	// Output is the name of its logits.
	Output      string
	Cycle, Step int
}

// BuildTrace builds the trace of a model.
func BuildTrace(m *Model) (*Trace, error) {
	if _, ok := architectures[m.Spec.Architecture]; !ok {
		return nil, fmt.Errorf("architecture %q has no intermediate answers to show", m.Spec.Architecture)
	}
	n, t := newNetwork(m, 1), &Trace{}
	z, e, _ := n.begin()
	var results []graph.Result
	z = n.architecture.segment(n, z, e, func(cycle, step int, answer *gorgonia.Node) {
		moment := Moment{Output: fmt.Sprintf("logits.%d.%d", cycle, step), Cycle: cycle, Step: step}
		t.Moments = append(t.Moments, moment)
		results = append(results, graph.Result{Name: moment.Output, Node: n.decode(answer)})
	})
	results = append(append(results, stateResults(m.States(), z)...), graph.Result{Name: "q", Node: n.qHead(z[0])})
	var err error
	if t.Program, err = n.Compile("trace", m.Activation, results); err != nil {
		return nil, fmt.Errorf("build the trace of %s: %w", m.Spec.Architecture, err)
	}
	return t, nil
}
