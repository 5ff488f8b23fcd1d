package model

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

// Trace is a program that runs a segment as evaluation does and also delivers what the network would answer on the way.
// Its inputs are those of Model.Eval; its outputs "zH.next", "zL.next", "q" [2], and of each moment logits [S,V] and what
// TraceOptions ask for.
type Trace struct {
	Program *device.Program
	// Moments are in the order of the computation; the last is the segment's answer.
	Moments []Moment
}

// TraceOptions say what a trace delivers besides answers.
type TraceOptions struct {
	// States are those of both modules after every update.
	States bool
	// Attention, if not nil, is the layer whose queries, keys and values are delivered whenever its module has its turn.
	Attention *AttentionLayer
}

// AttentionLayer names a layer of a module.
type AttentionLayer struct {
	// Module is "H" or "L".
	Module string
	// Layer counts from 1.
	Layer int
}

// ErrNoLayer says that an AttentionLayer is none of the model.
var ErrNoLayer = errors.New("unknown layer")

// Moment is a place in a segment: the low-level step of the high-level cycle after which an answer is read off, both
// counted from 1.
type Moment struct {
	// Output is the name of its logits.
	Output      string
	Cycle, Step int
	// ZL and ZH name the states [T,D] after it, where they are delivered. ZH changes only with the last step of a cycle and is
	// empty after the others.
	ZL, ZH string
	// QKV names the queries, keys and values [T,3D] of the layer that is asked for, empty where its module had no turn.
	QKV string
}

// tracers build the trace of an architecture.
var tracers = map[v1alpha1.Architecture]func(*Model, TraceOptions) (*Trace, error){
	v1alpha1.ArchitectureHRM: hrmTrace,
}

// BuildTrace builds the trace of a model.
func BuildTrace(m *Model, o TraceOptions) (*Trace, error) {
	build, ok := tracers[m.Spec.Architecture]
	if !ok {
		return nil, fmt.Errorf("architecture %s has no intermediate answers to show", m.Spec.Architecture)
	}
	if a := o.Attention; a != nil {
		if layers := map[string]int32{"H": m.Spec.HLayers, "L": m.Spec.LLayers}[a.Module]; a.Layer < 1 || a.Layer > int(layers) {
			return nil, fmt.Errorf("%w: the model has no layer %s%d: the H module has %d layers, the L module %d", ErrNoLayer, a.Module, a.Layer, m.Spec.HLayers, m.Spec.LLayers)
		}
	}
	t, err := build(m, o)
	if err != nil {
		return nil, fmt.Errorf("build the trace of %s: %w", m.Spec.Architecture, err)
	}
	return t, nil
}

// hrmTrace reads an answer off after every low-level step, as if the high-level module had its turn then:
// lm_head(f_H(zH, zL)) (paper, section "Visualization of intermediate timesteps"). After the last step of a cycle it has.
func hrmTrace(m *Model, o TraceOptions) (*Trace, error) {
	h := newHRM(m, 1)
	zH, zL, e, _ := h.begin()
	t := &Trace{}
	var results []graph.Result
	deliver := func(name string, node *gorgonia.Node) string {
		results = append(results, graph.Result{Name: name, Node: node})
		return name
	}
	for cycle := range int(m.Spec.HCycles) {
		for step := range int(m.Spec.LCycles) {
			at := fmt.Sprintf("%d.%d", cycle+1, step+1)
			endOfCycle := step == int(m.Spec.LCycles)-1
			end := endOfCycle && cycle == int(m.Spec.HCycles)-1
			zL = h.fL(zL, zH, e)
			next := h.fH(zH, zL)
			moment := Moment{Output: deliver("logits."+at, h.decode(next)), Cycle: cycle + 1, Step: step + 1}
			if endOfCycle {
				zH = next
			}
			if o.States && !end {
				moment.ZL = deliver("zL."+at, zL)
				if endOfCycle {
					moment.ZH = deliver("zH."+at, zH)
				}
			}
			if a := o.Attention; a != nil && (a.Module == "L" || endOfCycle) {
				moment.QKV = deliver("qkv."+at, h.qkv[fmt.Sprintf("%s_level.layers.%d.", a.Module, a.Layer-1)])
			}
			t.Moments = append(t.Moments, moment)
		}
	}
	deliver("zH.next", zH)
	deliver("zL.next", zL)
	deliver("q", h.qHead(zH))
	if o.States {
		last := &t.Moments[len(t.Moments)-1]
		last.ZH, last.ZL = "zH.next", "zL.next"
	}
	var err error
	t.Program, err = h.Compile("trace", m.Activation, results)
	return t, err
}
