package main

import (
	"errors"
	"fmt"
)

// Limits on counts, which depend on the code and hardly on the machine.
const (
	maxReconcilesPerJob = 16
	maxRequestsPerJob   = 22
	maxGrowth           = 1.25 // of the last block over the first
	maxIdleRequests     = 30   // per minute, with nothing to do
	maxRestartPerJob    = 2    // reconciles per existing job when the operator starts
)

// checkLimits returns what is above its limit.
func checkLimits(f *figures) error {
	first, last := f.Blocks[0], f.Blocks[len(f.Blocks)-1]
	var errs []error
	for _, c := range []struct {
		what       string
		is, atMost float64
	}{
		{"reconciles per job", f.Total.Reconciles, maxReconcilesPerJob},
		{"requests per job", f.Total.Requests, maxRequestsPerJob},
		{"reconciles per job of the last block over those of the first", last.Reconciles / first.Reconciles, maxGrowth},
		{"requests per job of the last block over those of the first", last.Requests / first.Requests, maxGrowth},
		{"requests per minute with nothing to do", float64(f.Idle.Requests) * 60 / f.Idle.Seconds, maxIdleRequests},
		{"reconciles per job when the operator starts", f.Restart.Reconciles / float64(f.Jobs), maxRestartPerJob},
	} {
		if c.is > c.atMost {
			errs = append(errs, fmt.Errorf("%s: %.2f, more than %.2f", c.what, c.is, c.atMost))
		}
	}
	return errors.Join(errs...)
}
