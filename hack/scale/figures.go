package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// figures are the result of a measurement.
type figures struct {
	start time.Time

	Date         string      `json:"date"`
	Jobs         int         `json:"jobs"`
	Nodes        int         `json:"nodes"`
	PollInterval string      `json:"pollInterval"`
	Wall         float64     `json:"wallSeconds"` // for all blocks
	Blocks       []blockCost `json:"blocks"`
	Total        blockCost   `json:"total"`
	Memory       []memory    `json:"memory"`
	Idle         *span       `json:"idle"`
	Restart      *span       `json:"restart"`
	Running      *span       `json:"running,omitempty"`
	RunningJobs  int         `json:"runningJobs"`
}

// blockCost is the cost of a block of jobs. All but the first and the last three are per job.
type blockCost struct {
	Jobs       int                `json:"jobs"`
	Reconciles float64            `json:"reconcilesPerJob"`
	Requests   float64            `json:"requestsPerJob"`
	CPU        float64            `json:"cpuMillisecondsPerJob"`
	ByRequest  map[string]float64 `json:"requestsPerJobByVerbAndResource"`
	P50        float64            `json:"secondsToJobP50"`
	P99        float64            `json:"secondsToJobP99"`
	Seconds    float64            `json:"seconds"`
	times      []time.Duration
}

// memory is the operator's after so many jobs.
type memory struct {
	Jobs int     `json:"jobs"`
	RSS  float64 `json:"rssMiB"`
	Heap float64 `json:"liveHeapMiB"`
}

// span is what the operator did in a time.
type span struct {
	Seconds    float64        `json:"seconds"`
	Reconciles float64        `json:"reconciles"`
	Polls      float64        `json:"polls"`
	CPU        float64        `json:"cpuSeconds"`
	RSS        float64        `json:"rssMiB"`
	Requests   int            `json:"requests"`
	Watches    int            `json:"watchesOpened"`
	ByRequest  map[string]int `json:"requestsByVerbAndResource"`
}

func newFigures(o options, start time.Time) *figures {
	return &figures{
		start: start, Date: start.UTC().Format(time.RFC3339), Jobs: o.jobs, Nodes: o.nodes,
		PollInterval: o.pollInterval.String(), RunningJobs: o.running,
	}
}

// account says what a block of jobs has cost.
func (r *rig) account(before, after look, names []string) (blockCost, error) {
	events, err := readAudit(r.plane.AuditLog(), before.at, after.at)
	if err != nil {
		return blockCost{}, err
	}
	times := timesToJob(events, names)
	if len(times) != len(names) {
		return blockCost{}, fmt.Errorf("the audit log tells when %d of %d jobs got their Job", len(times), len(names))
	}
	count := float64(len(names))
	b := blockCost{
		Jobs:       len(names),
		Reconciles: (after.reconciles - before.reconciles) / count,
		CPU:        (after.cpu - before.cpu).Seconds() * 1000 / count,
		ByRequest:  map[string]float64{},
		P50:        seconds(quantile(times, 0.5)),
		P99:        seconds(quantile(times, 0.99)),
		Seconds:    seconds(after.at.Sub(before.at)),
		times:      times,
	}
	for what, n := range requests(events) {
		b.ByRequest[what] = float64(n) / count
		b.Requests += float64(n) / count
	}
	return b, nil
}

// between says what the operator did between two looks at the same process.
func (r *rig) between(before, after look) (*span, error) {
	events, err := readAudit(r.plane.AuditLog(), before.at, after.at)
	if err != nil {
		return nil, err
	}
	s := &span{
		Seconds:    seconds(after.at.Sub(before.at)),
		Reconciles: after.reconciles - before.reconciles,
		Polls:      after.polls - before.polls,
		CPU:        seconds(after.cpu - before.cpu),
		RSS:        mebibytes(float64(after.rss)),
		ByRequest:  requests(events),
	}
	for what, n := range s.ByRequest {
		s.Requests += n
		if strings.HasPrefix(what, "watch ") {
			s.Watches += n
		}
	}
	return s, nil
}

