package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// sampleFlags say which puzzles to make up, and where to put them.
type sampleFlags struct {
	out     string
	puzzles int
	blanks  int
	seed    int64
	store   storeFlags
}

func (a *app) sampleCommand() *cobra.Command {
	var f sampleFlags
	c := &cobra.Command{
		Use:   "sample --out URI",
		Short: "Make up Sudoku puzzles, to try things out with",
		Long: `sample makes up Sudoku puzzles, each with one solution, and writes them as lines of 81 characters to a file or into a
bucket. They are easy and few: enough to see that a cluster trains, not to learn anything from.`,
		Example: "  hrm data sample --out puzzles.txt\n  hrm data sample --out s3://hrm/try/puzzles.txt --endpoint https://s3.example.org",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return a.sample(c.Context(), f) },
	}
	c.Flags().StringVar(&f.out, "out", "", "where the puzzles go: a file or s3://bucket/key")
	c.Flags().IntVar(&f.puzzles, "puzzles", 200, "how many")
	c.Flags().IntVar(&f.blanks, "blanks", 20, "blank cells in each, up to 50")
	c.Flags().Int64Var(&f.seed, "seed", 0, "the same seed makes the same puzzles")
	f.store.addBucket(c)
	return c
}

func (a *app) sample(ctx context.Context, f sampleFlags) error {
	switch {
	case f.out == "":
		return usageError{errors.New("--out is missing: name a file or s3://bucket/key")}
	case f.puzzles < 1 || f.puzzles > 100_000:
		return usageError{fmt.Errorf("--puzzles is %d: it must be from 1 to 100000", f.puzzles)}
	case f.blanks < 1 || f.blanks > 50:
		return usageError{fmt.Errorf("--blanks is %d: it must be from 1 to 50", f.blanks)}
	}
	base, err := f.store.config()
	if err != nil {
		return err
	}
	folder, name := splitURI(f.out)
	store, err := openStore(ctx, folder, base)
	if err != nil {
		return err
	}
	var text strings.Builder
	for number := range f.puzzles {
		text.WriteString(sudoku.Generate(f.seed, number, f.blanks).String() + "\n")
	}
	if _, err := store.Put(ctx, name, strings.NewReader(text.String()), int64(text.Len()), objectstore.Condition{}); err != nil {
		return fmt.Errorf("write %s: %w", f.out, err)
	}
	_, err = fmt.Fprintf(a.out, "%s: %d puzzles with %d blanks\n", store.URI(name), f.puzzles, f.blanks)
	return err
}

// splitURI splits the address of an object into that of its folder and its name.
func splitURI(uri string) (folder, name string) {
	scheme, rest, isURI := strings.Cut(uri, "://")
	if !isURI {
		return filepath.Dir(uri), filepath.Base(uri)
	}
	return scheme + "://" + path.Dir(rest), path.Base(rest)
}
