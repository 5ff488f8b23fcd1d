package model

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

const (
	rmsEpsilon = 1e-5
	ropeTheta  = 10000
	// qBias begins training with "do not halt".
	qBias = -5
)

// hrm is the Hierarchical Reasoning Model (arXiv 2506.21734) on one graph. Letters are the paper's: zH and zL are the
// states of the high- and the low-level module, e the embedded input.
type hrm struct {
	*graph.Graph
	model *Model
	// nodes of the parameters by name; order is that of Model.Parameters.
	parameters map[string]*gorgonia.Node
	// qkv are the queries, keys and values of each layer in its last turn so far.
	qkv map[string]*gorgonia.Node
}

// buildHRM fills in the parameters and the programs.
func buildHRM(m *Model, globalBatch int) error {
	m.Parameters = hrmParameters(m)
	var err error
	if m.Train, err = hrmTrain(m, globalBatch); err != nil {
		return err
	}
	m.Eval, err = hrmEval(m)
	return err
}

// hrmParameters lists the tensors with their initial distributions.
func hrmParameters(m *Model) []Parameter {
	d, f := int(m.Spec.HiddenSize), swiGLUWidth(int(m.Spec.HiddenSize), int(m.Spec.Expansion))
	linear := func(name string, out, in int) Parameter {
		return Parameter{Name: name, Shape: []int{out, in}, Std: 1 / math.Sqrt(float64(in)), Trainable: true}
	}
	embedding := func(name string, rows int) Parameter {
		return Parameter{Name: name, Shape: []int{rows, d}, Std: 1 / math.Sqrt(float64(d)), Trainable: true}
	}
	out := []Parameter{
		embedding("embed_tokens.embedding_weight", m.Shape.VocabSize),
		linear("lm_head.weight", m.Shape.VocabSize, d),
		{Name: "q_head.weight", Shape: []int{2, d}, Trainable: true},
		{Name: "q_head.bias", Shape: []int{2}, Constant: qBias, Trainable: true},
		{Name: HInit, Shape: []int{d}, Std: 1},
		{Name: LInit, Shape: []int{d}, Std: 1},
	}
	if m.Prefix() > 0 {
		out = append(out, Parameter{Name: PuzzleTable, Shape: []int{m.Shape.NumPuzzleIdentifiers, m.Spec.PuzzleEmbedding()}})
	}
	if m.Spec.PositionEncoding == v1alpha1.PositionEncodingLearned {
		out = append(out, embedding(positionTable, m.Positions()))
	}
	for _, level := range []struct {
		name   string
		layers int32
	}{{"H", m.Spec.HLayers}, {"L", m.Spec.LLayers}} {
		for i := range level.layers {
			at := fmt.Sprintf("%s_level.layers.%d.", level.name, i)
			out = append(out,
				linear(at+"self_attn.qkv_proj.weight", 3*d, d), linear(at+"self_attn.o_proj.weight", d, d),
				linear(at+"mlp.gate_up_proj.weight", 2*f, d), linear(at+"mlp.down_proj.weight", d, f))
		}
	}
	return out
}

// newHRM declares the parameters on an empty graph. The programs do not depend on the batch size: one row will do.
func newHRM(m *Model, batch int) *hrm {
	h := &hrm{Graph: graph.New(batch), model: m, parameters: map[string]*gorgonia.Node{}, qkv: map[string]*gorgonia.Node{}}
	for _, p := range m.Parameters {
		if p.Name != PuzzleTable {
			h.parameters[p.Name] = h.Parameter(p.Name, p.Shape...)
		}
	}
	return h
}

// block is post-norm: x = rms(x + attention(x)); x = rms(x + swiglu(x)).
func (h *hrm) block(at string, x *gorgonia.Node) *gorgonia.Node {
	w := func(name string) *gorgonia.Node { return h.parameters[at+name] }
	h.qkv[at] = h.Linear(x, w("self_attn.qkv_proj.weight"))
	attended := h.Attention(h.qkv[at], int(h.model.Spec.NumHeads), h.model.RoPETheta())
	x = h.AddRMSNorm(x, h.Linear(attended, w("self_attn.o_proj.weight")), rmsEpsilon)
	return h.AddRMSNorm(x, h.Linear(h.SwiGLU(h.Linear(x, w("mlp.gate_up_proj.weight"))), w("mlp.down_proj.weight")), rmsEpsilon)
}

// fL is one update of the low-level module: zL = f_L(zL, zH + e).
func (h *hrm) fL(zL, zH, e *gorgonia.Node) *gorgonia.Node {
	zL = h.Add(zL, zH, e)
	for i := range h.model.Spec.LLayers {
		zL = h.block(fmt.Sprintf("L_level.layers.%d.", i), zL)
	}
	return zL
}

// fH is one update of the high-level module: zH = f_H(zH, zL).
func (h *hrm) fH(zH, zL *gorgonia.Node) *gorgonia.Node {
	zH = h.Add(zH, zL)
	for i := range h.model.Spec.HLayers {
		zH = h.block(fmt.Sprintf("H_level.layers.%d.", i), zH)
	}
	return zH
}

