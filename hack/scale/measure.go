package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hrm-operator/hrm-operator/internal/testing/controlplane"
)

// auditPolicy logs what the operator asks for, and when jobs were submitted.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: [` + controlplane.Operator + `]}
- {level: Metadata, users: [` + submitter + `], verbs: [create], resources: [{group: hrm.dev, resources: [hrmtrainingjobs]}]}
- {level: None}
`

// rig is everything that a measurement needs.
type rig struct {
	options  options
	plane    *controlplane.Plane
	operator *controlplane.OperatorProcess
	user     *user
}

// measure starts everything, goes through the phases and stops everything.
func measure(ctx context.Context, o options, dir string) (f *figures, err error) {
	progressServer, err := servePods()
	if err != nil {
		return nil, err
	}
	defer func() { _ = progressServer.Close() }()
	plane, err := controlplane.Start(ctx, controlplane.Options{Root: ".", Dir: dir, AuditPolicy: auditPolicy, Nodes: o.nodes})
	defer func() { err = errors.Join(err, plane.Stop()) }()
	if err != nil {
		return nil, err
	}
	r := &rig{options: o, plane: plane}
	if r.user, err = newUser(ctx, plane); err != nil {
		return nil, err
	}
	defer r.user.leave() // before the apiserver, which waits for those that watch
	if err := plane.InstallOperator(ctx); err != nil {
		return nil, err
	}
	if err := r.startOperator(ctx); err != nil {
		return nil, err
	}
	return r.phases(ctx)
}

func (r *rig) startOperator(ctx context.Context) (err error) {
	flags := append([]string{"--poll-interval=" + r.options.pollInterval.String()}, r.options.flags...)
	r.operator, err = r.plane.StartOperator(ctx, flags...)
	return err
}

// phases are the measurement: blocks of jobs one after the other, then nothing, then a restart of the operator, then
// running jobs.
func (r *rig) phases(ctx context.Context) (*figures, error) {
	start := time.Now()
	f := newFigures(r.options, start)
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	first, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	f.memoryAt(0, first)
	if err := r.blocks(ctx, f); err != nil {
		return nil, err
	}
	f.Wall = seconds(time.Since(start))
	if f.Idle, err = r.watch(ctx, "nothing happens", r.options.window); err != nil {
		return nil, err
	}
	if f.Restart, err = r.restart(ctx); err != nil {
		return nil, err
	}
	if r.options.running > 0 {
		f.Running, err = r.running(ctx)
	}
	return f, err
}

// blocks submits all jobs, a block at a time, and waits for the end of each block before the next.
func (r *rig) blocks(ctx context.Context, f *figures) error {
	for done := 0; done < r.options.jobs; {
		names := jobNames(done, min(done+r.options.block, r.options.jobs))
		before, err := r.look(ctx)
		if err != nil {
			return err
		}
		if err := r.user.submit(ctx, names, shortJob(r.options.runsFor, r.options.atMost)); err != nil {
			return err
		}
		if err := r.user.await(ctx, names, complete); err != nil {
			return err
		}
		if err := r.settle(ctx); err != nil {
			return err
		}
		after, err := r.look(ctx)
		if err != nil {
			return err
		}
		done += len(names)
		block, err := r.account(before, after, names)
		if err != nil {
			return err
		}
		f.Blocks = append(f.Blocks, block)
		f.memoryAt(done, after)
		fmt.Fprintf(os.Stderr, "%7.1fs  %d jobs complete: %.1f reconciles, %.1f requests and %.0f ms of CPU per job\n",
			time.Since(f.start).Seconds(), done, block.Reconciles, block.Requests, block.CPU)
	}
	return f.total()
}

// watch lets time pass and says what the operator did meanwhile.
func (r *rig) watch(ctx context.Context, what string, window time.Duration) (*span, error) {
	fmt.Fprintf(os.Stderr, "watching for %s while %s\n", window, what)
	before, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(window):
	}
	after, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	return r.between(before, after)
}

// restart stops the operator and measures a new one until it has nothing left to do.
func (r *rig) restart(ctx context.Context) (*span, error) {
	fmt.Fprintln(os.Stderr, "restarting the operator")
	if err := r.operator.Stop(); err != nil {
		return nil, err
	}
	before := look{at: time.Now()}
	if err := r.startOperator(ctx); err != nil {
		return nil, err
	}
	quiet, err := r.quiet(ctx)
	if err != nil {
		return nil, err
	}
	after, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	span, err := r.between(before, after)
	if err != nil {
		return nil, err
	}
	span.Seconds = seconds(quiet.Sub(before.at))
	return span, nil
}

// running measures jobs that run and are asked for their progress.
func (r *rig) running(ctx context.Context) (*span, error) {
	names := jobNames(r.options.jobs, r.options.jobs+r.options.running)
	if err := r.user.submit(ctx, names, longJob()); err != nil {
		return nil, err
	}
	if err := r.user.await(ctx, names, training); err != nil {
		return nil, err
	}
	return r.watch(ctx, fmt.Sprintf("%d jobs run", len(names)), r.options.window)
}

// settle waits until the operator has nothing left to do.
func (r *rig) settle(ctx context.Context) error {
	_, err := r.quiet(ctx)
	return err
}

// quiet returns when the operator did its last work, once it has done none for a while.
func (r *rig) quiet(ctx context.Context) (time.Time, error) {
	const calm = 2500 * time.Millisecond
	last, since := -1.0, time.Now()
	err := controlplane.Poll(ctx, 2*time.Minute, func() error {
		if err := r.operator.Alive(); err != nil {
			return err
		}
		samples, err := scrape(ctx, r.operator.Metrics)
		if err != nil {
			return err
		}
		work := samples.sum("controller_runtime_reconcile_total") + samples.sum("rest_client_requests_total")
		if work != last {
			last, since = work, time.Now()
		}
		if time.Since(since) < calm || samples.sum("workqueue_depth") > 0 {
			return errors.New("the operator does not come to rest")
		}
		return nil
	})
	return since, err
}
