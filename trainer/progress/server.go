package progress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hrm-operator/hrm-operator/api/progress"
)

// Handler serves /progress, /metrics and /healthz of a run, all of them read-only.
func Handler(t *Tracker) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), metrics{t})
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+progress.Path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// An error here means that the reader has gone.
		_ = json.NewEncoder(w).Encode(t.Report())
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

// Serve listens on address and serves the run until ctx ends. It returns the address that it listens on.
func Serve(ctx context.Context, address string, t *Tracker) (string, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", fmt.Errorf("serve progress on %s: %w; choose another address with --listen, or none with --listen=", address, err)
	}
	server := &http.Server{Handler: Handler(t), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}
	go func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.Note("progress is no longer served: " + err.Error())
		}
	}()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return listener.Addr().String(), nil
}

// metrics turns the newest report into Prometheus gauges at every scrape, so that there is one source of truth.
type metrics struct{ tracker *Tracker }

var (
	stepMetric     = describe("step", "Optimizer steps done.")
	totalMetric    = describe("total_steps", "Optimizer steps the run will make.")
	epochMetric    = describe("epoch", "Epochs done.")
	lossMetric     = describe("loss", "Training loss per example.")
	accuracyMetric = describe("accuracy", "Share of right tokens in training.")
	exactMetric    = describe("exact_accuracy", "Share of wholly right examples in training.")
	heldOutMetric  = describe("eval_exact_accuracy", "Share of wholly right held-out examples at the last evaluation.")
	rateMetric     = describe("samples_per_second", "Training examples per second.")
	savedMetric    = describe("checkpoint_step", "Step of the last complete checkpoint.")
)

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("hrm_training_"+name, help, nil, nil)
}

// Describe lists the gauges.
func (m metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{stepMetric, totalMetric, epochMetric, lossMetric, accuracyMetric, exactMetric, heldOutMetric, rateMetric, savedMetric} {
		out <- d
	}
}

// Collect sends what is known.
func (m metrics) Collect(out chan<- prometheus.Metric) {
	r := m.tracker.Report()
	send := func(d *prometheus.Desc, x *float64) {
		if x != nil {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, *x)
		}
	}
	step, total := float64(r.Step), float64(r.TotalSteps)
	send(stepMetric, &step)
	send(totalMetric, &total)
	send(epochMetric, &r.Epoch)
	send(lossMetric, r.Loss)
	send(accuracyMetric, r.Accuracy)
	send(exactMetric, r.ExactAccuracy)
	send(heldOutMetric, r.EvalExactAccuracy)
	send(rateMetric, &r.SamplesPerSecond)
	if c := r.LastCheckpoint; c != nil {
		saved := float64(c.Step)
		send(savedMetric, &saved)
	}
}
