package cli

import (
	"context"
	"fmt"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
	"github.com/hrm-operator/hrm-operator/trainer/report"
)

// replayer lets a network reason about examples, for pages that show it.
type replayer struct {
	network  *loop.Network
	spec     *v1alpha1.HRMTrainingJobSpec
	data     evalData
	split    string
	segments int
}

// spread returns count indices from all over the examples.
func spread(count, examples int) []int {
	count = min(count, examples)
	list := make([]int, count)
	for k := range list {
		list[k] = k * examples / count
	}
	return list
}

// replays reasons about the examples of these indices.
func (r replayer) replays(ctx context.Context, indices []int) (list []report.Replay, err error) {
	tracer, err := loop.NewTracer(r.network, r.data.SeqLen, model.TraceOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tracer.Close() }()
	rules, palette := dataset.RulesOf(r.data.task, &r.data.Metadata), report.PaletteOf(r.data.task, &r.data.Metadata)
	for _, index := range indices {
		inputs, labels := r.data.Example(index)
		labels = knownLabels(labels)
		var thoughts []report.Thought
		batch := loop.Batch{Inputs: inputs, Labels: labels, Puzzles: []int32{r.data.Identifier(index)}}
		err := tracer.Trace(ctx, batch, r.segments, func(m loop.Moment) error {
			thoughts = append(thoughts, r.thought(m))
			return nil
		})
		if err != nil {
			return list, fmt.Errorf("%s %d: %w", r.split, index, err)
		}
		last := thoughts[len(thoughts)-1]
		known, solved, why := judge(rules, inputs, labels, last.Answer)
		replay, err := report.NewReplay(&palette, r.data.caption(r.split, index), inputs, labels, thoughts)
		if err != nil {
			return list, err
		}
		replay.Outcome = fmt.Sprintf("After %s: %s The model's own confidence: %.1f %%.", plural(int32(r.segments), "segment"), verdictText(known, solved, why), 100*last.Halting)
		list = append(list, replay)
	}
	return list, nil
}

func (r replayer) thought(m loop.Moment) report.Thought {
	t := report.Thought{Segment: m.Segment, Cycle: m.Cycle, Step: m.Step, Answer: m.Answer, Confidence: m.Confidence, End: m.End}
	if m.End {
		t.Halting = confidence(m.QHalt)
		t.Halts = r.spec.Model.ACT.Halting != v1alpha1.HaltingFixed && m.QHalt > m.QContinue
	}
	return t
}
