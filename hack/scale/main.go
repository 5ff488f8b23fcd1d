// Command scale measures what the operator costs per job while it runs thousands of them: the operator is a process of
// its own, the apiserver, the Job controller and the scheduler are the real ones, KWOK plays nodes and pods, and a
// server of this command answers for the progress of all pods.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

const usage = `What the operator costs per job, measured while it runs thousands of them.

Usage: go run ./hack/scale [flags]      (from the project's root; needs neither root nor containers)

Flags:
`

// options are what the command line decides.
type options struct {
	jobs, block, running int
	nodes                int
	runsFor, atMost      time.Duration
	window               time.Duration
	pollInterval         time.Duration
	json                 string
	check, keep          bool
	flags                []string // of the operator
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctrl.SetLogger(logr.Discard()) // of the libraries in this process; every program has a log file of its own
	o, err := parseFlags(flag.NewFlagSet("scale", flag.ContinueOnError), os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func parseFlags(flags *flag.FlagSet, args []string) (options, error) {
	var o options
	flags.IntVar(&o.jobs, "jobs", 2000, "jobs that are created, run and completed")
	flags.IntVar(&o.block, "block", 250, "jobs that are submitted at once; figures are given for each block")
	flags.IntVar(&o.running, "running", 500, "jobs that run at the same time while the cost of running jobs is measured")
	flags.IntVar(&o.nodes, "nodes", 20, "nodes that KWOK plays")
	flags.DurationVar(&o.runsFor, "runs-for", 5*time.Second, "shortest time that a pod runs")
	flags.DurationVar(&o.atMost, "runs-for-at-most", 15*time.Second, "longest time that a pod runs")
	flags.DurationVar(&o.window, "window", time.Minute, "how long idle and running jobs are watched")
	flags.DurationVar(&o.pollInterval, "poll-interval", 10*time.Second, "the operator's --poll-interval")
	flags.StringVar(&o.json, "json", "", "file for the figures as JSON")
	flags.BoolVar(&o.check, "check", false, "fail if a count per job is above its limit (limits.go); times never fail")
	flags.BoolVar(&o.keep, "keep", false, "keep the folder with logs and audit events, and say where it is")
	flags.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.flags = flags.Args()
	if o.jobs < 1 || o.block < 1 || o.running < 0 || o.nodes < 1 || o.runsFor > o.atMost {
		return o, errors.New("-jobs, -block and -nodes must be positive, and -runs-for at most -runs-for-at-most")
	}
	return o, nil
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "hrm-scale-")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Fprintln(os.Stderr, "logs and audit events are in", dir)
	} else {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	figures, err := measure(ctx, o, dir)
	if err != nil {
		return err
	}
	figures.print(os.Stdout)
	if o.json != "" {
		text, err := json.MarshalIndent(figures, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if o.check {
		return checkLimits(figures)
	}
	return nil
}
