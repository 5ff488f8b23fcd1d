package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

const (
	firstNode, secondNode = "hrm-node", "hrm-node-2"
	systemNamespace       = "hrm-system"
	operatorName          = "hrm-operator"
	// place is a device that both nodes offer, and that every job takes: it is there to be given back.
	place        = corev1.ResourceName("example.org/place")
	placesOfNode = 16
)

// cluster is the one that all cases share.
var cluster struct {
	config    *rest.Config
	client    client.Client
	clientset *kubernetes.Clientset
	variables []string // environment of kubectl, helm and hrm
	endpoint  string   // of the S3 server
	dir       string
}

// program is hack/cluster, built once.
const program = "bin/cluster"

func clusterDir() string {
	if dir := os.Getenv("HRM_CLUSTER_DIR"); dir != "" {
		return dir
	}
	return "/var/lib/hrm-operator-e2e"
}

// startCluster brings up two nodes, the images and the operator.
func startCluster() error {
	cluster.dir = clusterDir()
	if err := os.Setenv("HRM_CLUSTER_DIR", cluster.dir); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"go", "build", "-o", program, "./hack/cluster"}, {"make", "build"},
		{program, "check"}, {program, "up"}, {program, "node", "add"}, {program, "images"},
	} {
		if err := show(args...); err != nil {
			return err
		}
	}
	if err := readEnvironment(); err != nil {
		return err
	}
	if err := connect(); err != nil {
		return err
	}
	for _, node := range []string{firstNode, secondNode} {
		if err := advertiseDevices(node); err != nil {
			return err
		}
	}
	if err := uploadPuzzles(); err != nil {
		return err
	}
	return installOperator("charts/hrm-operator")
}

func stopCluster() {
	if err := show(program, "down"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// show runs a command with its output on the terminal.
func show(args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// readEnvironment evaluates what the cluster says of itself.
func readEnvironment() error {
	script := `eval "$(` + program + ` env)"; env`
	out, err := exec.Command("bash", "-c", script).Output()
	if err != nil {
		return fmt.Errorf("%s env: %w", program, err)
	}
	cluster.variables = strings.Split(strings.TrimSpace(string(out)), "\n")
	cluster.endpoint = variable("AWS_ENDPOINT_URL")
	return nil
}

func variable(name string) string {
	for _, v := range cluster.variables {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

func connect() error {
	log.SetLogger(logr.Discard())
	raw, err := os.ReadFile(variable("KUBECONFIG"))
	if err != nil {
		return err
	}
	if cluster.config, err = clientcmd.RESTConfigFromKubeConfig(raw); err != nil {
		return err
	}
	cluster.config.QPS, cluster.config.Burst = 200, 400
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	if cluster.client, err = client.New(cluster.config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	cluster.clientset, err = kubernetes.NewForConfig(cluster.config)
	return err
}

// advertiseDevices makes a node offer devices, as their plugins would. The GPU is not there: nobody but the scheduler believes in it.
func advertiseDevices(node string) error {
	devices := fmt.Sprintf(`{%q:"%d",%q:"1"}`, place, placesOfNode, v1alpha1.GPU)
	patch := fmt.Sprintf(`{"status":{"capacity":%s,"allocatable":%s}}`, devices, devices)
	_, err := cluster.clientset.CoreV1().Nodes().PatchStatus(context.Background(), node, []byte(patch))
	return err
}

// output runs kubectl, helm, hrm or hack/cluster against the cluster and returns what it printed.
func output(ctx context.Context, input, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, find(name), args...)
	cmd.Env = cluster.variables
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out), nil
}

// find looks a program up in bin and on the cluster's PATH.
func find(name string) string {
	for _, dir := range append([]string{"bin"}, filepath.SplitList(variable("PATH"))...) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
			if path, err := filepath.Abs(filepath.Join(dir, name)); err == nil {
				return path
			}
		}
	}
	return name
}

// installOperator installs or upgrades the chart, and waits until it serves.
func installOperator(chart string, settings ...string) error {
	args := []string{"upgrade", "--install", operatorName, chart, "--namespace", systemNamespace, "--create-namespace",
		"--wait", "--timeout", "3m",
		"--set", "image.repository=hrm-operator,image.tag=dev,trainerImage.repository=hrm-trainer,trainerImage.tag=dev",
		"--set", "pollInterval=1s",
		// The images keep their names from run to run.
		"--set-string", "podAnnotations.startedAt=" + strconv.FormatInt(time.Now().Unix(), 10)}
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	if err := ensureRestricted(systemNamespace); err != nil {
		return err
	}
	_, err := output(context.Background(), "", "helm", args...)
	return err
}

// ensureRestricted makes a namespace that takes no pod which violates the restricted standard.
func ensureRestricted(name string) error {
	manifest := fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {pod-security.kubernetes.io/enforce: restricted}}}`, name)
	_, err := output(context.Background(), manifest, "kubectl", "apply", "-f", "-")
	return err
}

// processes finds the processes of a pod's containers, as the machine counts them, by their cgroup.
func processes(pod types.UID) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(raw), string(pod)) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if strings.HasPrefix(string(command), "/pause") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// signalPod sends a signal to a pod's processes, as the kernel would.
func signalPod(t *testing.T, pod corev1.Pod, sig syscall.Signal) {
	t.Helper()
	pids := processes(pod.UID)
	if len(pids) == 0 {
		t.Fatalf("pod %s has no processes", pod.Name)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatalf("signal %s to pod %s: %v", sig, pod.Name, err)
		}
	}
}

// part stops or starts one of the cluster's programs.
func part(t *testing.T, args ...string) {
	t.Helper()
	if _, err := output(context.Background(), "", "cluster", append([]string{"part"}, args...)...); err != nil {
		t.Fatal(err)
	}
}

// withoutPart takes one of the cluster's programs away while do works.
func withoutPart(t *testing.T, name string, do func()) {
	t.Helper()
	part(t, "stop", name)
	back := false
	restore := func() {
		if !back {
			back = true
			part(t, "start", name)
		}
	}
	defer restore() // also when do gives up
	do()
	restore()
}
