package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// look is one look at the operator's process.
type look struct {
	at         time.Time
	cpu        time.Duration // user and system time since its start
	rss        int64         // bytes
	heap       float64       // bytes of live heap after the last collection
	reconciles float64
	polls      float64
}

// look reads the operator's metrics and what the kernel says of its process.
func (r *rig) look(ctx context.Context) (look, error) {
	if err := r.operator.Alive(); err != nil {
		return look{}, err
	}
	samples, err := scrape(ctx, r.operator.Metrics)
	if err != nil {
		return look{}, err
	}
	l := look{
		at:         time.Now(),
		heap:       samples.sum("go_memstats_next_gc_bytes") / 2, // with GOGC=100 the next collection comes at twice the live heap
		reconciles: samples.sum("controller_runtime_reconcile_total"),
		polls:      samples.sum("hrm_progress_polls_total"),
	}
	if l.cpu, err = cpuTime(r.operator.PID()); err != nil {
		return look{}, err
	}
	l.rss, err = residentBytes(r.operator.PID())
	return l, err
}

// families are the metrics of one scrape.
type families map[string]*dto.MetricFamily

func scrape(ctx context.Context, url string) (families, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read the operator's metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(response.Body)
}

// sum adds up a family's counters and gauges; a family that is not there is zero.
func (f families) sum(name string) float64 {
	total := 0.0
	for _, m := range f[name].GetMetric() {
		total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return total
}

// ticksPerSecond is the unit of /proc/PID/stat; Linux fixes it for programs.
const ticksPerSecond = 100

// cpuTime is the user and system time of a process.
func cpuTime(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in brackets may hold spaces; utime and stime are the 12th and 13th field after it.
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticksPerSecond, errors.Join(err1, err2)
}

// residentBytes is the memory of a process that is in RAM.
func residentBytes(pid int) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm has %d fields", pid, len(fields))
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
