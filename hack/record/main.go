// Command record makes monitoring data for the documentation's picture of the dashboard: the real operator works on a bare
// apiserver, record plays the Job controller and the kubelet with real training processes, some of which it ends now and
// then, and Prometheus scrapes them all. In the end it runs a command that finds Prometheus at $PROMETHEUS_URL.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/apiserver"
)

// Where the operator and Prometheus listen.
const (
	operatorAddress   = "127.0.0.1:18080"
	prometheusAddress = "127.0.0.1:19090"
)

func main() {
	operator := flag.String("operator", "bin/hrm-operator", "the operator's program")
	hrm := flag.String("hrm", "bin/hrm", "the trainer's program")
	duration := flag.Duration("duration", 5*time.Minute, "how long to train")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := record(ctx, *operator, *hrm, *duration, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func record(ctx context.Context, operator, hrm string, duration time.Duration, command []string) error {
	dir, err := os.MkdirTemp("", "hrm-record-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	env, err := apiserver.Start(apiserver.CRDs())
	if err != nil {
		return err
	}
	defer func() { _ = env.Stop() }()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := apiserver.Kubeconfig(env, kubeconfig); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	cluster, err := client.New(env.Config, client.Options{Scheme: scheme})
	if err != nil {
		return err
	}
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := startServers(within, dir, kubeconfig, operator); err != nil {
		return err
	}
	node := &node{cluster: cluster, hrm: hrm, dir: dir, running: map[string]*process{}}
	defer node.stop()
	if err := submit(ctx, cluster); err != nil {
		return err
	}
	if err := node.work(ctx, duration); err != nil {
		return err
	}
	if len(command) == 0 {
		return nil
	}
	finish := exec.CommandContext(ctx, command[0], command[1:]...)
	finish.Env = append(os.Environ(), "PROMETHEUS_URL=http://"+prometheusAddress)
	finish.Stdout, finish.Stderr = os.Stdout, os.Stderr
	return finish.Run()
}

// startServers starts the operator and Prometheus, which end with ctx.
func startServers(ctx context.Context, dir, kubeconfig, operator string) error {
	config := fmt.Sprintf(`global: {scrape_interval: 2s}
scrape_configs:
  - job_name: operator
    static_configs: [{targets: [%q]}]
  - job_name: training
    file_sd_configs: [{files: [%q], refresh_interval: 1s}]
`, operatorAddress, filepath.Join(dir, "targets.json"))
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		return err
	}
	for _, server := range [][]string{
		{operator, "--trainer-image=local", "--namespace=default", "--metrics-bind-address=" + operatorAddress, "--health-probe-bind-address=0",
			"--poll-interval=2s", "--restart-backoff=5s", "--network-policies=false"},
		{"prometheus", "--config.file=" + filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + prometheusAddress},
	} {
		log, err := os.Create(filepath.Join(dir, filepath.Base(server[0])+".log"))
		if err != nil {
			return err
		}
		program := exec.CommandContext(ctx, server[0], server[1:]...)
		program.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
		program.Stdout, program.Stderr = log, log
		program.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := program.Start(); err != nil {
			return fmt.Errorf("start %s: %w", server[0], err)
		}
	}
	return nil
}

// submit creates the jobs: three that train, one whose puzzles are missing, one that is suspended.
func submit(ctx context.Context, cluster client.Client) error {
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	puzzles := filepath.Join(here, "trainer/dataset/sudoku/testdata/norvig_sudoku10k.csv.gz")
	for _, j := range []struct{ name, source, extra string }{
		{"sudoku-easy", puzzles, "training: {globalBatchSize: 32, steps: 4000, warmupSteps: 50, learningRate: \"2e-3\"}"},
		{"sudoku-slow", puzzles, "training: {globalBatchSize: 32, steps: 6000, warmupSteps: 50, learningRate: \"3e-4\"}"},
		{"sudoku-short", puzzles, "training: {globalBatchSize: 16, steps: 500, warmupSteps: 50, learningRate: \"1e-3\"}"},
		{"no-puzzles", "/nowhere.csv", "training: {globalBatchSize: 16, steps: 100}"},
		{"suspended", puzzles, "suspend: true"},
	} {
		job, err := v1alpha1.Load(strings.NewReader(fmt.Sprintf(`apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: %s, namespace: default}
spec:
  model: {hiddenSize: 64, numHeads: 4, expansion: 3, hLayers: 1, lLayers: 1, act: {maxSteps: 2, explorationProbability: "0"}}
  dataset: {task: Sudoku, source: {uri: %q}, subsample: 3000, augmentations: 20, maxBlanks: 20}
  evaluation: {everySteps: 250, maxExamples: 64}
  checkpoint: {everySteps: 200}
  maxRestarts: 9
  storage: {bucket: none}
  %s
`, j.name, j.source, j.extra)))
		if err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
		if err := cluster.Create(ctx, job); err != nil {
			return fmt.Errorf("%s: %w", j.name, err)
		}
	}
	return nil
}
