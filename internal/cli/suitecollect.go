package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/trainer/suite"
)

// suiteCollectFlags are the choices of 'hrm suite collect'.
type suiteCollectFlags struct {
	suite   suiteFlags
	table   string
	picture string
	json    bool
	measure bool
	scratch string
	cache   cacheFlags
	device  deviceFlags
}

func (a *app) suiteCollectCommand() *cobra.Command {
	var f suiteCollectFlags
	c := &cobra.Command{
		Use:   "collect -f suite.yaml",
		Short: "Compare what the jobs of a suite have come to",
		Long: `collect reads what the jobs of a suite have left in their places, and compares it: parameters, steps, speed, loss, and what they
have answered rightly of the examples that were held out. The jobs themselves need not exist any more. Those that have not
finished, or have failed, are shown as such.

Where the suite's evaluate.segments names numbers of segments, every finished model that has not been measured so yet is measured
now, on this machine; what it comes to is kept beside its checkpoints (evaluation.json), so that it is measured once.`,
		Example: `  hrm suite collect -f config/suites/cpu/act.yaml --store ./suites
  hrm suite collect -f config/suites/act.yaml --table act.md --picture act.svg   # from the bucket of the jobs
  hrm suite collect -f config/suites/cpu/act.yaml --store ./suites --json`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return a.suiteCollect(c.Context(), f) },
	}
	f.suite.add(c)
	flags := c.Flags()
	flags.StringVar(&f.suite.store, "store", "", "where the jobs' places are, instead of their own storage: a directory or s3://bucket/prefix")
	flags.StringVar(&f.table, "table", "", "write the question, the commands and the table to this file, as Markdown")
	flags.StringVar(&f.picture, "picture", "", "write a picture to this file, as SVG")
	flags.BoolVar(&f.json, "json", false, "print one JSON document")
	flags.BoolVar(&f.measure, "evaluate", true, "measure what has not been measured yet; --evaluate=false only reads")
	flags.StringVar(&f.scratch, "scratch", os.TempDir(), "directory for files that need not last")
	f.cache.add(c)
	f.device.add(c)
	return c
}

func (a *app) suiteCollect(ctx context.Context, f suiteCollectFlags) error {
	s, runs, err := a.loadSuite(f.suite)
	if err != nil {
		return err
	}
	results := make([]suite.Result, len(runs))
	var unmeasured error
	for i, r := range runs {
		results[i], err = a.collectRun(ctx, f, s, r)
		var failed measureError
		switch {
		case errors.As(err, &failed) && ctx.Err() == nil:
			unmeasured = errors.Join(unmeasured, fmt.Errorf("run %s is not measured: %w", r.Name(), err))
		case err != nil:
			return fmt.Errorf("run %s: %w", r.Name(), err)
		}
	}
	if f.picture != "" {
		if err := writeFile("--picture", f.picture, s.Picture(results).StandaloneSVG()); err != nil {
			return err
		}
	}
	if f.table != "" {
		if err := writeFile("--table", f.table, s.Markdown(results, f.commands(), f.pictureFromTable())); err != nil {
			return err
		}
	}
	return errors.Join(a.printResults(f, s, results), unmeasured)
}

// printResults prints results for people or for machines.
func (a *app) printResults(f suiteCollectFlags, s *suite.Suite, results []suite.Result) error {
	if f.json {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			Suite string         `json:"suite"`
			Runs  []suite.Result `json:"runs"`
		}{s.Metadata.Name, results})
	}
	t := s.Table(results)
	text := fmt.Sprintf("%s\n\n%s", s.Title(), table(append([][]string{t.Head}, t.Rows...)))
	if notes := suite.Notes(results); len(notes) > 0 {
		text += "\n" + strings.Join(notes, "\n") + "\n"
	}
	_, err := io.WriteString(a.out, text)
	return err
}

// commands are those that made the results, for whoever wants to make them again.
func (f *suiteCollectFlags) commands() []string {
	var chosen strings.Builder
	for _, only := range f.suite.only {
		chosen.WriteString(" --only " + only)
	}
	for _, set := range f.suite.set {
		chosen.WriteString(" --set " + set)
	}
	if f.suite.store == "" {
		return []string{
			fmt.Sprintf("kubectl hrm suite run -f %s%s", f.suite.file, &chosen),
			fmt.Sprintf("hrm suite collect -f %s%s", f.suite.file, &chosen),
		}
	}
	return []string{
		fmt.Sprintf("hrm suite run -f %s --local --store %s%s", f.suite.file, f.suite.store, &chosen),
		fmt.Sprintf("hrm suite collect -f %s --store %s%s", f.suite.file, f.suite.store, &chosen),
	}
}

// pictureFromTable is the picture's file as the table's names it.
func (f *suiteCollectFlags) pictureFromTable() string {
	if relative, err := filepath.Rel(filepath.Dir(f.table), f.picture); err == nil && f.picture != "" {
		return filepath.ToSlash(relative)
	}
	return f.picture
}

func writeFile(flag, name, text string) error {
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		return usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	return nil
}

// missing says that there is no such directory. Opening a store would make it.
func missing(place string) bool {
	if place == "" || strings.Contains(place, "://") {
		return false
	}
	_, err := os.Stat(place)
	return errors.Is(err, fs.ErrNotExist)
}
