// Command cluster builds the programs of a real Kubernetes cluster and a real S3 server from their Go modules and runs
// them on one Debian machine, without Docker and without an image registry.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `A real local Kubernetes cluster and S3 server, for the demo and the tests.

Usage: go run ./hack/cluster COMMAND

  tools [NAME…]   build what the cache lacks of etcd, kube-apiserver, kubectl, versitygw, kubelet, … (all if none is
                  named) and print the folder that holds them
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" {
		fmt.Print(usage)
		return nil
	}
	switch args[0] {
	case "tools":
		bin, err := ensureTools(ctx, ".", args[1:])
		if err != nil {
			return err
		}
		fmt.Println(bin)
		return nil
	}
	return fmt.Errorf("unknown command %q; see --help", args[0])
}
