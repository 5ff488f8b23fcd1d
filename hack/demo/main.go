// Command demo shows the whole product at work: it starts a real cluster and S3 server, builds the images, installs the
// operator with helm, trains a model with an HRMTrainingJob, pulls its checkpoint out of the bucket, evaluates it on
// puzzles that it has never seen and lets it solve one.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

const usage = `Usage: go run ./hack/demo up|down

up    start what is needed, train the quickstart on it and solve a Sudoku
down  remove all that up has started

DEMO_CLUSTER=current uses the cluster of the current kubeconfig; DEMO_S3_ENDPOINT, DEMO_S3_BUCKET, AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY then name a bucket that its pods reach, DEMO_OPERATOR_IMAGE and DEMO_TRAINER_IMAGE the images. The
demo then takes the namespaces hrm-demo, which it empties, and hrm-system, and what begins with hrm-demo/ in the bucket.
`

// exitUnsupported is how hack/cluster ends where no cluster can run.
const exitUnsupported = "exit status 3"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		fmt.Print(usage)
		return nil
	}
	switch args[0] {
	case "up":
		return up(ctx)
	case "down":
		return errors.Join(cluster(ctx, "down").Run(), os.RemoveAll(workDir))
	}
	fmt.Print(usage)
	return fmt.Errorf("unknown command %q", args[0])
}

// workDir holds what the demo pulls out of the bucket.
var workDir = filepath.Join(os.TempDir(), "hrm-operator-demo")

// cluster prepares a call of hack/cluster with its output on the terminal.
func cluster(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", append([]string{"run", "./hack/cluster"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

// up runs the demo on the cluster that can be had, or without one.
func up(ctx context.Context) error {
	timer := newTimer()
	defer timer.summary()
	if err := os.MkdirAll(workDir, 0o755); err != nil {
		return err
	}
	if os.Getenv("DEMO_CLUSTER") == "current" {
		if err := timer.stage("build the command line", func() error { return command(ctx, "make", "build") }); err != nil {
			return err
		}
		return onCluster(ctx, timer, currentCluster())
	}
	reason, err := check(ctx, timer)
	if err != nil {
		return err
	}
	if reason != nil {
		fmt.Printf("\nA cluster cannot start here (%v): training the same YAML with hrm train instead.\n\n", reason)
		return withoutCluster(ctx, timer)
	}
	if err := startCluster(ctx, timer); err != nil {
		return err
	}
	env, err := localCluster(ctx)
	if err != nil {
		return err
	}
	return onCluster(ctx, timer, env)
}
