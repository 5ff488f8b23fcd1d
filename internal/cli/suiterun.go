package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/hrm-operator/hrm-operator/trainer/suite"
)

// suiteRunFlags are the choices of 'hrm suite run'.
type suiteRunFlags struct {
	suite  suiteFlags
	local  bool
	dryRun bool
	output string
	watch  bool
	train  trainFlags
	kube   kubeFlags
}

func (a *app) suiteRunCommand() *cobra.Command {
	var f suiteRunFlags
	c := &cobra.Command{
		Use:   "run -f suite.yaml",
		Short: "Train every job of a suite",
		Long: `run makes a job of every combination of a suite's matrix, in a cluster. Those that exist already are left alone; one that exists
and is not as the suite wants it is an error, and nothing is created. --watch follows them until all have ended. Ctrl-C leaves, and
they train on.

With --local they train on this machine, one after the other: those that have finished are passed over, the one that was
interrupted goes on, and one that fails does not keep the others from training. Ctrl-C saves, as with 'hrm train'.

The exit status is 1 if a job has failed.

Every job keeps its files in a place of its own, SUITE/RUN below --store or below the prefix of its own storage.`,
		Example: `  hrm suite run -f config/suites/act.yaml --dry-run
  kubectl hrm suite run -f config/suites/act.yaml -n research --watch
  hrm suite run -f config/suites/cpu/act.yaml --local --store ./suites
  hrm suite run -f config/suites/cpu/act.yaml --local --store ./suites --only halting=fixed --set training.steps=100`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return a.suiteRun(c.Context(), f) },
	}
	f.suite.add(c)
	flags := c.Flags()
	flags.BoolVar(&f.local, "local", false, "train on this machine, one job after the other")
	flags.StringVar(&f.suite.store, "store", "", "with --local, where the jobs' places are, instead of their own storage: a directory or s3://bucket/prefix")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only show the jobs")
	flags.StringVarP(&f.output, "output", "o", "", "with --dry-run, how to show them: yaml, or a table if not set")
	flags.BoolVar(&f.watch, "watch", false, "follow the jobs of the cluster until all have ended")
	f.train.addMachine(c)
	f.kube.add(c)
	return c
}

func (a *app) suiteRun(ctx context.Context, f suiteRunFlags) error {
	switch {
	case f.output != "" && f.output != "yaml":
		return usageError{fmt.Errorf("--output %s: want yaml", f.output)}
	case f.output != "" && !f.dryRun:
		return usageError{errors.New("--output shows jobs: add --dry-run")}
	case f.watch && (f.local || f.dryRun):
		return usageError{errors.New("--watch is for jobs of a cluster: leave --local and --dry-run out")}
	case f.suite.store != "" && !f.local:
		return usageError{errors.New("--store is for jobs that train on this machine: add --local")}
	}
	s, runs, err := a.loadSuite(f.suite)
	switch {
	case err != nil:
		return err
	case f.output == "yaml":
		return a.printJobYAML(runs)
	case f.dryRun:
		return a.printRuns(s, runs)
	case !f.local:
		return a.createSuite(ctx, f, s, runs)
	}
	return a.trainSuite(ctx, f, runs)
}

// printJobYAML prints the jobs as kubectl takes them.
func (a *app) printJobYAML(runs []suite.Run) error {
	for _, r := range runs {
		raw, err := yaml.Marshal(r.Job)
		if err != nil {
			return fmt.Errorf("job %s: %w", r.Name(), err)
		}
		if _, err := fmt.Fprintf(a.out, "---\n%s", raw); err != nil {
			return err
		}
	}
	return nil
}

// printRuns lists the runs with their values and places.
func (a *app) printRuns(s *suite.Suite, runs []suite.Run) error {
	table := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "JOB\t%s\tPLACE\n", strings.ToUpper(strings.Join(s.Axes(), "\t")))
	for _, r := range runs {
		fmt.Fprintf(table, "%s\t%s\t%s\n", r.Name(), strings.Join(r.Values, "\t"), r.Place)
	}
	return table.Flush()
}
