package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// daemons are the programs of a running cluster.
var daemons = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "containerd", "kubelet", "coredns", "versitygw",
}

// healthy says whether every part of the cluster runs and the node takes pods.
func (s *state) healthy(ctx context.Context) error {
	for _, name := range daemons {
		if err := s.alive(name); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return s.nodeReady(ctx)
}

// up starts the cluster unless it runs already. What an earlier one left behind is removed first.
func (s *state) up(ctx context.Context) error {
	if s.healthy(ctx) == nil {
		fmt.Fprintln(os.Stderr, "the cluster runs already")
		return nil
	}
	start := time.Now()
	err := s.fresh(ctx,
		stage{"start etcd, the apiserver, containerd and the S3 server", s.startServers},
		stage{"start the controllers, scheduler, proxy, kubelet and DNS", s.startNode},
		stage{"wait for the node to take pods", s.waitNode},
	)
	if err == nil {
		fmt.Fprintf(os.Stderr, "%6.1fs  in all; eval \"$(go run ./hack/cluster env)\" points kubectl and aws at it\n", time.Since(start).Seconds())
	}
	return err
}

// fresh removes an earlier cluster, makes new namespaces, and goes through the stages in them.
func (s *state) fresh(ctx context.Context, then ...stage) error {
	if err := checkMachine(); err != nil {
		return err
	}
	if missing := missingPackages(); len(missing) > 0 {
		return fmt.Errorf("%w: packages %v are missing; go run ./hack/cluster deps installs them", errUnsupported, missing)
	}
	return stages(append([]stage{
		{"remove what an earlier cluster left", s.down},
		{"make the node's namespaces, network and certificates", func(ctx context.Context) error {
			if err := s.startHolder(ctx); err != nil {
				return err
			}
			if err := s.makeNetwork(ctx); err != nil {
				return err
			}
			return s.writePKI(time.Now())
		}},
	}, then...)).run(ctx)
}

func (s *state) startServers(ctx context.Context) error {
	return together(ctx, s.startContainerd, s.startS3, func(ctx context.Context) error {
		if err := s.startEtcd(); err != nil {
			return err
		}
		return s.startAPIServer(ctx)
	})
}

func (s *state) startNode(ctx context.Context) error {
	return together(ctx, s.startControllers, s.startKubelet, s.startDNS)
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
