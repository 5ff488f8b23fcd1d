// Package controllers runs HRMTrainingJobs: it turns each into a ConfigMap, a headless Service, a NetworkPolicy and one
// Indexed Job per attempt, and says on the object how it is going.
//
// A reconcile observes (observe.go), decides (decide.go and one file per policy: restarts.go, suspend.go, deadline.go,
// stall.go, ttl.go), applies (apply.go), writes the status that status.go computed once, and then sends events
// (events.go). Deciding, building children (children.go) and computing a status are pure functions. The poller
// (progress.go) asks running pods how far they are, off the reconcile path.
//
// Nothing is kept in memory that a restart would miss: what an attempt cannot say of itself (restarts and disruptions
// before it, when the job first started) is written on its Job when it is created.
package controllers
