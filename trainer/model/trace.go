package model

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

// Trace is a program that runs a segment as evaluation does and also delivers what the network would answer on the way.
// Its inputs are those of Model.Eval; its outputs the states' ".next", "q" [2], and of each moment logits [S,V] and what
// TraceOptions ask for.
type Trace struct {
	Program *device.Program
	// Moments are in the order of the computation; the last is the segment's answer.
	Moments []Moment
}

// TraceOptions say what a trace delivers besides answers.
type TraceOptions struct {
	// States are those of all modules after every update.
	States bool
	// Attention, if not nil, is the layer whose queries, keys and values are delivered whenever its module has its turn.
	Attention *AttentionLayer
}

// AttentionLayer names a layer of a module.
type AttentionLayer struct {
	// Module is "H" or "L"; a Transformer's only one is "H", TRM's "L".
	Module string
	// Layer counts from 1.
	Layer int
}

// ErrNoLayer says that an AttentionLayer is none of the model.
var ErrNoLayer = errors.New("unknown layer")

// Moment is a place in a segment: the low-level step of the high-level cycle after which an answer is read off, both
// counted from 1. A Transformer has one cycle, whose steps are its layers.
type Moment struct {
	// Output is the name of its logits.
	Output      string
	Cycle, Step int
	// ZL and ZH name the states [T,D] after it, where they are delivered. ZH changes only with the last step of a cycle and is
	// empty after the others; of a model that has one state both are that one.
	ZL, ZH string
	// QKV names the queries, keys and values [T,3D] of the layer that is asked for, empty where its module had no turn.
	QKV string
}

// BuildTrace builds the trace of a model.
func BuildTrace(m *Model, o TraceOptions) (*Trace, error) {
	if _, ok := architectures[m.Spec.Architecture]; !ok {
		return nil, fmt.Errorf("architecture %q has no intermediate answers to show", m.Spec.Architecture)
	}
	at, err := layerAsked(m, o.Attention)
	if err != nil {
		return nil, err
	}
	n := newNetwork(m, 1)
	b := tracing{network: n, options: o, layer: at}
	var readings []reading
	z, e, _ := n.begin()
	z = n.architecture.segment(n, z, e, func(r reading) { readings = append(readings, r) })
	for i, r := range readings {
		b.add(r, i == len(readings)-1)
	}
	b.results = append(append(b.results, stateResults(m.States(), z)...), graph.Result{Name: "q", Node: n.qHead(z[0])})
	t := &Trace{Moments: b.moments}
	if t.Program, err = n.Compile("trace", m.Activation, b.results); err != nil {
		return nil, fmt.Errorf("build the trace of %s: %w", m.Spec.Architecture, err)
	}
	return t, nil
}

// layerAsked is where the weights of a layer are; empty if none is asked for.
func layerAsked(m *Model, a *AttentionLayer) (string, error) {
	if a == nil {
		return "", nil
	}
	at := layerOf(map[string]string{"H": highLevel, "L": lowLevel}[a.Module], int32(a.Layer)-1)
	has := func(p Parameter) bool { return p.Name == at+"self_attn.qkv_proj.weight" }
	if !slices.ContainsFunc(m.Parameters, has) {
		return "", fmt.Errorf("%w: the model has no layer %s%d with attention", ErrNoLayer, a.Module, a.Layer)
	}
	return at, nil
}

// tracing collects what a trace delivers.
type tracing struct {
	network *network
	options TraceOptions
	// layer is whose attention is asked for, qkv those of its last turn.
	layer   string
	qkv     *gorgonia.Node
	results []graph.Result
	moments []Moment
}

func (b *tracing) deliver(name string, node *gorgonia.Node) string {
	b.results = append(b.results, graph.Result{Name: name, Node: node})
	return name
}

// add delivers what is asked for of a moment. The states of the last one are delivered as the segment's.
func (b *tracing) add(r reading, last bool) {
	at := fmt.Sprintf("%d.%d", r.cycle, r.step)
	moment := Moment{Output: b.deliver("logits."+at, b.network.decode(r.answer)), Cycle: r.cycle, Step: r.step}
	state := func(i int, name string) string {
		if last {
			return name + ".next"
		}
		return b.deliver(name+"."+at, r.z[i])
	}
	if b.options.States && r.whole {
		moment.ZH = state(0, "zH")
		moment.ZL = moment.ZH
	}
	if b.options.States && len(r.z) > 1 {
		moment.ZL = state(1, "zL")
	}
	if qkv := r.qkv[b.layer]; qkv != nil && qkv != b.qkv && (r.whole || b.options.Attention.Module == "L") {
		moment.QKV, b.qkv = b.deliver("qkv."+at, qkv), qkv
	}
	b.moments = append(b.moments, moment)
}