// segment runs hCycles times lCycles updates. All but the last of each module are without gradient: the one-step
// gradient (paper, section "Approximate gradient").
func (h *hrm) segment(zH, zL, e *gorgonia.Node) (*gorgonia.Node, *gorgonia.Node) {
	spec := h.model.Spec
	for i := range spec.HCycles {
		for j := range spec.LCycles {
			last := i == spec.HCycles-1 && j == spec.LCycles-1
			if last {
				zH, zL = h.Detach(zH), h.Detach(zL)
			}
			zL = h.fL(zL, zH, e)
		}
		zH = h.fH(zH, zL)
	}
	return zH, zL
}

// qHead predicts the values of halting and of going on from the first position.
func (h *hrm) qHead(zH *gorgonia.Node) *gorgonia.Node {
	return h.QHead(zH, h.parameters["q_head.weight"], h.parameters["q_head.bias"])
}

// begin declares the inputs of a segment: the states, reset where the row had halted, the embedded input, and the row of
// the puzzle table, which is nil without a prefix.
func (h *hrm) begin() (zH, zL, e, puzzle *gorgonia.Node) {
	m := h.model
	d, s, prefix := int(m.Spec.HiddenSize), m.Shape.SeqLen, m.Prefix()
	tokens := h.Input("tokens", graph.Int, s)
	if prefix > 0 {
		puzzle = h.Input("puzzle", graph.Float, m.Spec.PuzzleEmbedding())
	}
	halted := h.Input("halted", graph.Int)
	zH = h.Reset(h.Input("zH", graph.Activation, prefix+s, d), h.parameters[HInit], halted)
	zL = h.Reset(h.Input("zL", graph.Activation, prefix+s, d), h.parameters[LInit], halted)
	e = h.Embed(tokens, h.parameters["embed_tokens.embedding_weight"], puzzle, h.parameters[positionTable], prefix)
	return zH, zL, e, puzzle
}

// decode predicts the tokens: logits [S,V].
func (h *hrm) decode(zH *gorgonia.Node) *gorgonia.Node {
	return h.DropPrefix(h.Linear(zH, h.parameters["lm_head.weight"]), h.model.Prefix())
}

// forward is what training and evaluation share.
type forward struct {
	labels, puzzle, e, zH, zL, logits, q, lm, stats *gorgonia.Node
}

func (h *hrm) forward() forward {
	m := h.model
	f := forward{labels: h.Input("labels", graph.Int, m.Shape.SeqLen)}
	zH, zL, e, puzzle := h.begin()
	f.e, f.puzzle = e, puzzle
	f.zH, f.zL = h.segment(zH, zL, f.e)
	f.logits = h.decode(f.zH)
	f.q = h.qHead(f.zH)
	kind := device.Stablemax
	if m.Spec.Loss == v1alpha1.LossSoftmax {
		kind = device.Softmax
	}
	f.lm = h.LMLoss(f.logits, f.labels, kind)
	f.stats = h.TokenStats(f.logits, f.labels)
	return f
}

// results are the outputs that both programs have.
func (f forward) results() []graph.Result {
	return []graph.Result{
		{Name: "zH.next", Node: f.zH}, {Name: "zL.next", Node: f.zL}, {Name: "logits", Node: f.logits}, {Name: "q", Node: f.q},
		{Name: "loss.lm", Node: f.lm}, {Name: "stats", Node: f.stats},
	}
}

func hrmEval(m *Model) (*device.Program, error) {
	h := newHRM(m, 1)
	return h.Compile("evaluation", m.Activation, h.forward().results())
}

// hrmTrain is one step of deep supervision: a segment, the Q target from one more without gradient, the loss, and the
// gradients of all parameters.
func hrmTrain(m *Model, globalBatch int) (*device.Program, error) {
	h := newHRM(m, 1)
	results, err := h.train(globalBatch)
	if err != nil {
		return nil, err
	}
	return h.Compile("training", m.Activation, results)
}

func (h *hrm) train(globalBatch int) ([]graph.Result, error) {
	f := h.forward()
	results := f.results()
	var target *gorgonia.Node
	if act := h.model.Spec.ACT; act.MaxSteps > 1 && act.Halting != v1alpha1.HaltingFixed {
		next, _ := h.segment(h.Detach(f.zH), h.Detach(f.zL), h.Detach(f.e))
		target = h.QTarget(h.qHead(next), h.Input("last", graph.Int))
		results = append(results, graph.Result{Name: "q.target", Node: target})
	}
	lossQ := h.QLoss(f.q, f.stats, target)
	results = append(results, graph.Result{Name: "loss.q", Node: lossQ})
	cost := h.Cost(f.lm, lossQ, 1/float64(globalBatch))
	var leaves []*gorgonia.Node
	for _, p := range h.model.Parameters {
		if p.Trainable {
			leaves = append(leaves, h.parameters[p.Name])
		}
	}
	if f.puzzle != nil {
		leaves = append(leaves, f.puzzle)
	}
	gradients, err := h.Gradients(cost, leaves...)
	return append(results, gradients...), err
}
