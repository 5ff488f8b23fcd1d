package cli

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
)

func (a *app) solveCommand() *cobra.Command {
	var f modelFlags
	var data string
	var index int
	c := &cobra.Command{
		Use:   "solve [PUZZLE]",
		Short: "Let a trained model solve a Sudoku, and check its answer",
		Long: `solve gives a Sudoku to a trained model, draws it before and after, and checks the answer: against the rules and,
where the puzzle comes from a dataset, against the stored solution. PUZZLE is 81 digits, 0 or . for a blank; without one
it is a held-out puzzle, which the model has never seen, of the dataset that the model was trained on or of --data.

The answer of the model is printed whether it is right or not; the exit code is 0 in both cases.`,
		Example: `  hrm solve --store ./run
  hrm solve --checkpoint ./checkpoint --data ./sudoku --index 7
  hrm solve --store ./run 53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79`,
		Args: atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			m, err := a.openModel(c.Context(), &f)
			if err != nil {
				return err
			}
			defer m.close()
			example, err := puzzleExample(c.Context(), m, args, data, index)
			if err != nil {
				return err
			}
			return a.solve(c.Context(), m, example)
		},
	}
	f.add(c)
	c.Flags().StringVar(&data, "data", "", "directory of a dataset whose held-out half is used")
	c.Flags().IntVar(&index, "index", 0, "which of the held-out puzzles")
	return c
}

// puzzleExample is the puzzle of the arguments, or a held-out one.
func puzzleExample(ctx context.Context, m *trainedModel, args []string, data string, index int) (loop.Batch, error) {
	if len(args) == 1 {
		board, err := sudoku.ParseBoard(args[0])
		if err != nil {
			return loop.Batch{}, usageError{fmt.Errorf("puzzle: %w", err)}
		}
		labels := make([]int32, sudoku.Cells)
		for i := range labels {
			labels[i] = dataset.IgnoreLabel
		}
		return loop.Batch{Inputs: board.Tokens(), Labels: labels, Puzzles: []int32{0}}, nil
	}
	d, err := m.heldOut(ctx, data)
	if err != nil {
		return loop.Batch{}, err
	}
	if index < 0 || index >= d.Examples() {
		return loop.Batch{}, usageError{fmt.Errorf("--index %d: there are %d held-out puzzles, counted from 0", index, d.Examples())}
	}
	inputs, labels := d.Example(index)
	return loop.Batch{Inputs: inputs, Labels: labels, Puzzles: []int32{d.BlankIdentifierID}}, nil
}

// solve asks the model and prints the board before and after.
func (a *app) solve(ctx context.Context, m *trainedModel, b loop.Batch) error {
	if len(b.Inputs) != sudoku.Cells {
		return usageError{errors.New("solve knows Sudoku only, and this dataset is about something else")}
	}
	if err := m.compile(sudoku.Cells); err != nil {
		return err
	}
	e, err := loop.NewEvaluator(m.network, 1, sudoku.Cells, int(m.job.Spec.Model.ACT.MaxSteps))
	if err != nil {
		return err
	}
	answers, err := e.Predict(ctx, b, 1)
	if err != nil {
		return err
	}
	puzzle, answer := sudoku.FromTokens(b.Inputs), sudoku.FromTokens(answers[0].Answer)
	_, err = fmt.Fprintf(a.out, "%s\n%s\n%s\n%s\n", boards(puzzle, answer), verdict(puzzle, answer, b.Labels),
		fmt.Sprintf("The model's own confidence: %.1f %%.", 100/(1+math.Exp(-float64(answers[0].QHalt)))), answer)
	return err
}

// verdict checks an answer by the rules, by the clues, and by the stored solution if there is one.
func verdict(puzzle, answer sudoku.Board, labels []int32) string {
	if answer.IsSolutionOf(puzzle) {
		return fmt.Sprintf("Solved: all %d blanks are right; rows, columns and boxes hold every digit once.", puzzle.Blanks())
	}
	solution, known := storedSolution(labels)
	if !known {
		var kind sudoku.Verdict
		if solution, kind = sudoku.Solve(puzzle); kind != sudoku.Unique {
			return "Not solved; and the puzzle does not have exactly one solution."
		}
	}
	wrong := 0
	for i := range answer {
		if answer[i] != solution[i] {
			wrong++
		}
	}
	return fmt.Sprintf("Not solved: %d of 81 cells are wrong.", wrong)
}

// storedSolution reads a dataset's labels, which are a whole board or nothing.
func storedSolution(labels []int32) (sudoku.Board, bool) {
	for _, l := range labels {
		if l < 0 {
			return sudoku.Board{}, false
		}
	}
	return sudoku.FromTokens(labels), true
}
