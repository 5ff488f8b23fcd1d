package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
)

// daemons are the programs of a running cluster.
var daemons = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "containerd", "coredns", "versitygw",
}

// healthy says whether every part of the cluster runs and the node takes pods.
func (s state) healthy(ctx context.Context) error {
	for _, name := range daemons {
		if !s.alive(name) {
			return fmt.Errorf("%s does not run", name)
		}
	}
	return s.waitNode(ctx)
}

// up starts the cluster unless it runs already. What an earlier one left behind is removed first.
func (s state) up(ctx context.Context) error {
	if s.alive("kube-apiserver") && s.healthy(ctx) == nil {
		fmt.Fprintln(os.Stderr, "the cluster runs already")
		return nil
	}
	if err := checkMachine(); err != nil {
		return err
	}
	return stages{
		{"remove what an earlier cluster left", s.down},
		{"make certificates and the bridge", func(ctx context.Context) error {
			if err := s.writePKI(time.Now()); err != nil {
				return err
			}
			return makeBridge(ctx)
		}},
		{"start etcd, apiserver, containerd and the S3 server", s.startServers},
		{"start controllers, scheduler, proxy, DNS and kubelet", s.startNode},
		{"wait for the node", s.waitNode},
	}.run(ctx)
}

func (s state) startServers(ctx context.Context) error {
	var group *errgroup.Group
	group, ctx = errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := s.startEtcd(); err != nil {
			return err
		}
		return s.startAPIServer(ctx)
	})
	group.Go(func() error { return s.startContainerd(ctx) })
	group.Go(func() error { return s.startS3(ctx) })
	return group.Wait()
}

func (s state) startNode(ctx context.Context) error {
	if err := s.startControllers(); err != nil {
		return err
	}
	if err := s.startKubelet(); err != nil {
		return err
	}
	return s.startDNS(ctx)
}

// stage is a named part of a longer work.
type stage struct {
	name string
	do   func(context.Context) error
}

type stages []stage

// run does one stage after the other and says how long each took.
func (list stages) run(ctx context.Context) error {
	for _, st := range list {
		start := time.Now()
		if err := st.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", st.name, err)
		}
		fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(start).Seconds(), st.name)
	}
	return nil
}
