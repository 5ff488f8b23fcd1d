package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// The operator's own metrics. None is labelled with the name of an object: the number of series must not grow with
// the number of jobs. How a single job is doing is on its status and at its pods' /metrics.
var (
	attemptsStarted = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "hrm_attempts_started_total",
		Help: "Attempts started, over all jobs.",
	})
	restartsUsed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "hrm_restarts_total",
		Help: "Attempts started because the one before failed.",
	})
	disruptionsSeen = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hrm_disruptions_total",
		Help: "Incidents in which pods were taken away, by reason.",
	}, []string{"reason"})
	stallsSeen = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "hrm_stalls_total",
		Help: "Attempts stopped because they made no progress.",
	})
	jobsFinished = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hrm_jobs_finished_total",
		Help: "Jobs that ended, by the condition and the reason they ended with.",
	}, []string{"condition", "reason"})
	startLatency = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "hrm_job_start_seconds",
		Help:    "Time from the creation of an HRMTrainingJob to that of its first Job.",
		Buckets: []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300},
	})
	polls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hrm_progress_polls_total",
		Help: "Requests to training pods for their progress, by outcome.",
	}, []string{"outcome"})
	pollLatency = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "hrm_progress_poll_seconds",
		Help:    "How long requests to training pods for their progress took, by outcome.",
		Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3},
	}, []string{"outcome"})
)

func init() {
	metrics.Registry.MustRegister(attemptsStarted, restartsUsed, disruptionsSeen, stallsSeen, jobsFinished, startLatency, polls, pollLatency)
}

// states is every word that status.state can be.
var states = []string{
	v1alpha1.ConditionComplete, v1alpha1.ConditionFailed, v1alpha1.ConditionSuspended, v1alpha1.ReasonStalled,
	v1alpha1.ReasonQueued, v1alpha1.ReasonUnschedulable, v1alpha1.ReasonImagePull, v1alpha1.ReasonConfigError, v1alpha1.ReasonStarting,
	v1alpha1.ReasonStopping, v1alpha1.ReasonPreparingDataset, v1alpha1.ReasonTraining, v1alpha1.ReasonRestarting,
}

// stateCollector counts jobs by state when it is asked, from the cache.
type stateCollector struct {
	jobs client.Reader
	desc *prometheus.Desc
}

func newStateCollector(jobs client.Reader) *stateCollector {
	return &stateCollector{jobs: jobs, desc: prometheus.NewDesc("hrm_jobs", "HRMTrainingJobs that exist, by state.", []string{"state"}, nil)}
}

// registerStates serves the jobs' states. A process has one cache; a second one changes nothing.
func registerStates(jobs client.Reader) error {
	err := metrics.Registry.Register(newStateCollector(jobs))
	if already := (prometheus.AlreadyRegisteredError{}); err != nil && !errors.As(err, &already) {
		return fmt.Errorf("register the metric hrm_jobs: %w", err)
	}
	return nil
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector. A cache that is not filled yet yields nothing.
func (c *stateCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var jobs v1alpha1.HRMTrainingJobList
	// Nothing is changed, so nothing need be copied.
	if err := c.jobs.List(ctx, &jobs, client.UnsafeDisableDeepCopy); err != nil {
		return
	}
	counts := map[string]int{}
	for _, state := range states {
		counts[state] = 0
	}
	for i := range jobs.Items {
		state := jobs.Items[i].Status.State
		if _, known := counts[state]; !known {
			state = v1alpha1.ReasonQueued
		}
		counts[state]++
	}
	for state, n := range counts {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), state)
	}
}

// tell counts a transition and logs it, once its status is written.
func tell(ctx context.Context, job *v1alpha1.HRMTrainingJob, before, after v1alpha1.HRMTrainingJobStatus) {
	attemptsStarted.Add(float64(max(0, after.Attempts-before.Attempts)))
	restartsUsed.Add(float64(max(0, after.Restarts-before.Restarts)))
	stallsSeen.Add(float64(max(0, after.Stalls-before.Stalls)))
	for reason, n := range addedDisruptions(before, after) {
		disruptionsSeen.WithLabelValues(reason).Add(float64(n))
	}
	if before.StartTime == nil && after.StartTime != nil {
		startLatency.Observe(max(0, after.StartTime.Sub(job.CreationTimestamp.Time).Seconds()))
	}
	if c := endCondition(after); c != nil && endCondition(before) == nil {
		jobsFinished.WithLabelValues(c.Type, c.Reason).Inc()
	}
	if before.State != after.State || before.Attempts != after.Attempts || before.Disruptions != after.Disruptions {
		ctrl.LoggerFrom(ctx).Info("job changed", "namespace", job.Namespace, "name", job.Name, "attempt", after.Attempts,
			"state", after.State, "was", before.State, "restarts", after.Restarts, "disruptions", after.Disruptions,
			"stalls", after.Stalls, "message", after.Message)
	}
}
