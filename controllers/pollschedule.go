package controllers

import (
	"cmp"
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Two lanes keep those that answer apart from those that do not (yet): however many of the latter hold their slots until
// the timeout, the former are asked in time.
const (
	proven = iota
	unproven
)

// laneSlots is how many are asked at the same time.
var laneSlots = [2]int{proven: 12, unproven: 8}

// maxPollBackoff bounds the time between two asks of a process that does not answer.
const maxPollBackoff = time.Minute

// schedule is when a process is asked.
type schedule struct {
	target   pollTarget
	due      time.Time // zero is at once
	failures int       // in a row
	answered bool      // the last time
	busy     bool
}

func (s *schedule) lane() int {
	if s.answered {
		return proven
	}
	return unproven
}

// Start polls until ctx ends.
func (p *Poller) Start(ctx context.Context) error {
	tick := time.NewTicker(max(p.interval/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-p.wake:
		}
		p.dispatch(ctx, time.Now())
	}
}

// dispatch asks those that are due as far as there are slots: first those that failed least, so that a newcomer need not
// wait for any number of those that never answer.
func (p *Poller) dispatch(ctx context.Context, now time.Time) {
	type ask struct {
		job types.NamespacedName
		*schedule
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = false
	var due []ask
	for job, s := range p.targets {
		if !s.busy && !s.due.After(now) {
			due = append(due, ask{job, s})
		}
	}
	slices.SortFunc(due, func(a, b ask) int { return cmp.Or(cmp.Compare(a.failures, b.failures), a.due.Compare(b.due)) })
	for _, a := range due {
		lane := a.lane()
		if p.lanes[lane] >= laneSlots[lane] {
			p.waiting = true
			continue
		}
		p.lanes[lane]++
		a.busy = true
		go p.poll(ctx, a.job, a.schedule, a.target, lane)
	}
}

// poll asks one process and says when to ask it again.
func (p *Poller) poll(ctx context.Context, job types.NamespacedName, s *schedule, target pollTarget, lane int) {
	began := time.Now()
	report, err := p.ask(ctx, target.podIP)
	if err == nil {
		err = belongs(job, target, report)
	}
	polls.WithLabelValues(outcome(err)).Inc()
	pollLatency.WithLabelValues(outcome(err)).Observe(time.Since(began).Seconds())
	switch {
	case err != nil:
		// A pod that is starting, stopping or busy does not answer; stall.go deals with one that never does.
		p.log.V(1).Info("no progress report", "job", job, "error", err.Error())
	case p.keep(job, target, report):
		p.announce(ctx, job)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.busy, s.answered = false, err == nil
	s.failures++
	if err == nil {
		s.failures = 0
	}
	s.due = began.Add(p.pause(s.failures))
	p.lanes[lane]--
	if p.waiting {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// pause is the time from one ask to the next. It doubles with every failure after the first, which a pod that starts
// may well have.
func (p *Poller) pause(failures int) time.Duration {
	pause := p.interval
	for range failures - 1 {
		if pause >= maxPollBackoff {
			break
		}
		pause = min(2*pause, maxPollBackoff)
	}
	return pause
}
