// Command cluster builds the programs of a real Kubernetes cluster and a real S3 server from their Go modules and runs
// them on one Debian machine, without Docker and without an image registry.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

const usage = `A real local Kubernetes cluster and S3 server, for the demo and the tests.

Usage: go run ./hack/cluster COMMAND      (from the project's root)

  check           install what is missing and say whether a cluster can run here
  deps            install the Debian packages that are missing (root)
  tools [NAME…]   build what the cache lacks of etcd, kube-apiserver, kubectl, versitygw, kubelet, … (a cluster's, if
                  none is named; kwok and kueue have to be) and print the folder that holds them
  up              start the cluster, over whatever a killed one left; quick if it runs
  images [TARGET…]
                  build the project's images from its Dockerfile, and load them if the cluster runs: operator and trainer,
                  if no target is named; cuda is the trainer for GPUs
  load FILE…      load docker-archives into the cluster
  s3 start|stop   the S3 server alone: without a cluster, or to take the store away from under running jobs
  node add|cut    add a second node, a machine of its own to the first; or end all of it at once, like a power cut
  part stop|start NAME [2]
                  kill one of the programs that status lists, on the second node if so said; start it as it was
  pack PROGRAM IMAGE FILE
                  make a docker-archive of an image that holds one static program
  status          say what runs; exit status 1 if anything does not
  env             print shell lines that point kubectl, aws and hrm at the cluster
  down            leave no process, mount, interface, cgroup or file behind
  down --cache    delete the built programs and images too

HRM_CLUSTER_DIR      the cluster's folder (default /var/lib/hrm-operator-cluster); several clusters may run side by side
HRM_CLUSTER_NETWORK  the IPv4 block it uses, as in 10.244.76.0/22 (default: one that the machine has no route into)
HRM_CACHE            where built programs and images are kept (default: hrm-operator in the user's cache folder)

Exit status: 0 done, 3 this machine cannot run a cluster (the message says why), 1 anything else.
`

const exitUnsupported = 3

func main() {
	if len(os.Args) == 3 && os.Args[1] == holderCommand {
		fmt.Fprintln(os.Stderr, "cluster:", hold(os.Args[2]))
		os.Exit(1)
	}
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
	s, err := newState()
	if err != nil {
		return err
	}
	command, rest := args[0], args[1:]
	if err := checkArguments(command, rest); err != nil {
		return err
	}
	switch command {
	case "check":
		return check(ctx)
	case "deps":
		return installPackages(ctx)
	case "tools":
		bin, err := ensureTools(ctx, ".", rest)
		if err == nil {
			fmt.Println(bin)
		}
		return err
	case "images":
		return s.buildImages(ctx, ".", rest)
	case "load":
		return s.load(ctx, rest...)
	case "pack":
		return packProgram(rest[0], rest[1], rest[2])
	case "status":
		return s.status()
	case "env":
		return s.env(".")
	}
	return s.change(ctx, command, rest)
}

// change runs the commands that start or remove the cluster, one at a time. Building comes before the wait for others.
func (s *state) change(ctx context.Context, command string, rest []string) (err error) {
	switch command {
	case "up", "node":
		s.bin, err = ensureTools(ctx, ".", nil)
	case "s3":
		s.bin, err = ensureTools(ctx, ".", []string{"versitygw"})
	}
	if err != nil {
		return err
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	switch command {
	case "up":
		return s.up(ctx)
	case "s3":
		return s.s3(ctx, rest[0])
	case "node":
		return s.secondNode(ctx, rest[0])
	case "part":
		return s.part(ctx, rest)
	}
	if err := s.down(ctx); err != nil || len(rest) == 0 {
		return err
	}
	return removeCache()
}

// arguments are the commands and what may follow each.
var arguments = map[string]func(rest []string) bool{
	"check": none, "deps": none, "up": none, "status": none, "env": none,
	"images": func(rest []string) bool {
		return !slices.ContainsFunc(rest, func(target string) bool { return projectImages[target] == "" })
	},
	"tools": func([]string) bool { return true },
	"load":  func(rest []string) bool { return len(rest) > 0 },
	"pack":  func(rest []string) bool { return len(rest) == 3 },
	"node":  func(rest []string) bool { return len(rest) == 1 && (rest[0] == "add" || rest[0] == "cut") },
	"part": func(rest []string) bool {
		return (len(rest) == 2 || len(rest) == 3 && rest[2] == "2") && (rest[0] == "start" || rest[0] == "stop") && slices.Contains(daemons, rest[1])
	},
	"s3":   func(rest []string) bool { return len(rest) == 1 && (rest[0] == "start" || rest[0] == "stop") },
	"down": func(rest []string) bool { return len(rest) == 0 || len(rest) == 1 && rest[0] == "--cache" },
}

func none(rest []string) bool { return len(rest) == 0 }

func checkArguments(command string, rest []string) error {
	fits, known := arguments[command]
	if !known {
		return fmt.Errorf("unknown command %q; see --help", command)
	}
	if !fits(rest) {
		return fmt.Errorf("%s does not take %q; see --help", command, strings.Join(rest, " "))
	}
	return nil
}

// status prints what runs, and what became of what does not.
func (s *state) status() error {
	answer, err := s.ask(request{Do: "list"})
	if err != nil {
		return err
	}
	var stopped error
	for _, name := range daemons {
		end, started := answer.Daemons[name]
		switch {
		case !started:
			end = "not started"
		case end == "":
			end = "running"
		}
		if end != "running" {
			stopped = fmt.Errorf("not everything runs; logs are in %s", s.path("logs"))
		}
		fmt.Printf("%-24s %s\n", name, end)
	}
	return stopped
}

// env prints what a shell needs to use the cluster.
func (s *state) env(root string) error {
	if s.net == (network{}) {
		return fmt.Errorf("no cluster runs in %s; go run ./hack/cluster up starts one", s.dir)
	}
	access, secret, err := s.s3Credentials()
	if err != nil {
		return err
	}
	bin, err := toolsDir(root)
	if err != nil {
		return err
	}
	fmt.Printf("export KUBECONFIG=%s\nexport PATH=%s:$PATH\nexport AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s\n", s.kubeconfig(), bin, access, secret)
	fmt.Printf("export AWS_ENDPOINT_URL=http://%s AWS_REGION=us-east-1\n", s.net.s3())
	// The cluster is on this machine: a proxy would not find it.
	fmt.Printf("export NO_PROXY=%s${NO_PROXY:+,$NO_PROXY}\n", s.net.block)
	return nil
}

// lock keeps two commands from starting or removing the same cluster at once.
func (s *state) lock() (func(), error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	return lock(cache + "/locks/" + s.id())
}
