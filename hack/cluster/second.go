package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// secondNode adds the cluster's second node, or cuts its power. The node stays in the cluster's books after that, as a
// machine that does not answer does.
func (s *state) secondNode(ctx context.Context, what string) error {
	node := s.second()
	if what == "cut" {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return node.cut(ctx)
	}
	if err := s.alive("kube-apiserver"); err != nil {
		return fmt.Errorf("%w; go run ./hack/cluster up starts it", err)
	}
	if node.alive("kubelet") == nil {
		return nil
	}
	return stages{
		{"make the second node's namespaces and network", func(ctx context.Context) error {
			if err := node.cut(ctx); err != nil {
				return err
			}
			if err := node.startHolder(ctx); err != nil {
				return err
			}
			return node.connect(ctx)
		}},
		{"start its containerd, kubelet and proxy", func(ctx context.Context) error {
			if err := node.startContainerd(ctx); err != nil {
				return err
			}
			if err := node.startKubelet(ctx); err != nil {
				return err
			}
			return node.startProxy()
		}},
		{"give it the first node's images", node.copyImages},
		{"wait for it to take pods", func(ctx context.Context) error {
			return node.waitFor(ctx, "kubelet", func(ctx context.Context) error { return s.nodeTakesPods(ctx, node.nodeName()) })
		}},
	}.run(ctx)
}

// connect lays a cable from the first node to the second. Everybody else reaches the second node over the first.
func (s *state) connect(ctx context.Context) error {
	here, err := s.holderPID()
	if err != nil {
		return err
	}
	there, err := s.first.holderPID()
	if err != nil {
		return err
	}
	for _, args := range secondLinks(s.first.link(), s.net.node(), s.address(), here, there) {
		if _, err := output(ctx, "ip", args...); err != nil {
			return fmt.Errorf("connect the second node's network: %w", err)
		}
	}
	for _, args := range secondRoutes(s.net.node(), s.address()) {
		if err := s.inNode(append([]string{"ip"}, args...)...); err != nil {
			return fmt.Errorf("set up the second node's network: %w", err)
		}
	}
	for _, args := range [][]string{
		{"link", "set", secondLink, "up"},
		{"route", "replace", s.address() + "/32", "dev", secondLink},
		{"route", "replace", s.pods(), "via", s.address(), "dev", secondLink},
	} {
		if err := s.first.inNode(append([]string{"ip"}, args...)...); err != nil {
			return fmt.Errorf("lead packets to the second node: %w", err)
		}
	}
	return nil
}

// secondLink is the first node's end of the cable to the second.
const secondLink = "node2"

// secondLinks are the machine's calls of ip.
func secondLinks(machineLink, first, second string, here, there int) [][]string {
	return [][]string{
		{"link", "add", "name", secondLink, "netns", strconv.Itoa(there), "type", "veth", "peer", "name", nodeLink, "netns", strconv.Itoa(here)},
		{"route", "replace", second + "/32", "via", first, "dev", machineLink},
	}
}

// secondRoutes are the calls of ip inside the second node.
func secondRoutes(first, second string) [][]string {
	return [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", second + "/32", "dev", nodeLink},
		{"link", "set", nodeLink, "up"},
		{"route", "add", first + "/32", "dev", nodeLink},
		{"route", "add", "default", "via", first},
	}
}

// copyImages brings the first node's images to this one.
func (s *state) copyImages(ctx context.Context) error {
	names, err := output(ctx, "ctr", "--address", s.first.containerdSocket(), "--namespace", "k8s.io", "images", "list", "-q")
	if err != nil {
		return err
	}
	var images []string
	for _, name := range strings.Fields(names) {
		if !strings.Contains(name, "sha256:") {
			images = append(images, name)
		}
	}
	archive := s.path("images.tar")
	defer func() { _ = os.Remove(archive) }()
	args := append([]string{"--address", s.first.containerdSocket(), "--namespace", "k8s.io", "images", "export", archive}, images...)
	if _, err := output(ctx, "ctr", args...); err != nil {
		return err
	}
	return s.loadHere(ctx, archive)
}

// part kills one of the cluster's programs, or starts it again as it was.
func (s *state) part(ctx context.Context, args []string) error {
	node := s
	if len(args) == 3 {
		node = s.second()
	}
	name := args[1]
	if args[0] == "stop" {
		_, err := node.ask(request{Do: "stop", Name: name})
		return err
	}
	if _, err := node.ask(request{Do: "again", Name: name}); err != nil {
		return err
	}
	if name == "kube-apiserver" {
		return s.waitAPIServer(ctx)
	}
	return node.alive(name)
}
