package loop

import (
	"context"
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Evaluation is how a network did on held-out examples.
type Evaluation struct {
	Examples int
	// Accuracy is the share of right tokens, averaged over examples; Exact is the share of wholly right examples.
	Accuracy, Exact float64
	// Scores are what the task's own scorer says, if it has one.
	Scores []dataset.Score
}

// Prediction is a network's answer to one example.
type Prediction struct {
	Inputs, Labels, Answer []int32
	// QHalt is the network's confidence that the answer is right, before the sigmoid.
	QHalt float32
}

// Evaluator runs a network without training it: a batch at a time with all segments, as the official evaluation does
// (Predict), or as a [Pass] says.
type Evaluator struct {
	network  *Network
	batch    int
	seqLen   int
	segments int
	arrays   map[string]device.Array

	// Memory that is used again: the input "halted", and the logits of one row [seqLen, vocabulary].
	halted []int32
	scores []float32
	// moved is what a row consists of while it moves to another place in the batch.
	moved []byte
}

// NewEvaluator allocates what an evaluation in batches needs.
func NewEvaluator(n *Network, batch, seqLen, segments int) (*Evaluator, error) {
	arrays, err := n.bindEvaluation(n.Model.Eval, batch)
	if err != nil {
		return nil, err
	}
	return &Evaluator{
		network: n, batch: batch, seqLen: seqLen, segments: segments, arrays: arrays,
		halted: make([]int32, batch), scores: make([]float32, arrays["logits"].Len()/batch),
	}, nil
}

// Predict answers the first rows examples of a batch that fills the evaluator.
func (e *Evaluator) Predict(ctx context.Context, b Batch, rows int) ([]Prediction, error) {
	if err := e.load(b); err != nil {
		return nil, err
	}
	for segment := range e.segments {
		if err := e.segment(ctx, segment == 0); err != nil {
			return nil, fmt.Errorf("segment %d: %w", segment+1, err)
		}
	}
	return e.answers(b, rows)
}

// load writes a batch to the device.
func (e *Evaluator) load(b Batch) error {
	if err := e.network.gatherPuzzles(e.arrays, b.Puzzles); err != nil {
		return err
	}
	if err := writeInput(e.arrays, "tokens", b.Inputs); err != nil {
		return err
	}
	return writeInput(e.arrays, "labels", b.Labels)
}

// segment runs one segment over all rows; the first one starts from the initial states.
func (e *Evaluator) segment(ctx context.Context, first bool) error {
	for i := range e.halted {
		e.halted[i] = bit(first)
	}
	if err := writeInput(e.arrays, "halted", e.halted); err != nil {
		return err
	}
	return e.network.eval.Run(ctx, e.batch, e.arrays)
}

// answers reads the logits of the last segment.
func (e *Evaluator) answers(b Batch, rows int) ([]Prediction, error) {
	q, err := device.ReadFloats(e.arrays["q"], 0, 2*rows)
	if err != nil {
		return nil, fmt.Errorf("read q: %w", err)
	}
	list := make([]Prediction, rows)
	for i := range list {
		if err := device.ReadFloatsInto(e.scores, e.arrays["logits"], i*len(e.scores)); err != nil {
			return nil, fmt.Errorf("read logits: %w", err)
		}
		at, end := i*e.seqLen, (i+1)*e.seqLen
		list[i] = Prediction{Inputs: b.Inputs[at:end], Labels: b.Labels[at:end], Answer: argmax(e.scores, e.seqLen), QHalt: q[2*i]}
	}
	return list, nil
}

// argmax returns the best token at each of the positions; of equals the first wins.
func argmax(scores []float32, positions int) []int32 {
	best := make([]int32, positions)
	argmaxInto(best, scores)
	return best
}

// argmaxInto is argmax for an answer that has its memory.
func argmaxInto(best []int32, scores []float32) {
	vocabulary := len(scores) / len(best)
	for i := range best {
		best[i] = 0
		row := scores[i*vocabulary : (i+1)*vocabulary]
		for token, s := range row {
			if s > row[best[i]] {
				best[i] = int32(token)
			}
		}
	}
}
