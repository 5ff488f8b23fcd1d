package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// measurement is what both programs print of a run.
type measurement struct {
	Peer             string  `json:"peer"`
	StepMilliseconds float64 `json:"step_ms"`
	SamplesPerSecond float64 `json:"samples_per_s"`
	GFLOPS           float64 `json:"gflops"`
	PeakRSSMiB       int64   `json:"peak_rss_mib"`
	// Ours alone.
	FirstStepSeconds float64 `json:"first_step_s"`
	HeapBytes        int64   `json:"heap_bytes_per_step"`
	ProductGFLOPS    float64 `json:"product_gflops"`
	Profile          struct {
		Operations []struct {
			Operation string  `json:"operation"`
			Share     float64 `json:"share"`
		} `json:"operations"`
	} `json:"profile"`
}

// shares are the parts that operations of each name have of a step's time.
func (m measurement) shares() map[string]float64 {
	out := map[string]float64{}
	for _, o := range m.Profile.Operations {
		out[o.Operation] += o.Share
	}
	return out
}

// comparison holds the medians of both, by samples per second.
type comparison struct {
	flags       []string
	ours, peers measurement
}

func (c comparison) ratio() float64 { return c.ours.SamplesPerSecond / c.peers.SamplesPerSecond }

// compare runs both in turn. What each prints is passed on.
func compare(ctx context.Context, o options, flags []string) (comparison, error) {
	var ours, peers []measurement
	for range o.rounds {
		a, err := measure(ctx, append([]string{o.hrm, "bench", "--ceiling"}, flags...))
		if err != nil {
			return comparison{}, err
		}
		b, err := measure(ctx, append([]string{o.python, o.peer}, flags...))
		if err != nil {
			return comparison{}, err
		}
		ours, peers = append(ours, a), append(peers, b)
	}
	return comparison{flags: flags, ours: median(ours), peers: median(peers)}, nil
}

func median(all []measurement) measurement {
	slices.SortFunc(all, func(a, b measurement) int {
		if a.SamplesPerSecond < b.SamplesPerSecond {
			return -1
		}
		return 1
	})
	return all[len(all)/2]
}

func measure(ctx context.Context, command []string) (measurement, error) {
	var m measurement
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return m, fmt.Errorf("%s: %w", strings.Join(command, " "), err)
	}
	line := bytes.TrimSpace(out)
	fmt.Printf("%s\n", line)
	if err := json.Unmarshal(line[bytes.LastIndexByte(line, '\n')+1:], &m); err != nil {
		return m, fmt.Errorf("%s: %w", strings.Join(command, " "), err)
	}
	if m.SamplesPerSecond <= 0 {
		return m, fmt.Errorf("%s: printed no samples_per_s", strings.Join(command, " "))
	}
	return m, nil
}

// profiles measures each operation's share of a step's time.
func profiles(ctx context.Context, o options) (map[string]map[string]float64, error) {
	out := map[string]map[string]float64{}
	for _, flags := range table {
		m, err := measure(ctx, append([]string{o.hrm, "bench", "--profile", "--json"}, flags...))
		if err != nil {
			return nil, err
		}
		out[strings.Join(flags, " ")] = m.shares()
	}
	return out, nil
}
