// Command dashboard looks after the chart's Grafana dashboard: check holds its queries, and those of alerts, to the rules of
// PromQL; draw evaluates them against a Prometheus and draws the panels, for the documentation.

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("want check or draw; see their --help")
	}
	flags := flag.NewFlagSet("dashboard "+args[0], flag.ContinueOnError)
	file := flags.String("file", "../../charts/hrm-operator/dashboards/hrm.json", "the dashboard")
	switch args[0] {
	case "check":
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return check(*file, flags.Args())
	case "draw":
		prometheus := flags.String("prometheus", "http://127.0.0.1:9090", "URL of the Prometheus to ask")
		window := flags.Duration("window", 10*time.Minute, "how far back to look")
		out := flags.String("out", "dashboard.html", "the page to write")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return draw(ctx, *file, *prometheus, *window, *out)
	}
	return fmt.Errorf("unknown command %q: want check or draw", args[0])
}

// check prints the metrics that the dashboard and further queries read, one a line, or says which query does not parse.
func check(file string, queries []string) error {
	d, err := read(file)
	if err != nil {
		return err
	}
	for _, p := range d.Panels {
		for _, t := range p.Targets {
			queries = append(queries, expand(t.Expr, "1m"))
		}
	}
	seen := map[string]bool{}
	for _, q := range queries {
		names, err := metrics(q)
		if err != nil {
			return err
		}
		for _, name := range names {
			if !seen[name] {
				fmt.Println(name)
			}
			seen[name] = true
		}
	}
	return nil
}
