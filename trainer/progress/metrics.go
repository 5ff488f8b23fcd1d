package progress

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics turns the newest report into Prometheus metrics at every scrape, so that there is one source of truth.
type metrics struct{ tracker *Tracker }

var (
	stepMetric     = describe("step", "Optimizer steps done.")
	totalMetric    = describe("total_steps", "Optimizer steps the run will make.")
	epochMetric    = describe("epoch", "Epochs done.")
	lossMetric     = describe("loss", "Training loss per example.")
	accuracyMetric = describe("accuracy", "Share of right tokens in training.")
	exactMetric    = describe("exact_accuracy", "Share of wholly right examples in training.")
	heldOutMetric  = describe("eval_exact_accuracy", "Share of wholly right held-out examples at the last evaluation.")
	rateMetric     = describe("samples_per_second", "Training examples per second, over all processes.")
	savedMetric    = describe("checkpoint_step", "Step of the last complete checkpoint.")
	savedAtMetric  = describe("checkpoint_age_seconds", "Age of the last complete checkpoint.")
	failedMetric   = describe("checkpoint_failures_total", "Tries to save a checkpoint that failed.")
	nodesMetric    = describe("nodes", "Processes that train together.")
	silenceMetric  = describe("peer_silence_seconds", "Time since the last sign of life of the quietest peer that this process watches.")
	lostMetric     = describe("peers_lost_total", "Peers that this process has lost.")
	memoryMetric   = describe("device_memory_bytes", "Memory of the device in use by parameters, optimizer state, gradients and the carry.")
	secondsMetric  = describe("seconds_total", "Time spent, by part of the work; the parts add up to the time of the run.", "part")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("hrm_training_"+name, help, labels, nil)
}

// Describe lists the metrics.
func (m metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		stepMetric, totalMetric, epochMetric, lossMetric, accuracyMetric, exactMetric, heldOutMetric, rateMetric, savedMetric,
		savedAtMetric, failedMetric, nodesMetric, silenceMetric, lostMetric, memoryMetric, secondsMetric,
	} {
		out <- d
	}
}

// Collect sends what is known.
func (m metrics) Collect(out chan<- prometheus.Metric) {
	r := m.tracker.Report()
	gauge := func(d *prometheus.Desc, x float64) { out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, x) }
	known := func(d *prometheus.Desc, x *float64) {
		if x != nil {
			gauge(d, *x)
		}
	}
	gauge(stepMetric, float64(r.Step))
	gauge(totalMetric, float64(r.TotalSteps))
	gauge(epochMetric, r.Epoch)
	known(lossMetric, r.Loss)
	known(accuracyMetric, r.Accuracy)
	known(exactMetric, r.ExactAccuracy)
	known(heldOutMetric, r.EvalExactAccuracy)
	gauge(rateMetric, r.SamplesPerSecond)
	gauge(nodesMetric, float64(max(1, r.Nodes)))
	if c := r.LastCheckpoint; c != nil {
		gauge(savedMetric, float64(c.Step))
		gauge(savedAtMetric, max(0, m.tracker.now().Sub(c.Time).Seconds()))
	}
	m.collectInside(out)
}

// collectInside sends how the process is doing.
func (m metrics) collectInside(out chan<- prometheus.Metric) {
	i := m.tracker.insight()
	count := func(d *prometheus.Desc, x float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, x, labels...)
	}
	for part, spent := range i.parts {
		count(secondsMetric, spent.Seconds(), part)
	}
	count(failedMetric, float64(i.saveFailed))
	count(lostMetric, float64(i.peersLost))
	if i.memory != nil {
		out <- prometheus.MustNewConstMetric(memoryMetric, prometheus.GaugeValue, float64(i.memory()))
	}
	if i.peerSilence != nil {
		out <- prometheus.MustNewConstMetric(silenceMetric, prometheus.GaugeValue, i.peerSilence().Round(time.Millisecond).Seconds())
	}
}
