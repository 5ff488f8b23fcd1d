package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// Environment variables that choose what runs.
const (
	// enable is "1" for the cases that every change is tried with, "all" for the long ones too.
	enable = "HRM_E2E"
	// keep leaves the cluster running for a look at it; the next run starts faster, too.
	keep = "HRM_E2E_KEEP"
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv(enable) == "" {
			return m.Run() // every case skips itself
		}
		if err := os.Chdir(filepath.Join("..", "..")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if os.Getenv(keep) == "" {
			defer stopCluster()
		}
		if err := startCluster(); err != nil {
			fmt.Fprintln(os.Stderr, "start the cluster:", err)
			return 1
		}
		defer table.print(os.Stdout)
		return m.Run()
	}())
}

// results are printed at the end, in the order of their names.
type results struct {
	mu   sync.Mutex
	rows []result
}

type result struct {
	name, outcome, cost string
	took                time.Duration
}

var table results

func (r *results) add(row result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, row)
}

func (r *results) print(out *os.File) {
	slices.SortFunc(r.rows, func(a, b result) int { return strings.Compare(a.name, b.name) })
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nCASE\tRESULT\tSECONDS\tWHAT THE FAULT COST")
	for _, row := range r.rows {
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%s\n", row.name, row.outcome, row.took.Seconds(), row.cost)
	}
	_ = w.Flush()
}

func outcomeOf(t *testing.T) string {
	switch {
	case t.Failed():
		return "FAILED"
	case t.Skipped():
		return "skipped"
	}
	return "passed"
}
