package model

import (
	"fmt"
	"maps"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

// The modules, as the official checkpoints name them.
const (
	highLevel = "H_level."
	lowLevel  = "L_level."
)

const (
	rmsEpsilon = 1e-5
	ropeTheta  = 10000
	// qBias begins training with "do not halt".
	qBias = -5
)

// architecture is what makes a model one of its kind. Embedding, heads, losses and Q target are the same for all.
type architecture struct {
	// states are what is carried from segment to segment; the answer is read off the first one.
	states func(spec *v1alpha1.ModelSpec) []State
	// modules lists the weights of the layers.
	modules func(m *Model) []Parameter
	// segment updates the states z by the embedded input e. Where read is there, it is shown every moment at which an answer can
	// be read off.
	segment func(n *network, z []*gorgonia.Node, e *gorgonia.Node, read func(reading)) []*gorgonia.Node
	// module is the only one, if it has no layers by which its tensors show what they are of.
	module string
}

var architectures = map[v1alpha1.Architecture]architecture{
	v1alpha1.ArchitectureHRM:                     {states: hrmStates, modules: hrmModules, segment: hrmSegment},
	v1alpha1.ArchitectureTRM:                     {states: twoStates, modules: trmModules, segment: trmSegment},
	v1alpha1.ArchitectureTransformer:             {states: oneState, modules: transformerModules, segment: transformerSegment},
	v1alpha1.ArchitectureUniversalTransformer:    {states: oneState, modules: universalModules, segment: universalSegment},
	v1alpha1.ArchitectureElmanRNN:                {states: oneState, modules: elmanModules, segment: elmanSegment, module: recurrentModule},
	v1alpha1.ArchitectureClockworkRNN:            {states: oneState, modules: clockworkModules, segment: clockworkSegment, module: recurrentModule},
	v1alpha1.ArchitectureHierarchicalRNN:         {states: oneState, modules: hierarchicalModules, segment: hierarchicalSegment, module: recurrentModule},
	v1alpha1.ArchitectureMultiscaleRNN:           {states: twoStates, modules: multiscaleModules, segment: multiscaleSegment, module: recurrentModule},
	v1alpha1.ArchitectureMixtureOfRecursions:     {states: oneState, modules: mixtureModules, segment: mixtureSegment},
	v1alpha1.ArchitectureNeuralHistoryCompressor: {states: oneState, modules: compressorModules, segment: compressorSegment, module: recurrentModule},
	v1alpha1.ArchitectureFastWeights:             {states: oneState, modules: fastWeightsModules, segment: fastWeightsSegment, module: recurrentModule},
}

// reading is a moment of a segment, whose cycle and step count from 1.
type reading struct {
	cycle, step int
	// answer is what the first state is, or would be if it had its turn then.
	answer *gorgonia.Node
	// z are the states; whole says that the first one has had its turn with this step.
	z     []*gorgonia.Node
	whole bool
	// qkv are the queries, keys and values of each layer in its last turn so far.
	qkv map[string]*gorgonia.Node
}

// wholeReading is a moment of a segment with a single state, after a layer or another step.
func (n *network) wholeReading(cycle, step int, z *gorgonia.Node) reading {
	return reading{cycle, step, z, []*gorgonia.Node{z}, true, maps.Clone(n.qkv)}
}

func oneState(*v1alpha1.ModelSpec) []State { return []State{{Name: "zH", Init: HInit}} }

func twoStates(*v1alpha1.ModelSpec) []State {
	return []State{{Name: "zH", Init: HInit}, {Name: "zL", Init: LInit}}
}

// parameters lists a model's tensors with their initial distributions.
func parameters(m *Model) []Parameter {
	d := int(m.Spec.HiddenSize)
	embedding := func(name string, rows int) Parameter {
		return Parameter{Name: name, Shape: []int{rows, d}, Std: 1 / math.Sqrt(float64(d)), Trainable: true}
	}
	out := []Parameter{
		embedding("embed_tokens.embedding_weight", m.Shape.VocabSize),
		linear("lm_head.weight", m.Shape.VocabSize, d),
		{Name: "q_head.weight", Shape: []int{2, d}, Trainable: true},
		{Name: "q_head.bias", Shape: []int{2}, Constant: qBias, Trainable: true},
	}
	for _, s := range m.States() {
		out = append(out, Parameter{Name: s.Init, Shape: []int{d}, Std: 1})
	}
	if m.Prefix() > 0 {
		out = append(out, Parameter{Name: PuzzleTable, Shape: []int{m.Shape.NumPuzzleIdentifiers, m.Spec.PuzzleEmbedding()}})
	}
	if m.Spec.PositionEncoding == v1alpha1.PositionEncodingLearned {
		out = append(out, embedding(positionTable, m.Positions()))
	}
	return append(out, architectures[m.Spec.Architecture].modules(m)...)
}

func linear(name string, out, in int) Parameter {
	return Parameter{Name: name, Shape: []int{out, in}, Std: 1 / math.Sqrt(float64(in)), Trainable: true}
}

// mixingParameters are the weights by which the positions of a layer see each other.
func mixingParameters(m *Model, at string) []Parameter {
	d := int(m.Spec.HiddenSize)
	if m.Spec.Mixing == v1alpha1.MixingMLP {
		return swiGLUParameters(m, at+"mlp_t.", m.Positions())
	}
	return []Parameter{linear(at+"self_attn.qkv_proj.weight", 3*d, d), linear(at+"self_attn.o_proj.weight", d, d)}
}

// feedForwardParameters are the weights of a layer's other half.
func feedForwardParameters(m *Model, at string) []Parameter {
	return swiGLUParameters(m, at+"mlp.", int(m.Spec.HiddenSize))
}

func swiGLUParameters(m *Model, at string, size int) []Parameter {
	f := swiGLUWidth(size, int(m.Spec.Expansion))
	return []Parameter{linear(at+"gate_up_proj.weight", 2*f, size), linear(at+"down_proj.weight", size, f)}
}

// stackParameters are the weights of a module: those of its layers, and of its gate if there is one.
func stackParameters(m *Model, module string, layers int32) []Parameter {
	var out []Parameter
	for i := range layers {
		at := layerOf(module, i)
		out = append(append(out, mixingParameters(m, at)...), feedForwardParameters(m, at)...)
	}
	return append(out, gateParameters(m, module)...)
}

// gateParameters are zero, so that training begins with plain sums.
func gateParameters(m *Model, module string) []Parameter {
	if m.Spec.Combination != v1alpha1.CombinationGated {
		return nil
	}
	d := int(m.Spec.HiddenSize)
	return []Parameter{
		{Name: module + "gate.state.weight", Shape: []int{d, d}, Trainable: true},
		{Name: module + "gate.input.weight", Shape: []int{d, d}, Trainable: true},
	}
}

// network is a model on one graph.
type network struct {
	*graph.Graph
	model        *Model
	architecture architecture
	// parameters are the nodes by name.
	parameters map[string]*gorgonia.Node
	// qkv are the queries, keys and values of each layer in its last turn so far.
	qkv map[string]*gorgonia.Node
	// tokens [S] are those that the segment reads.
	tokens *gorgonia.Node
	// costs [B] are what segments so far minimize besides the loss of their answers.
	costs []*gorgonia.Node
}

// newNetwork declares the parameters on an empty graph. The programs do not depend on the batch size: one row will do.
func newNetwork(m *Model, batch int) *network {
	n := &network{Graph: graph.New(batch), model: m, architecture: architectures[m.Spec.Architecture], parameters: map[string]*gorgonia.Node{}, qkv: map[string]*gorgonia.Node{}}
	for _, p := range m.Parameters {
		if p.Name != PuzzleTable {
			n.parameters[p.Name] = n.Parameter(p.Name, p.Shape...)
		}
	}
	return n
}

// stack is a module: it takes the inputs into its state, and passes it through its layers.
func (n *network) stack(module string, layers int32, state *gorgonia.Node, inputs ...*gorgonia.Node) *gorgonia.Node {
	return n.pass(n.combine(module, state, inputs...), layers, layersOf(module), nil)
}

func layerOf(module string, i int32) string { return fmt.Sprintf("%slayers.%d.", module, i) }

// layersOf says where the halves of a module's layers are that share nothing.
func layersOf(module string) func(i int32) (mixing, feedForward string) {
	return func(i int32) (string, string) { return layerOf(module, i), layerOf(module, i) }
}

// pass takes x through layers, the weights of whose halves are where it is said, and shows it after each.
func (n *network) pass(x *gorgonia.Node, layers int32, halves func(i int32) (mixing, feedForward string), read func(reading)) *gorgonia.Node {
	for i := range layers {
		mixing, feedForward := halves(i)
		x = n.feedForward(feedForward, n.mix(mixing, x))
		if read != nil {
			read(n.wholeReading(1, int(i)+1, x))
		}
	}
	return x
}

// combine takes the inputs into a state: by adding them, or with a gate g = W·state + U·Σinputs as
// 2(σ(g)·state + σ(-g)·Σinputs), which is the same sum while W and U are zero.
func (n *network) combine(module string, state *gorgonia.Node, inputs ...*gorgonia.Node) *gorgonia.Node {
	if n.model.Spec.Combination != v1alpha1.CombinationGated {
		return n.Add(append([]*gorgonia.Node{state}, inputs...)...)
	}
	input := inputs[0]
	if len(inputs) > 1 {
		input = n.Add(inputs...)
	}
	gate := n.Add(n.Linear(state, n.parameters[module+"gate.state.weight"]), n.Linear(input, n.parameters[module+"gate.input.weight"]))
	return n.Gate(gate, state, input)
}

// mix is the first half of a layer, post-norm: x = rms(x + attention(x)). With an MLP, sum and norm are over the positions of
// each channel (official TRM, mlp_t).
func (n *network) mix(at string, x *gorgonia.Node) *gorgonia.Node {
	if n.model.Spec.Mixing == v1alpha1.MixingMLP {
		return n.Transpose(n.swiGLU(at+"mlp_t.", n.Transpose(x)))
	}
	n.qkv[at] = n.Linear(x, n.parameters[at+"self_attn.qkv_proj.weight"])
	attended := n.Attention(n.qkv[at], int(n.model.Spec.NumHeads), n.model.RoPETheta())
	return n.AddRMSNorm(x, n.Linear(attended, n.parameters[at+"self_attn.o_proj.weight"]), rmsEpsilon)
}

// feedForward is the second half of a layer, post-norm: x = rms(x + swiglu(x)).
func (n *network) feedForward(at string, x *gorgonia.Node) *gorgonia.Node {
	return n.swiGLU(at+"mlp.", x)
}

func (n *network) swiGLU(at string, x *gorgonia.Node) *gorgonia.Node {
	y := n.Linear(n.SwiGLU(n.Linear(x, n.parameters[at+"gate_up_proj.weight"])), n.parameters[at+"down_proj.weight"])
	return n.AddRMSNorm(x, y, rmsEpsilon)
}

// segment is the architecture's.
func (n *network) segment(z []*gorgonia.Node, e *gorgonia.Node) []*gorgonia.Node {
	return n.architecture.segment(n, z, e, nil)
}

// detach returns the states without their derivatives.
func (n *network) detach(z []*gorgonia.Node) []*gorgonia.Node {
	out := make([]*gorgonia.Node, len(z))
	for i := range z {
		out[i] = n.Detach(z[i])
	}
	return out
}

// qHead predicts the values of halting and of going on from the first position.
func (n *network) qHead(zH *gorgonia.Node) *gorgonia.Node {
	return n.QHead(zH, n.parameters["q_head.weight"], n.parameters["q_head.bias"])
}

// decode predicts the tokens: logits [S,V].
func (n *network) decode(zH *gorgonia.Node) *gorgonia.Node {
	return n.DropPrefix(n.Linear(zH, n.parameters["lm_head.weight"]), n.model.Prefix())
}

// begin declares the inputs of a segment: the states, reset where the row had halted, the embedded input, and the row of
// the puzzle table, which is nil without a prefix.
func (n *network) begin() (z []*gorgonia.Node, e, puzzle *gorgonia.Node) {
	m := n.model
	d, s, prefix := int(m.Spec.HiddenSize), m.Shape.SeqLen, m.Prefix()
	n.tokens = n.Input("tokens", graph.Int, s)
	if prefix > 0 {
		puzzle = n.Input("puzzle", graph.Float, m.Spec.PuzzleEmbedding())
	}
	halted := n.Input("halted", graph.Int)
	for _, state := range m.States() {
		z = append(z, n.Reset(n.Input(state.Name, graph.Activation, prefix+s, d), n.parameters[state.Init], halted))
	}
	e = n.Embed(n.tokens, n.parameters["embed_tokens.embedding_weight"], puzzle, n.parameters[positionTable], prefix)
	return z, e, puzzle
}
