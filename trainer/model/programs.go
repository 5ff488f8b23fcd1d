package model

import (
	"errors"

	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

// forward is what training and evaluation share.
type forward struct {
	labels, puzzle, e    *gorgonia.Node
	z                    []*gorgonia.Node
	logits, q, lm, stats *gorgonia.Node
	// costs [B] are what the segment minimizes besides the loss of its answer.
	costs []*gorgonia.Node
}

func (n *network) forward() forward {
	m := n.model
	f := forward{labels: n.Input("labels", graph.Int, m.Shape.SeqLen)}
	z, e, puzzle := n.begin()
	f.e, f.puzzle = e, puzzle
	f.z = n.segment(z, f.e)
	f.costs = n.costs
	f.logits = n.decode(f.z[0])
	f.q = n.qHead(f.z[0])
	f.lm = n.tokenLoss(f.logits, f.labels)
	f.stats = n.TokenStats(f.logits, f.labels)
	return f
}

// tokenLoss is the mean loss [B] over the labelled tokens.
func (n *network) tokenLoss(logits, labels *gorgonia.Node) *gorgonia.Node {
	kind := device.Stablemax
	if n.model.Spec.Loss == v1alpha1.LossSoftmax {
		kind = device.Softmax
	}
	return n.LMLoss(logits, labels, kind)
}

// results are the outputs that both programs have.
func (f forward) results(states []State) []graph.Result {
	return append(stateResults(states, f.z),
		graph.Result{Name: "logits", Node: f.logits}, graph.Result{Name: "q", Node: f.q},
		graph.Result{Name: "loss.lm", Node: f.lm}, graph.Result{Name: "stats", Node: f.stats})
}

func stateResults(states []State, z []*gorgonia.Node) []graph.Result {
	out := make([]graph.Result, len(states))
	for i, s := range states {
		out[i] = graph.Result{Name: s.Name + ".next", Node: z[i]}
	}
	return out
}

func evalProgram(m *Model) (*device.Program, error) {
	n := newNetwork(m, 1)
	return n.Compile("evaluation", m.Activation, n.forward().results(m.States()))
}

// attempts are how often a long program is built until no two of its sums have the same hash, of which there is a chance of some
// percent if there are ten thousands of them.
const attempts = 10

func trainProgram(m *Model, globalBatch int) (*device.Program, error) {
	var n *network
	var results []graph.Result
	err := graph.ErrMerged
	for range attempts {
		if !errors.Is(err, graph.ErrMerged) {
			break
		}
		n = newNetwork(m, 1)
		results, err = n.train(globalBatch)
	}
	if err != nil {
		return nil, err
	}
	return n.Compile("training", m.Activation, results)
}

// train is one step of deep supervision: a segment, the Q target from one more without gradient if q_continue learns, the
// loss, and the gradients of all parameters.
func (n *network) train(globalBatch int) ([]graph.Result, error) {
	f := n.forward()
	results := f.results(n.model.States())
	var target *gorgonia.Node
	if act := n.model.Spec.ACT; act.MaxSteps > 1 && haltingRules[act.Halting].target {
		next := n.segment(n.detach(f.z), n.Detach(f.e))
		target = n.QTarget(n.qHead(next[0]), n.Input("last", graph.Int))
		results = append(results, graph.Result{Name: "q.target", Node: target})
	}
	lossQ := n.QLoss(f.q, f.stats, target)
	results = append(results, graph.Result{Name: "loss.q", Node: lossQ})
	cost := n.Cost(f.lm, lossQ, 1/float64(globalBatch), f.costs...)
	var leaves []*gorgonia.Node
	for _, p := range n.model.Parameters {
		if p.Trainable {
			leaves = append(leaves, n.parameters[p.Name])
		}
	}
	if f.puzzle != nil {
		leaves = append(leaves, f.puzzle)
	}
	gradients, err := n.Gradients(cost, leaves...)
	return append(results, gradients...), err
}