// total sums the blocks up.
func (f *figures) total() error {
	if len(f.Blocks) == 0 {
		return errors.New("no block was measured")
	}
	t := blockCost{ByRequest: map[string]float64{}}
	for _, b := range f.Blocks {
		share := float64(b.Jobs) / float64(f.Jobs)
		t.Jobs += b.Jobs
		t.Reconciles += b.Reconciles * share
		t.Requests += b.Requests * share
		t.CPU += b.CPU * share
		t.Seconds += b.Seconds
		t.times = append(t.times, b.times...)
		for what, n := range b.ByRequest {
			t.ByRequest[what] += n * share
		}
	}
	slices.Sort(t.times)
	t.P50, t.P99 = seconds(quantile(t.times, 0.5)), seconds(quantile(t.times, 0.99))
	f.Total = t
	return nil
}

func (f *figures) memoryAt(jobs int, l look) {
	f.Memory = append(f.Memory, memory{Jobs: jobs, RSS: mebibytes(float64(l.rss)), Heap: mebibytes(l.heap)})
}

// memoryPer1000 is what 1,000 jobs add to the operator's memory.
func (f *figures) memoryPer1000() memory {
	first, last := f.Memory[0], f.Memory[len(f.Memory)-1]
	k := float64(last.Jobs-first.Jobs) / 1000
	return memory{Jobs: 1000, RSS: (last.RSS - first.RSS) / k, Heap: (last.Heap - first.Heap) / k}
}

// print writes the tables.
func (f *figures) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "\n%d jobs on %d nodes, in %.0f s\n\n", f.Jobs, f.Nodes, f.Wall)
	fmt.Fprintln(w, "jobs so far\treconciles/job\trequests/job\tCPU ms/job\tto Job p50 s\tto Job p99 s\tseconds\tRSS MiB\tlive heap MiB\t")
	fmt.Fprintf(w, "0\t\t\t\t\t\t\t%.1f\t%.1f\t\n", f.Memory[0].RSS, f.Memory[0].Heap)
	for i, b := range f.Blocks {
		m := f.Memory[i+1]
		fmt.Fprintf(w, "%d\t%.2f\t%.2f\t%.1f\t%.2f\t%.2f\t%.1f\t%.1f\t%.1f\t\n",
			m.Jobs, b.Reconciles, b.Requests, b.CPU, b.P50, b.P99, b.Seconds, m.RSS, m.Heap)
	}
	t, m := f.Total, f.memoryPer1000()
	fmt.Fprintf(w, "all\t%.2f\t%.2f\t%.1f\t%.2f\t%.2f\t%.1f\t%.1f/1000\t%.1f/1000\t\n", t.Reconciles, t.Requests, t.CPU, t.P50, t.P99, t.Seconds, m.RSS, m.Heap)
	_ = w.Flush()

	fmt.Fprintf(out, "\nRequests of the operator per job\n\n")
	for _, what := range byCount(t.ByRequest) {
		fmt.Fprintf(w, "%.2f\t  %s\n", t.ByRequest[what], what)
	}
	_ = w.Flush()

	fmt.Fprintf(out, "\nBesides\n\n")
	fmt.Fprintln(w, "\tseconds\treconciles\trequests\twatches opened\tpolls\tCPU s\tRSS MiB\t")
	f.Idle.print(w, fmt.Sprintf("idle with %d finished jobs", f.Jobs))
	f.Restart.print(w, fmt.Sprintf("start of the operator with %d finished jobs", f.Jobs))
	f.Running.print(w, fmt.Sprintf("%d jobs running, polled every %s", f.RunningJobs, f.PollInterval))
	_ = w.Flush()
}

func (s *span) print(out io.Writer, name string) {
	if s == nil {
		return
	}
	fmt.Fprintf(out, "%s\t%.1f\t%.0f\t%d\t%d\t%.0f\t%.2f\t%.1f\t\n", name, s.Seconds, s.Reconciles, s.Requests, s.Watches, s.Polls, s.CPU, s.RSS)
}

// byCount orders keys by falling counts.
func byCount[N int | float64](counts map[string]N) []string {
	keys := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(keys, func(a, b string) int {
		switch {
		case counts[a] > counts[b]:
			return -1
		case counts[a] < counts[b]:
			return 1
		}
		return 0
	})
	return keys
}

func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

func mebibytes(bytes float64) float64 { return bytes / (1 << 20) }
