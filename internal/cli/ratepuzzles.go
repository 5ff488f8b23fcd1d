package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
)

func (a *app) rateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rate [FILE|-]",
		Short: "Say how hard Sudokus are",
		Long: `rate reads Sudokus from a file or standard input, in any form that 'hrm data build sudoku' reads, and writes them as CSV
with the columns puzzle,rating to standard output. The rating is the number of guesses that a solver needs on average which
otherwise finds naked and hidden singles and locked candidates: 0 for puzzles that need none, about 40 for the hardest known.
It is the same for a puzzle in disguise: with other digits, or with rows and columns in another order.

A puzzle that has no solution, or several, ends it with its line number and exit code 65.`,
		Example: `  hrm data rate puzzles.csv.gz > rated.csv
  echo 85...24..72......9..4.........1.7..23.5...9...4...........8..7..17..........36.4. | hrm data rate`,
		Args: atMost(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "-" {
				return a.rate(c.Context(), "standard input", a.in)
			}
			f, err := os.Open(args[0])
			if err != nil {
				return usageError{err}
			}
			defer f.Close()
			return a.rate(c.Context(), args[0], f)
		},
	}
}

func (a *app) rate(ctx context.Context, source string, from io.Reader) error {
	puzzles, err := sudoku.Parse(ctx, source, from)
	if err != nil {
		return err
	}
	if err := a.rateAll(ctx, source, puzzles); err != nil {
		return err
	}
	out := bufio.NewWriter(a.out)
	fmt.Fprintln(out, "puzzle,rating")
	for i := range puzzles {
		fmt.Fprintf(out, "%s,%d\n", puzzles[i].Question, puzzles[i].Rating)
	}
	return out.Flush()
}

// rateAll checks the puzzles and rates them, whatever the source says.
func (a *app) rateAll(ctx context.Context, source string, puzzles []sudoku.Puzzle) error {
	show, done := a.buildProgress()
	defer done()
	if err := sudoku.Check(ctx, source, puzzles, func(n int) { show("check puzzles", n, len(puzzles)) }); err != nil {
		return err
	}
	for i := range puzzles {
		puzzles[i].Rating = sudoku.NoRating
	}
	return sudoku.RateMissing(ctx, puzzles, func(n int) { show("rate puzzles", n, len(puzzles)) })
}
