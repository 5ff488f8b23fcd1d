package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/analysis"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// analyst measures what a network does while it reasons: for 'hrm analyze', and at the end of training.
type analyst struct {
	network *loop.Network
	data    evalData
	split   string
	// trajectories is the number of examples to reason about, segments for how long each; halting that of the examples for the
	// segments used, 0 for none.
	trajectories, segments, halting int
	attention                       []model.AttentionLayer
	// untrained also measures weights drawn by seed.
	untrained bool
	seed      int64
	note      func(string)
}

// haltingExamples is how many examples the segments used are measured on if nothing else is asked for.
const haltingExamples = 200

// analysisReport is what an analyst finds, as a document.
type analysisReport struct {
	Checkpoint string                `json:"checkpoint"`
	Step       int64                 `json:"step"`
	Task       string                `json:"task"`
	Split      string                `json:"split"`
	Segments   int                   `json:"segments"`
	HiddenSize int                   `json:"hiddenSize"`
	Positions  int                   `json:"positions"`
	Trained    *analysis.Observation `json:"trained"`
	Untrained  *analysis.Observation `json:"untrained,omitempty"`
	// Halting is by difficulty: by rating, or by open cells.
	Difficulty string            `json:"difficulty,omitempty"`
	Halting    []haltingBand     `json:"halting,omitempty"`
	Attention  []attentionReport `json:"attention,omitempty"`
	Notes      []string          `json:"notes,omitempty"`
	Seconds    float64           `json:"seconds"`
}

// attentionReport is what there is to say of a layer's attention in numbers.
type attentionReport struct {
	Layer     string `json:"layer"`
	Positions int    `json:"positions"`
	// Entropies are those of the heads, in bits.
	Entropies []float64 `json:"entropyBits"`
	// Map [T,T] is the mean over the heads; the maps are left out where they have more than a million numbers together.
	Map []float32 `json:"map,omitempty"`
}

// maxMapNumbers bounds what a document holds of maps.
const maxMapNumbers = 1_000_000

// haltingBand is how examples that are about as hard halt.
type haltingBand struct {
	bandReport
	MeanSegments float64 `json:"meanSegments"`
}

// document is the report as JSON.
func (r *analysisReport) document() ([]byte, error) {
	document, err := json.MarshalIndent(r, "", "  ")
	return append(document, '\n'), err
}

// measure measures everything.
func (a analyst) measure(ctx context.Context) (*analysisReport, error) {
	began, m := time.Now(), a.network.Model
	r := &analysisReport{Task: string(a.data.task), Split: a.split, Segments: a.segments, HiddenSize: int(m.Spec.HiddenSize), Positions: m.Positions()}
	var err error
	if r.Trained, err = a.observe(ctx, a.network, a.attention, "trained"); err != nil {
		return nil, err
	}
	if err := a.addHalting(ctx, r); err != nil {
		return nil, err
	}
	a.addAttention(r)
	if a.untrained {
		if r.Untrained, err = a.observeUntrained(ctx); err != nil {
			return nil, err
		}
	}
	r.Seconds = round(time.Since(began).Seconds(), 1000)
	return r, nil
}

// observe measures the states of a network.
func (a analyst) observe(ctx context.Context, n *loop.Network, layers []model.AttentionLayer, weights string) (*analysis.Observation, error) {
	indices := spread(a.trajectories, a.data.Examples())
	note := seldom(10*time.Second, time.Now, a.note)
	return analysis.Observe(ctx, n, a.data.SeqLen, a.segments, analysis.Examples{Count: len(indices), Read: func(i int) loop.Batch {
		inputs, labels := a.data.Example(indices[i])
		return loop.Batch{Inputs: inputs, Labels: labels, Puzzles: []int32{a.data.Identifier(indices[i])}}
	}}, layers, func(done int) { note(weights+" weights", done, len(indices)) })
}

// observeUntrained measures a network of the same shape beside the trained one, which keeps its weights.
func (a analyst) observeUntrained(ctx context.Context) (_ *analysis.Observation, err error) {
	fresh, err := loop.NewNetwork(a.network.Device, a.network.Model, false)
	if err != nil {
		return nil, fmt.Errorf("a network with untrained weights: %w", err)
	}
	defer func() { err = errors.Join(err, fresh.Close()) }()
	if err := fresh.Initialize(a.seed); err != nil {
		return nil, err
	}
	return a.observe(ctx, fresh, nil, "untrained")
}

func (a analyst) addAttention(r *analysisReport) {
	for i, seen := range r.Trained.Attention {
		one := attentionReport{Layer: a.attention[i].String(), Positions: seen.Positions}
		for head := range seen.Heads {
			one.Entropies = append(one.Entropies, seen.Entropy(head))
		}
		if len(a.attention)*seen.Positions*seen.Positions <= maxMapNumbers {
			one.Map = seen.Mean()
		}
		r.Attention = append(r.Attention, one)
	}
}

// addHalting measures after how many segments examples halt by themselves.
func (a analyst) addHalting(ctx context.Context, r *analysisReport) error {
	if a.halting == 0 {
		return nil
	}
	if a.network.Model.Spec.ACT.Halting == v1alpha1.HaltingFixed {
		r.Notes = append(r.Notes, "segments used: the model was trained with model.act.halting Fixed, so that it does not halt by itself")
		return nil
	}
	examples := a.data.First(a.halting)
	e, err := loop.NewEvaluator(a.network, max(1, min(64, len(examples))), a.data.SeqLen, 1)
	if err != nil {
		return err
	}
	r.Difficulty = "rating"
	difficulty := a.data.Rating
	if _, rated := a.data.Rating(int(examples[0])); !rated {
		r.Difficulty = "open cells"
		difficulty = func(example int) (int32, bool) { return openCells(a.data, example), true }
	}
	answers := newFigures(a.data, nil)
	answers.rating = difficulty
	used := make([]int, len(bandEdges))
	err = e.Pass(ctx, loop.Pass{Data: a.data.Dataset, Examples: examples, ACT: a.segments, Visit: func(x loop.Reading) error {
		answers.add(x)
		if d, ok := difficulty(x.Example); ok {
			used[band(d)] += x.Segments
		}
		return nil
	}})
	for _, b := range answers.byRating() {
		r.Halting = append(r.Halting, haltingBand{b, float64(used[band(b.From)]) / float64(b.Examples)})
	}
	return err
}

// openCells counts the cells of a puzzle that its solution changes.
func openCells(data evalData, example int) (open int32) {
	inputs, labels := data.Example(example)
	for i, label := range labels {
		if label != dataset.IgnoreLabel && label != inputs[i] {
			open++
		}
	}
	return open
}
