// Package progress tells people and programs how far a training run is: a bar on a terminal or log lines elsewhere,
// /progress for the operator, /metrics for Prometheus, metrics.jsonl beside the checkpoints, and the termination
// message that outlives the pod. The training loop writes into one [Tracker]; everything else reads from it.
package progress
