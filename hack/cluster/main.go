// Command cluster builds the programs of a real Kubernetes cluster and a real S3 server from their Go modules and runs
// them on one Debian machine, without Docker and without an image registry.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `A real local Kubernetes cluster and S3 server, for the demo and the tests.

Usage: go run ./hack/cluster COMMAND

  check           install what is missing and say whether a cluster can run here
  deps            install the Debian packages that are missing (root)
  tools [NAME…]   build what the cache lacks of etcd, kube-apiserver, kubectl, versitygw, kubelet, … (all if none is
                  named) and print the folder that holds them
  up              start the cluster, over whatever a killed one left; quick if it runs
  images          build the project's images from its Dockerfile, and load them if the cluster runs
  load FILE       load a docker-archive into the cluster
  status          say what runs
  env             print shell lines that point kubectl, aws and hrm at the cluster
  down            leave no process, mount, interface, cgroup or file behind (built programs stay in the cache)

HRM_CLUSTER_DIR names the cluster's folder (default /var/lib/hrm-operator-cluster), HRM_CACHE the cache.
Exit status: 0 done, 3 this machine cannot run a cluster (the message says why), 1 anything else.
`

const exitUnsupported = 3

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "cluster:", err)
	if errors.Is(err, errUnsupported) {
		os.Exit(exitUnsupported)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		fmt.Print(usage)
		return nil
	}
	s := newState()
	switch command, rest := args[0], args[1:]; command {
	case "check":
		if err := checkMachine(); err != nil {
			return err
		}
		return installPackages(ctx)
	case "deps":
		return installPackages(ctx)
	case "tools":
		bin, err := ensureTools(ctx, ".", rest)
		if err == nil {
			fmt.Println(bin)
		}
		return err
	case "down":
		return s.down(ctx)
	case "load":
		if len(rest) != 1 {
			return errors.New("load takes one file")
		}
		return s.load(ctx, rest[0])
	case "images":
		return s.buildImages(ctx, ".")
	case "up", "status", "env":
		bin, err := ensureTools(ctx, ".", clusterTools)
		if err != nil {
			return err
		}
		s.bin = bin
		return map[string]func(context.Context) error{"up": s.up, "status": s.status, "env": s.env}[command](ctx)
	default:
		return fmt.Errorf("unknown command %q; see --help", command)
	}
}

func (s state) status(context.Context) error {
	for _, name := range daemons {
		word := "stopped"
		if s.alive(name) {
			word = "running"
		}
		fmt.Printf("%-24s %s\n", name, word)
	}
	return nil
}

func (s state) env(context.Context) error {
	access, secret, err := s.s3Credentials()
	if err != nil {
		return err
	}
	fmt.Printf("export KUBECONFIG=%s\nexport PATH=%s:$PATH\nexport AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s\n", s.kubeconfig(), s.bin, access, secret)
	fmt.Printf("export AWS_ENDPOINT_URL=http://%s AWS_REGION=us-east-1\n", s3Address)
	return nil
}
