package controllers

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
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
		Help: "Attempts started because the one before failed or stalled.",
	})
	jobsFinished = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hrm_jobs_finished_total",
		Help: "Jobs that ended, by the condition and the reason they ended with.",
	}, []string{"condition", "reason"})
	polls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hrm_progress_polls_total",
		Help: "Requests to training pods for their progress, by outcome.",
	}, []string{"outcome"})
)

func init() {
	metrics.Registry.MustRegister(attemptsStarted, restartsUsed, jobsFinished, polls)
}
