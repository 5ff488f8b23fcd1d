// Package cli is the hrm command: one file per subcommand. It turns arguments into calls of the trainer's packages, and
// their errors into messages and exit codes; it decides nothing about training.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// app is what all subcommands share.
type app struct {
	version string
	// plugin is set when the program was started as kubectl-hrm: names are then names of jobs in a cluster.
	plugin bool
	in     io.Reader
	out    io.Writer
	err    io.Writer
	log    *slog.Logger
}

// Main runs the command line and returns the exit code.
func Main(args []string, version string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	// A second signal ends the process at once, unless it comes with the first: timeout(1) sends one to the process and one to its group.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	return run(ctx, args, version, in, out, errOut)
}

func run(ctx context.Context, args []string, version string, in io.Reader, out, errOut io.Writer) int {
	a := &app{
		version: version, in: in, out: out, err: errOut,
		plugin: strings.HasPrefix(filepath.Base(args[0]), "kubectl-hrm"),
		log:    slog.New(slog.NewTextHandler(errOut, nil)),
	}
	root := a.root()
	root.SetArgs(args[1:])
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := dataset.Guarded(func() error { return root.ExecuteContext(ctx) })
	if silent := (statusError{}); err != nil && (!errors.As(err, &silent) || silent.error != nil) {
		a.complain(err)
		var usage usageError
		if errors.As(err, &usage) {
			fmt.Fprintf(errOut, "See '%s --help'.\n", root.CommandPath())
		}
	}
	return exitCode(err)
}

// complain says why the command failed: in a cluster as a line of the log, like all others there.
func (a *app) complain(err error) {
	if os.Getenv(jobVariable) != "" {
		a.log.Error(err.Error())
		return
	}
	fmt.Fprintln(a.err, "Error:", err)
}

// root assembles the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "hrm",
		Short: "Train Hierarchical Reasoning Models, and look after what they learned",
		Long: `hrm trains Hierarchical Reasoning Models from the same YAML that the operator runs in a cluster,
builds and inspects datasets, and lists, pulls, checks, evaluates and tries checkpoints.

Exit codes: 0 done; 64 wrong command line; 65 bad data; 70 failed, may work another time;
75 interrupted with a checkpoint saved, start again to go on; 78 wrong configuration.
run and watch exit with 1 if the job failed, and with 130 if they were interrupted.`,
		Example: `  hrm train -f job.yaml --store ./run          # train on this machine
  hrm checkpoint list --store ./run            # what was saved
  hrm solve --store ./run                      # try the model on a puzzle it has never seen
  hrm suite run -f suite.yaml --local --store . # train a base job with a matrix of changes
  kubectl hrm run -f job.yaml                  # create a job in a cluster, and watch it until it ends
  kubectl hrm logs sudoku -f                   # read a cluster job's logs, over restarts
  kubectl hrm checkpoint pull sudoku --out .   # fetch a cluster job's best checkpoint`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArguments,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	if a.plugin {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl hrm"}
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(a.trainCommand(), a.dataCommand(), a.evalCommand(), a.solveCommand(), a.reportCommand(), a.analyzeCommand(), a.checkpointCommand(), a.benchCommand(), a.devicesCommand(), a.versionCommand())
	root.AddCommand(a.runCommand(), a.suiteCommand(), a.watchCommand(), a.logsCommand(), a.listJobsCommand())
	return root
}

// noArguments, exactly and atMost are cobra's checks with our exit code.
func noArguments(c *cobra.Command, args []string) error { return atMost(0)(c, args) }

func exactly(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error { return asUsage(cobra.ExactArgs(n)(c, args)) }
}

func atMost(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > n && n == 0 {
			return usageError{fmt.Errorf("%s knows no %q", c.CommandPath(), args[0])}
		}
		return asUsage(cobra.MaximumNArgs(n)(c, args))
	}
}

func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// group is a command that only has subcommands.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noArguments, RunE: func(c *cobra.Command, _ []string) error {
		_ = c.Help()
		return usageError{errors.New("name one of the commands above")}
	}}
	c.AddCommand(children...)
	return c
}
