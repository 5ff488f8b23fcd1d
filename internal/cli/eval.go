package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/trainer/loop"
)

// evalBatch is how many examples are evaluated at a time.
const evalBatch = 256

func (a *app) evalCommand() *cobra.Command {
	var f modelFlags
	var data string
	var limit, segments int
	c := &cobra.Command{
		Use:   "eval",
		Short: "Measure a checkpoint on held-out examples",
		Long: `eval runs a trained model on examples that it was never trained on and prints the share of examples that are wholly
right (exact) and of tokens that are right. The examples are those of --data, or of the dataset the job trained on.`,
		Example: `  hrm eval --store ./run
  hrm eval --checkpoint ./checkpoint --data ./sudoku --max-examples 1000`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := a.openModel(c.Context(), &f)
			if err != nil {
				return err
			}
			defer m.close()
			d, err := m.heldOut(c.Context(), data)
			if err != nil {
				return err
			}
			if err := m.compile(d.SeqLen); err != nil {
				return err
			}
			if segments == 0 {
				segments = int(m.job.Spec.Model.ACT.MaxSteps)
			}
			e, err := loop.NewEvaluator(m.network, min(evalBatch, d.Examples()), d.SeqLen, segments)
			if err != nil {
				return err
			}
			began := time.Now()
			result, err := e.Run(c.Context(), d, limit, nil)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%s: exact %.2f %%, tokens %.2f %%, of %d held-out examples, %d segments, in %.1f s\n",
				m.ref, 100*result.Exact, 100*result.Accuracy, result.Examples, segments, time.Since(began).Seconds())
			return err
		},
	}
	f.add(c)
	c.Flags().StringVar(&data, "data", "", "directory of a dataset whose held-out half is used")
	c.Flags().IntVar(&limit, "max-examples", 0, "number of examples; all if not set")
	c.Flags().IntVar(&segments, "segments", 0, "segments for each example; the model's act.maxSteps if not set")
	return c
}
