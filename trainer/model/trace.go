package model

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

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
	// Attention are different layers whose queries, keys and values are delivered whenever their module has its turn.
	Attention []AttentionLayer
}

// AttentionLayer names a layer of a module.
type AttentionLayer struct {
	// Module is "H" or "L"; a Transformer's only one is "H", TRM's "L".
	Module string
	// Layer counts from 1.
	Layer int
}

// String is the layer's name, as in H1.
func (a AttentionLayer) String() string { return fmt.Sprintf("%s%d", a.Module, a.Layer) }

var layerForm = regexp.MustCompile(`^([HL])([1-9][0-9]{0,3})$`)

// ParseAttentionLayer reads the name of a layer, as in H1.
func ParseAttentionLayer(name string) (AttentionLayer, error) {
	match := layerForm.FindStringSubmatch(name)
	if match == nil {
		return AttentionLayer{}, fmt.Errorf("%q names no layer: want a module and a layer from 1, as in H1 or L4", name)
	}
	number, err := strconv.Atoi(match[2])
	return AttentionLayer{Module: match[1], Layer: number}, err
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
	// QKV names the queries, keys and values [T,3D] of each layer that is asked for; empty where its module had no turn.
	QKV []string
}

// BuildTrace builds the trace of a model.
func BuildTrace(m *Model, o TraceOptions) (*Trace, error) {
	if _, ok := architectures[m.Spec.Architecture]; !ok {
		return nil, fmt.Errorf("architecture %q has no intermediate answers to show", m.Spec.Architecture)
	}
	n := newNetwork(m, 1)
	b := tracing{network: n, options: o, qkv: make([]*gorgonia.Node, len(o.Attention))}
	for _, a := range o.Attention {
		at, err := layerAsked(m, a)
		if err != nil {
			return nil, err
		}
		b.layers = append(b.layers, at)
	}
	var readings []reading
	z, e, _ := n.begin()
	z = n.architecture.segment(n, z, e, func(r reading) { readings = append(readings, r) })
	for i, r := range readings {
		b.add(r, i == len(readings)-1)
	}
	b.results = append(append(b.results, stateResults(m.States(), z)...), graph.Result{Name: "q", Node: n.qHead(z[0])})
	t := &Trace{Moments: b.moments}
	var err error
	if t.Program, err = n.Compile("trace", m.Activation, b.results); err != nil {
		return nil, fmt.Errorf("build the trace of %s: %w", m.Spec.Architecture, err)
	}
	return t, nil
}

// layerAsked is where the weights of a layer are.
func layerAsked(m *Model, a AttentionLayer) (string, error) {
	at := layerOf(map[string]string{"H": highLevel, "L": lowLevel}[a.Module], int32(a.Layer)-1)
	has := func(p Parameter) bool { return p.Name == at+"self_attn.qkv_proj.weight" }
	if !slices.ContainsFunc(m.Parameters, has) {
		return "", fmt.Errorf("%w: the model has no layer %s with attention", ErrNoLayer, a)
	}
	return at, nil
}

// tracing collects what a trace delivers.
type tracing struct {
	network *network
	options TraceOptions
	// layers are where those are whose attention is asked for, qkv the nodes of their last turns.
	layers  []string
	qkv     []*gorgonia.Node
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
	for i, layer := range b.options.Attention {
		name, qkv := "", r.qkv[b.layers[i]]
		if qkv != nil && qkv != b.qkv[i] && (r.whole || layer.Module == "L") {
			name, b.qkv[i] = b.deliver(fmt.Sprintf("qkv.%s.%s", layer, at), qkv), qkv
		}
		moment.QKV = append(moment.QKV, name)
	}
	b.moments = append(b.moments, moment)
}
