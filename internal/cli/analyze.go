package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/analysis"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// analyzeFlags say what 'hrm analyze' looks at.
type analyzeFlags struct {
	model        modelFlags
	data         string
	split        string
	trajectories int
	segments     int
	untrained    bool
	seed         int64
	attention    string
	halting      int
	pictures     string
	json         bool
}

func (a *app) analyzeCommand() *cobra.Command {
	var f analyzeFlags
	c := &cobra.Command{
		Use:   "analyze",
		Short: "Look into a model while it reasons: dimensions, convergence, trajectories, attention",
		Long: `analyze lets a trained model reason about held-out puzzles, and measures its states zH and zL on the way, as the paper
"Hierarchical Reasoning Model" (arXiv 2506.21734) does:

  participation ratio  (Σλ)²/Σλ² over the eigenvalues of the states' covariance: how many dimensions the states use, by
                       the number of puzzles. --untrained compares with a model of the same shape and freshly drawn weights.
  forward residual     ‖z(t+1) − z(t)‖ of each update: how a module converges, and begins anew
  answers              what is decoded after every low-level step: right, changed, and how sure the model is
  trajectories         the states of the first puzzle along their two principal components
  segments used        after how many segments examples halt by themselves, by how hard they are: by rating where the dataset
                       has ratings, else by the cells that a puzzle leaves open
  attention            with --attention, the weights of a layer for the first puzzle, and how widely each head looks. They are computed
                       from the layer's queries and keys, which every device can give.

It prints tables, with --json one document; --pictures draws the same as SVG, and attention as PNG. docs/analysis.md tells the methods.`,
		Example: `  hrm analyze --store ./run
  hrm analyze --store ./run --untrained --pictures ./pictures
  hrm analyze --checkpoint ./checkpoint --data ./sudoku --trajectories 20 --attention H1 --pictures ./pictures
  hrm analyze --store ./run --json > analysis.json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return a.analyze(c.Context(), f) },
	}
	f.model.add(c)
	flags := c.Flags()
	flags.StringVar(&f.data, "data", "", "directory of a dataset; the one that the job trained on if not set")
	flags.StringVar(&f.split, "split", dataset.Test, "which half of it: train or test")
	flags.IntVar(&f.trajectories, "trajectories", 100, "puzzles to reason about, from all over the half")
	flags.IntVar(&f.segments, "segments", 0, "segments that the model thinks for; those of its job's evaluation if not set")
	flags.BoolVar(&f.untrained, "untrained", false, "also measure freshly drawn weights")
	flags.Int64Var(&f.seed, "seed", 0, "seed of the weights of --untrained")
	flags.StringVar(&f.attention, "attention", "", "layer whose attention is wanted, as in H1 or L4; none if not set")
	flags.IntVar(&f.halting, "halting", 200, "examples for the segments used; 0 leaves them out")
	flags.StringVar(&f.pictures, "pictures", "", "directory for pictures; none are drawn if not set")
	flags.BoolVar(&f.json, "json", false, "print one JSON document")
	return c
}

// maxTrajectories bounds a command line that was mistyped.
const maxTrajectories = 1 << 20

func (f *analyzeFlags) check() (*model.AttentionLayer, error) {
	switch {
	case f.split != dataset.Train && f.split != dataset.Test:
		return nil, usageError{fmt.Errorf("--split %s: want train or test", f.split)}
	case f.trajectories < 1 || f.trajectories > maxTrajectories:
		return nil, usageError{fmt.Errorf("--trajectories %d: want 1 to %d", f.trajectories, maxTrajectories)}
	case f.segments < 0 || f.segments > maxSegments:
		return nil, usageError{fmt.Errorf("--segments %d: want 1 to %d", f.segments, maxSegments)}
	case f.halting < 0:
		return nil, usageError{fmt.Errorf("--halting %d: want a number from 0", f.halting)}
	}
	return parseLayer(f.attention)
}

var layerForm = regexp.MustCompile(`^([HL])([1-9][0-9]{0,3})$`)

// parseLayer reads the name of a layer, as in H1; none of no text.
func parseLayer(text string) (*model.AttentionLayer, error) {
	if text == "" {
		return nil, nil
	}
	match := layerForm.FindStringSubmatch(text)
	if match == nil {
		return nil, usageError{fmt.Errorf("--attention %s: want a module and a layer from 1, as in H1 or L4", text)}
	}
	number, err := strconv.Atoi(match[2])
	return &model.AttentionLayer{Module: match[1], Layer: number}, err
}

// analysisReport is the document of --json.
type analysisReport struct {
	Checkpoint string                `json:"checkpoint"`
	Task       string                `json:"task"`
	Split      string                `json:"split"`
	Segments   int                   `json:"segments"`
	HiddenSize int                   `json:"hiddenSize"`
	Positions  int                   `json:"positions"`
	Trained    *analysis.Observation `json:"trained"`
	Untrained  *analysis.Observation `json:"untrained,omitempty"`
	// Halting is by difficulty: by rating, or by open cells.
	Difficulty string           `json:"difficulty,omitempty"`
	Halting    []haltingBand    `json:"halting,omitempty"`
	Attention  *attentionReport `json:"attention,omitempty"`
	Seconds    float64          `json:"seconds"`
	notes      []string
}

// attentionReport is what there is to say of a layer's attention in numbers.
type attentionReport struct {
	Layer     string `json:"layer"`
	Positions int    `json:"positions"`
	// Entropies are those of the heads, in bits.
	Entropies []float64 `json:"entropyBits"`
	// Map [T,T] is the mean over the heads; it is left out where it has more than a million numbers.
	Map []float32 `json:"map,omitempty"`
}

func (a *app) analyze(ctx context.Context, f analyzeFlags) error {
	layer, err := f.check()
	if err != nil {
		return err
	}
	m, err := a.openModel(ctx, &f.model)
	if err != nil {
		return err
	}
	defer m.close()
	data, err := m.examples(ctx, f.data, f.split)
	if err != nil {
		return err
	}
	if f.segments == 0 {
		f.segments = m.job.Spec.EvaluationSegments()
	}
	began := time.Now()
	r := &analysisReport{
		Checkpoint: m.ref, Task: string(data.task), Split: f.split, Segments: f.segments,
		HiddenSize: int(m.job.Spec.Model.HiddenSize), Positions: m.network.Model.Positions(),
	}
	if r.Trained, err = a.observe(ctx, f, m, data, layer, "trained"); err != nil {
		return err
	}
	if err := r.addHalting(ctx, f, m, data); err != nil {
		return err
	}
	r.addAttention(f.attention)
	if f.untrained {
		if err := m.network.Initialize(f.seed); err != nil {
			return err
		}
		if r.Untrained, err = a.observe(ctx, f, m, data, nil, "untrained"); err != nil {
			return err
		}
	}
	r.Seconds = round(time.Since(began).Seconds(), 1000)
	if f.pictures != "" {
		if err := r.draw(f.pictures); err != nil {
			return err
		}
	}
	return a.printAnalysis(f, r)
}

// observe measures the states of the network as it is.
func (a *app) observe(ctx context.Context, f analyzeFlags, m *trainedModel, data evalData, layer *model.AttentionLayer, weights string) (*analysis.Observation, error) {
	indices := spread(f.trajectories, data.Examples())
	note := seldom(10*time.Second, time.Now, func(text string) { a.log.Info(text) })
	seen, err := analysis.Observe(ctx, m.network, data.SeqLen, f.segments, analysis.Examples{Count: len(indices), Read: func(i int) loop.Batch {
		inputs, labels := data.Example(indices[i])
		return loop.Batch{Inputs: inputs, Labels: labels, Puzzles: []int32{data.Identifier(indices[i])}}
	}}, layer, func(done int) { note(weights+" weights", done, len(indices)) })
	if errors.Is(err, model.ErrNoLayer) {
		return nil, usageError{fmt.Errorf("--attention: %w", err)}
	}
	return seen, err
}

func (r *analysisReport) addAttention(layer string) {
	a := r.Trained.Attention
	if a == nil {
		return
	}
	r.Attention = &attentionReport{Layer: layer, Positions: a.Positions}
	for head := range a.Heads {
		r.Attention.Entropies = append(r.Attention.Entropies, a.Entropy(head))
	}
	if a.Positions*a.Positions <= 1_000_000 {
		r.Attention.Map = a.Mean()
	}
}

// haltingBand is how examples that are about as hard halt.
type haltingBand struct {
	bandReport
	MeanSegments float64 `json:"meanSegments"`
}

// addHalting measures after how many segments examples halt by themselves.
func (r *analysisReport) addHalting(ctx context.Context, f analyzeFlags, m *trainedModel, data evalData) error {
	if f.halting == 0 {
		return nil
	}
	if m.job.Spec.Model.ACT.Halting == v1alpha1.HaltingFixed {
		r.notes = append(r.notes, "segments used: the model was trained with model.act.halting Fixed, so that it does not halt by itself")
		return nil
	}
	examples := data.First(f.halting)
	e, err := loop.NewEvaluator(m.network, max(1, min(64, len(examples))), data.SeqLen, 1)
	if err != nil {
		return err
	}
	r.Difficulty = "rating"
	difficulty := data.Rating
	if _, rated := data.Rating(int(examples[0])); !rated {
		r.Difficulty = "open cells"
		difficulty = func(example int) (int32, bool) { return openCells(data, example), true }
	}
	answers := newFigures(data, nil)
	answers.rating = difficulty
	used := make([]int, len(bandEdges))
	err = e.Pass(ctx, loop.Pass{Data: data.Dataset, Examples: examples, ACT: f.segments, Visit: func(x loop.Reading) error {
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

func (a *app) printAnalysis(f analyzeFlags, r *analysisReport) error {
	if f.json {
		for _, note := range r.notes {
			a.log.Info(note)
		}
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	_, err := fmt.Fprint(a.out, r.text())
	return err
}
