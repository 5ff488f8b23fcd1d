package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint/official"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// convertFlags are the choices of 'hrm checkpoint convert'.
type convertFlags struct {
	out string
	// To a checkpoint.
	config string
	set    []string
	// To a PyTorch file.
	compiled bool
	step     int64
	store    storeFlags
}

func (a *app) convertCommand() *cobra.Command {
	var f convertFlags
	c := &cobra.Command{
		Use:   "convert SOURCE --out PATH",
		Short: "Convert a checkpoint of the official PyTorch code to ours, or ours to such a one",
		Long: `convert turns a file that torch.save wrote into a checkpoint directory, which 'hrm eval', 'hrm solve' and 'hrm train
--weights' take, or a checkpoint into a file that torch.load reads, also with weights_only=True. What SOURCE is decides
the direction: a PyTorch file, or a checkpoint directory or a place (a directory or s3://bucket/prefix) that a job trained
into. Nothing that is there already is overwritten.

The tensors of a PyTorch file show the architecture and its sizes: HRM, TRM, or the Transformer that predicts directly. What
they do not show is read from the ` + official.ConfigName + ` that the official training writes: that of --config, or the one beside
SOURCE. Without one the published values are taken; of HRM these are numHeads 8, hCycles 2, lCycles 2, loss Stablemax,
act.maxSteps 16. --set overrides either. A wrong value shows in nothing but wrong answers.

Reading a PyTorch file executes nothing. What it holds besides tensors is refused by name.`,
		Example: `  hrm checkpoint convert step_26040 --out ./checkpoint
  hrm checkpoint convert model.pt --out ./checkpoint --set model.numHeads=4 --set model.act.maxSteps=8
  hrm checkpoint convert ./checkpoint --out model.pt
  hrm checkpoint convert ./run --step 5000 --out model.pt --compiled`,
		Args: atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("SOURCE is missing: name a PyTorch file, a checkpoint directory, or the place that a job trained into")}
			}
			if f.out == "" {
				return usageError{errors.New("--out is missing: name the directory, or the PyTorch file, to write")}
			}
			torch, err := isFile(args[0])
			if err != nil {
				return err
			}
			unfit := []string{"config", "set"}
			if torch {
				unfit = []string{"compiled", "step"}
			}
			for _, name := range unfit {
				if c.Flags().Changed(name) {
					return usageError{fmt.Errorf("--%s is for the other direction: %s is %s", name, args[0], sourceKind(torch))}
				}
			}
			if torch {
				return a.fromTorch(args[0], f)
			}
			return a.toTorch(c.Context(), args[0], f)
		},
	}
	c.Flags().StringVar(&f.out, "out", "", "what to write: a directory, or a PyTorch file if SOURCE is a checkpoint of ours")
	c.Flags().StringVar(&f.config, "config", "", "the official training's "+official.ConfigName+"; the one beside SOURCE if not set")
	c.Flags().StringArrayVar(&f.set, "set", nil, "set a field that the tensors do not show, as in model.numHeads=4; may be repeated")
	c.Flags().BoolVar(&f.compiled, "compiled", false, "name the tensors as those of a compiled model: _orig_mod.model.inner.…")
	c.Flags().Int64Var(&f.step, "step", -1, "step of the checkpoint in a place that a job trained into; the best one if not set")
	f.store.addBucket(c)
	return c
}

// isFile says whether a source is a file, which can only be PyTorch's: a checkpoint is a directory, or in a store.
func isFile(source string) (bool, error) {
	if strings.Contains(source, "://") {
		return false, nil
	}
	info, err := os.Stat(source)
	if err != nil {
		return false, usageError{err}
	}
	return !info.IsDir(), nil
}

func sourceKind(torch bool) string {
	if torch {
		return "a PyTorch file"
	}
	return "a checkpoint, or holds some"
}

// contents says how many tensors there are, and of which types.
func contents(tensors map[string]checkpoint.Tensor) string {
	types := map[checkpoint.DType]int{}
	numbers := 0
	for _, t := range tensors {
		types[t.DType]++
		numbers += t.Elements()
	}
	var parts []string
	for dtype, n := range types {
		parts = append(parts, fmt.Sprintf("%d %s", n, dtype))
	}
	slices.Sort(parts)
	return fmt.Sprintf("%d tensors (%s) of %d numbers", len(tensors), strings.Join(parts, ", "), numbers)
}

// convertible refuses what no PyTorch file is of.
func convertible(m *v1alpha1.ModelSpec) error {
	if model.Shows(m.Architecture) {
		return nil
	}
	return usageError{fmt.Errorf("architecture %s is not converted: the official code has none, and its tensors do not show it; keep the checkpoint as it is", m.Architecture)}
}

// option is a field of a model's spec, and whether it is set.
type option struct {
	name  string
	value any
	set   bool
}

func (o option) String() string { return fmt.Sprintf("model.%s=%v", o.name, o.value) }

// hidden are the options that no tensor shows.
func hidden(m *v1alpha1.ModelSpec) []option {
	list := []option{{"numHeads", m.NumHeads, m.NumHeads != 0}}
	if m.Architecture == v1alpha1.ArchitectureHRM || m.Architecture == v1alpha1.ArchitectureTRM {
		list = append(list, option{"hCycles", m.HCycles, m.HCycles != 0})
	}
	if m.TwoLevels() {
		list = append(list, option{"lCycles", m.LCycles, m.LCycles != 0})
	}
	if m.Architecture == v1alpha1.ArchitectureTRM {
		list = append(list, option{"puzzleEmbeddingPositions", m.PuzzlePositions(), m.PuzzleEmbeddingPositions != 0})
	}
	if m.Architecture == v1alpha1.ArchitectureUniversalTransformer {
		list = append(list, option{"layers", m.Layers, m.Layers != 0})
	}
	return append(list, option{"loss", m.Loss, m.Loss != ""}, option{"act.maxSteps", m.ACT.MaxSteps, m.ACT.MaxSteps != 0})
}
