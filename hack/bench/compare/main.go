// Command compare times hrm bench and the PyTorch peer in turn, A B A B, and prints the ratio of their medians, which other
// work on the machine disturbs less than either figure.
//
//	go run ./hack/bench/compare --peer hrm_torch.py -- --batch 8 --dtype bfloat16
//	go run ./hack/bench/compare --peer hrm_torch.py --table docs/benchmarks.md
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type options struct {
	hrm, python, peer, table string
	rounds                   int
	flags                    []string // of both
}

const usage = `usage: compare --peer hrm_torch.py [--table FILE] [-- flags of both, such as --batch 8]

Without --table one comparison is made, with the flags of both; with it all that the table has, and the file is written.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(flag.NewFlagSet("compare", flag.ContinueOnError), os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func parse(flags *flag.FlagSet, args []string) (options, error) {
	var o options
	flags.StringVar(&o.hrm, "hrm", "bin/hrm", "our binary; make build makes it")
	flags.StringVar(&o.python, "python", "python3", "the interpreter, with torch")
	flags.StringVar(&o.peer, "peer", os.Getenv("PEER"), "the peer, hrm_torch.py; by default what PEER names")
	flags.StringVar(&o.table, "table", "", "measure the whole table and write it to this Markdown file")
	flags.IntVar(&o.rounds, "rounds", 3, "how often each is run")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.flags = flags.Args()
	if o.peer == "" {
		return o, errors.New("--peer FILE or PEER=FILE must name the PyTorch peer, hrm_torch.py")
	}
	for _, file := range []string{o.peer, o.hrm} {
		if _, err := os.Stat(file); err != nil {
			return o, fmt.Errorf("%w: make build makes bin/hrm, --hrm and --peer name others", err)
		}
	}
	if o.rounds < 1 {
		return o, errors.New("--rounds must be at least 1")
	}
	return o, nil
}

func run(ctx context.Context, o options) error {
	if o.table != "" {
		return writeTable(ctx, o)
	}
	c, err := compare(ctx, o, o.flags)
	if err != nil {
		return err
	}
	fmt.Printf("%s: hrm %.2f, peer %.2f samples/s, ratio of medians %.2f; peak memory %d and %d MiB\n",
		strings.Join(o.flags, " "), c.ours.SamplesPerSecond, c.peers.SamplesPerSecond, c.ratio(), c.ours.PeakRSSMiB, c.peers.PeakRSSMiB)
	return nil
}

func writeTable(ctx context.Context, o options) error {
	began := time.Now()
	var rows []comparison
	for _, flags := range table {
		c, err := compare(ctx, o, flags)
		if err != nil {
			return err
		}
		rows = append(rows, c)
	}
	profile, err := profiles(ctx, o)
	if err != nil {
		return err
	}
	page := render(thisMachine(), began, o.rounds, rows, profile)
	return os.WriteFile(o.table, []byte(page), 0o644)
}
