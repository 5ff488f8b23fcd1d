package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sync/errgroup"
)

// environment is a cluster with a bucket, as the demo uses them.
type environment struct {
	// variables for kubectl, helm and hrm: KUBECONFIG, PATH and the AWS_ credentials.
	variables     []string
	endpoint      string
	bucket        string
	operatorImage string
	trainerImage  string
}

func (e environment) variable(name string) string {
	for _, v := range e.variables {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return os.Getenv(name)
}

func currentCluster() environment {
	return environment{
		endpoint: os.Getenv("DEMO_S3_ENDPOINT"), bucket: os.Getenv("DEMO_S3_BUCKET"),
		operatorImage: os.Getenv("DEMO_OPERATOR_IMAGE"), trainerImage: os.Getenv("DEMO_TRAINER_IMAGE"),
	}
}

// localCluster reads what hack/cluster says of itself.
func localCluster(ctx context.Context) (environment, error) {
	script := `eval "$(go run ./hack/cluster env)"; echo KUBECONFIG=$KUBECONFIG; echo PATH=$PATH; ` +
		`echo AWS_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID; echo AWS_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY; echo ENDPOINT=$AWS_ENDPOINT_URL`
	out, err := exec.CommandContext(ctx, "bash", "-c", script).Output()
	if err != nil {
		return environment{}, fmt.Errorf("ask the cluster for its environment: %w", err)
	}
	e := environment{bucket: "hrm-demo", operatorImage: "hrm-operator:dev", trainerImage: "hrm-trainer:dev"}
	e.variables = strings.Split(strings.TrimSpace(string(out)), "\n")
	e.endpoint = e.variable("ENDPOINT")
	return e, nil
}

// check installs what is missing. reason says why no cluster can run on this machine, and is nil if one can.
func check(ctx context.Context, t *timer) (reason, err error) {
	err = t.stage("check the machine and install what is missing", func() error {
		cmd := cluster(ctx, "check")
		var said strings.Builder
		cmd.Stderr = &said
		failed := cmd.Run()
		if failed == nil {
			return nil
		}
		// go run has no other way to tell what its program ended with.
		if why, unsupported := strings.CutSuffix(strings.TrimSpace(said.String()), exitUnsupported); unsupported {
			reason = errors.New(strings.TrimPrefix(strings.TrimSpace(why), "cluster: a cluster cannot run here: "))
			return nil
		}
		return fmt.Errorf("%w: %s", failed, said.String())
	})
	return reason, err
}

// startCluster builds the cluster's programs and starts it while the images and the command line are built.
func startCluster(ctx context.Context, t *timer) error {
	group, building := errgroup.WithContext(ctx)
	group.Go(func() error {
		return t.stage("build what the cluster is made of, and start it", func() error { return cluster(building, "up").Run() })
	})
	group.Go(func() error {
		err := t.stage("build the command line", func() error { return command(building, "make", "build") })
		if err != nil {
			return err
		}
		return t.stage("build the images", func() error { return cluster(building, "images").Run() })
	})
	if err := group.Wait(); err != nil {
		return err
	}
	return t.stage("load the images", func() error { return cluster(ctx, "images").Run() })
}

// command runs a program with its output on the terminal.
func command(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
