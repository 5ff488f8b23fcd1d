package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// analyzeFlags say what 'hrm analyze' looks at.
type analyzeFlags struct {
	model        modelFlags
	kube         kubeFlags
	data         string
	split        string
	trajectories int
	segments     int
	untrained    bool
	seed         int64
	attention    []string
	halting      int
	pictures     string
	json         bool
}

func (a *app) analyzeCommand() *cobra.Command {
	var f analyzeFlags
	c := &cobra.Command{
		Use:   "analyze [JOB]",
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
  attention            with --attention, the weights of layers for the first puzzle, and how widely each head looks. They are computed
                       from a layer's queries and keys, which every device can give.

The model is that of --store or --checkpoint, or of JOB, NAME or job/NAME in the cluster: the best one that it has saved, or that of --step.

It prints tables, with --json one document; --pictures draws the same as SVG, and attention as PNG. docs/analysis.md tells the methods.`,
		Example: `  hrm analyze --store ./run
  hrm analyze --store ./run --untrained --pictures ./pictures
  hrm analyze --checkpoint ./checkpoint --data ./sudoku --trajectories 20 --attention H1,L1 --pictures ./pictures
  hrm analyze --store ./run --json > analysis.json
  kubectl hrm analyze sudoku-extreme`,
		Args: atMost(1),
		RunE: func(c *cobra.Command, args []string) error { return a.analyze(c.Context(), f, args) },
	}
	f.model.add(c)
	f.kube.add(c)
	flags := c.Flags()
	flags.StringVar(&f.data, "data", "", "directory of a dataset; the one that the job trained on if not set")
	flags.StringVar(&f.split, "split", dataset.Test, "which half of it: train or test")
	flags.IntVar(&f.trajectories, "trajectories", 100, "puzzles to reason about, from all over the half")
	flags.IntVar(&f.segments, "segments", 0, "segments that the model thinks for; those of its job's evaluation if not set")
	flags.BoolVar(&f.untrained, "untrained", false, "also measure freshly drawn weights")
	flags.Int64Var(&f.seed, "seed", 0, "seed of the weights of --untrained")
	flags.StringSliceVar(&f.attention, "attention", nil, "layers whose attention is wanted, as in H1 or L4; none if not set")
	flags.IntVar(&f.halting, "halting", haltingExamples, "examples for the segments used; 0 leaves them out")
	flags.StringVar(&f.pictures, "pictures", "", "directory for pictures; none are drawn if not set")
	flags.BoolVar(&f.json, "json", false, "print one JSON document")
	return c
}

// maxTrajectories bounds a command line that was mistyped.
const maxTrajectories = 1 << 20

func (f *analyzeFlags) check() ([]model.AttentionLayer, error) {
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
	layers, err := layersNamed(f.attention)
	if err != nil {
		return nil, usageError{fmt.Errorf("--attention: %w", err)}
	}
	return layers, nil
}

// layersNamed are the layers of these names, each once.
func layersNamed[T ~string](names []T) (layers []model.AttentionLayer, err error) {
	for _, name := range names {
		layer, err := model.ParseAttentionLayer(string(name))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(layers, layer) {
			layers = append(layers, layer)
		}
	}
	return layers, nil
}

func (a *app) analyze(ctx context.Context, f analyzeFlags, args []string) error {
	layers, err := f.check()
	if err != nil {
		return err
	}
	if len(args) > 0 {
		if f.model.store.uri != "" || f.model.checkpoint != "" {
			return usageError{errors.New("a JOB excludes --store and --checkpoint")}
		}
		if err := f.model.store.toJob(ctx, &f.kube, args[0]); err != nil {
			return err
		}
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
	r, err := analyst{
		network: m.network, data: data, split: f.split, trajectories: f.trajectories, segments: f.segments, halting: f.halting,
		attention: layers, untrained: f.untrained, seed: f.seed, note: m.note,
	}.measure(ctx)
	if errors.Is(err, model.ErrNoLayer) {
		return usageError{fmt.Errorf("--attention: %w", err)}
	}
	if err != nil {
		return err
	}
	r.Checkpoint, r.Step = m.ref, m.step
	if f.pictures != "" {
		pictures, err := r.pictures()
		if err != nil {
			return err
		}
		if err := writePictures(f.pictures, pictures); err != nil {
			return err
		}
	}
	return a.printAnalysis(f, r)
}

// writePictures writes the files of --pictures into its directory.
func writePictures(dir string, pictures map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usageError{fmt.Errorf("--pictures: %w", err)}
	}
	for name, picture := range pictures {
		if err := os.WriteFile(filepath.Join(dir, name), picture, 0o644); err != nil {
			return usageError{fmt.Errorf("--pictures: %w", err)}
		}
	}
	return nil
}

func (a *app) printAnalysis(f analyzeFlags, r *analysisReport) error {
	if f.json {
		for _, note := range r.Notes {
			a.log.Info(note)
		}
		document, err := r.document()
		if err != nil {
			return err
		}
		_, err = a.out.Write(document)
		return err
	}
	_, err := fmt.Fprint(a.out, r.text())
	return err
}
