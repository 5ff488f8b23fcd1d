// Package loop trains: it takes a job's spec, a dataset, a device and a store, and turns them into checkpoints.
//
// A [Network] is a model on a device. A [Trainer] holds all that one training step changes, and nothing else, so that a
// snapshot of it is a checkpoint and a run that resumes goes on bit for bit. [Run] decides when to evaluate, when to save
// and when to stop.
package loop
