package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test's own program hold a node, as the command's does.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == holderCommand {
		fmt.Fprintln(os.Stderr, hold(os.Args[2]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const probeImage = "hrm.local/probe:1"

// TestCluster starts real clusters beside one that may run already, so it takes two minutes and only runs when asked.
func TestCluster(t *testing.T) {
	if os.Getenv("HRM_TEST_CLUSTER") == "" {
		t.Skip("HRM_TEST_CLUSTER=1 starts a real cluster; it needs root on Debian")
	}
	t.Setenv("HRM_CLUSTER_DIR", "/var/lib/hrm-cluster-test")
	s, err := newState()
	must(t, err)
	ctx := t.Context()
	must(t, s.down(ctx))
	before := traces(t)
	t.Cleanup(func() {
		if err := s.down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s.bin, err = ensureTools(ctx, "../..", nil)
	must(t, err)

	must(t, s.up(ctx))
	loadProbe(t, s)
	kubectl(t, s, manifest(t, s), "apply", "-f", "-")
	t.Run("a gang of pods finds each other, the S3 server and the apiserver", func(t *testing.T) { testGang(t, s) })
	t.Run("the restricted profile is enforced", func(t *testing.T) { testRestricted(t, s) })
	t.Run("the machine reaches pods and Services", func(t *testing.T) { testReach(t, s) })
	t.Run("a command runs in a pod", func(t *testing.T) {
		if out := kubectl(t, s, "", "exec", "-n", "probe", "patient", "--", "/probe", "hello"); strings.TrimSpace(out) != "hello" {
			t.Errorf("exec printed %q", out)
		}
	})
	t.Run("an evicted pod may finish", func(t *testing.T) { testEviction(t, s) })
	t.Run("the S3 server can be taken away and comes back", func(t *testing.T) { testS3(t, s) })
	t.Run("pods on two nodes find each other, and a node can be lost", func(t *testing.T) { testSecondNode(t, s) })
	t.Run("a part can be taken away and comes back as it was", func(t *testing.T) {
		must(t, s.part(ctx, []string{"stop", "kube-apiserver"}))
		if _, err := s.kubectl(ctx, "", "get", "nodes", "--request-timeout=2s"); err == nil {
			t.Error("the stopped apiserver answers")
		}
		must(t, s.part(ctx, []string{"start", "kube-apiserver"}))
		kubectl(t, s, "", "get", "nodes")
	})
	t.Run("another cluster comes and goes beside it", func(t *testing.T) { testBeside(t, s) })
	t.Run("up does nothing where a cluster runs", func(t *testing.T) {
		before := s.holders()
		must(t, s.up(ctx))
		if diff := cmp.Diff(before, s.holders()); diff != "" {
			t.Error("up replaced the cluster")
		}
	})
	t.Run("up mends what lost a part", func(t *testing.T) {
		// What is killed here leaves its pods' processes behind.
		must(t, exec.Command("pkill", "-9", "-f", s.path("containerd.toml")).Run())
		must(t, eventually(t, func() error {
			if s.alive("containerd") == nil {
				return errors.New("containerd still runs")
			}
			return nil
		}))
		must(t, s.up(ctx))
		must(t, s.healthy(ctx))
	})
	t.Run("up mends what was killed whole", func(t *testing.T) {
		for _, pid := range s.holders() {
			must(t, syscall.Kill(pid, syscall.SIGKILL))
		}
		must(t, s.up(ctx))
		must(t, s.healthy(ctx))
	})
	t.Run("down leaves nothing, twice", func(t *testing.T) {
		loadProbe(t, s)
		kubectl(t, s, manifest(t, s), "apply", "-f", "-")
		kubectl(t, s, "", "wait", "-n", "probe", "--for=condition=Ready", "pod/patient", "--timeout=60s")
		must(t, s.down(ctx))
		if diff := cmp.Diff(before, traces(t)); diff != "" {
			t.Errorf("left on the machine (-before +after):\n%s", diff)
		}
		must(t, s.down(ctx))
	})
}

func testGang(t *testing.T, s *state) {
	_, err := s.kubectl(t.Context(), "", "wait", "-n", "probe", "--for=condition=Complete", "job/gang", "--timeout=3m")
	logs := kubectl(t, s, "", "logs", "-n", "probe", "-l", "job-name=gang", "--prefix", "--tail=-1")
	if err != nil || strings.Count(logs, "all is well") != 2 {
		t.Errorf("%v; the pods say:\n%s%s", err, logs, kubectl(t, s, "", "get", "pods,events", "-n", "probe", "-o", "wide"))
	}
}

func testRestricted(t *testing.T, s *state) {
	_, err := s.kubectl(t.Context(), "", "run", "root", "-n", "probe", "--image", probeImage)
	if err == nil || !strings.Contains(err.Error(), "violates PodSecurity") {
		t.Errorf("a pod without a security context: got %v, want a refusal by PodSecurity", err)
	}
}

func testReach(t *testing.T, s *state) {
	kubectl(t, s, "", "wait", "-n", "probe", "--for=condition=Ready", "pod/patient", "--timeout=60s")
	for _, url := range []string{
		"http://" + kubectl(t, s, "", "get", "pod", "patient", "-n", "probe", "-o", "jsonpath={.status.podIP}") + ":8080",
		"http://" + kubectl(t, s, "", "get", "service", "patient", "-n", "probe", "-o", "jsonpath={.spec.clusterIP}"),
	} {
		must(t, eventually(t, func() error { return httpOK(t.Context(), url) }))
	}
}

func testEviction(t *testing.T, s *state) {
	follow := exec.CommandContext(t.Context(), s.program("kubectl"), "--kubeconfig", s.kubeconfig(), "logs", "-n", "probe", "-f", "patient")
	out, err := follow.StdoutPipe()
	must(t, err)
	must(t, follow.Start())
	// Logs are followed only once something of them has arrived.
	first := make([]byte, len("waiting\n"))
	_, err = io.ReadFull(out, first)
	must(t, err)
	kubectl(t, s, `{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "patient", "namespace": "probe"}}`,
		"create", "--raw", "/api/v1/namespaces/probe/pods/patient/eviction", "-f", "-")
	rest, err := io.ReadAll(out)
	must(t, errors.Join(err, follow.Wait()))
	if string(rest) != "saving\nsaved\n" {
		t.Errorf("after its eviction the pod said %q", rest)
	}
	kubectl(t, s, "", "wait", "-n", "probe", "--for=delete", "pod/patient", "--timeout=30s")
}

func testS3(t *testing.T, s *state) {
	url := "http://" + s.net.s3() + "/health"
	must(t, s.s3(t.Context(), "stop"))
	if httpOK(t.Context(), url) == nil {
		t.Error("the stopped S3 server answers")
	}
	must(t, s.s3(t.Context(), "start"))
	must(t, httpOK(t.Context(), url))
}

// testSecondNode spreads the gang over two nodes, and cuts one node's power.
func testSecondNode(t *testing.T, s *state) {
	must(t, s.secondNode(t.Context(), "add"))
	apart := "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: " +
		"[{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {job-name: gang}}}]}}"
	kubectl(t, s, "", "delete", "job", "gang", "-n", "probe", "--wait")
	kubectl(t, s, strings.ReplaceAll(manifest(t, s), "subdomain: gang", "subdomain: gang\n      "+apart), "apply", "-f", "-")
	testGang(t, s)
	nodes := strings.Fields(kubectl(t, s, "", "get", "pods", "-n", "probe", "-l", "job-name=gang", "-o", "jsonpath={.items[*].spec.nodeName}"))
	slices.Sort(nodes)
	if diff := cmp.Diff([]string{"hrm-node", "hrm-node-2"}, nodes); diff != "" {
		t.Errorf("the gang was not spread (-want +got):\n%s", diff)
	}
	must(t, s.secondNode(t.Context(), "cut"))
	kubectl(t, s, "", "wait", "--for=condition=Ready=Unknown", "node/hrm-node-2", "--timeout=60s")
	kubectl(t, s, "", "delete", "node", "hrm-node-2")
}

// testBeside starts and removes a second node; both lay folders of their own over the same places.
func testBeside(t *testing.T, s *state) {
	other := &state{dir: s.dir + "-2", bin: s.bin}
	t.Cleanup(func() { _ = other.down(context.Background()) })
	must(t, other.s3(t.Context(), "start"))
	must(t, other.down(t.Context()))
	pid, err := s.holderPID()
	must(t, err)
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", pid))
	must(t, err)
	for _, folder := range nodeFolders {
		if !strings.Contains(string(mounts), " "+folder+" ") {
			t.Errorf("the first cluster has lost its %s", folder)
		}
	}
}

func loadProbe(t *testing.T, s *state) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "probe.tar")
	must(t, writeImage(t.Context(), "hack/cluster/testdata/probe", probeImage, archive))
	must(t, s.load(t.Context(), archive))
}

func manifest(t *testing.T, s *state) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/pods.yaml")
	must(t, err)
	return strings.ReplaceAll(string(raw), "$S3_ENDPOINT", "http://"+s.net.s3())
}

func kubectl(t *testing.T, s *state, input string, args ...string) string {
	t.Helper()
	out, err := s.kubectl(t.Context(), input, args...)
	must(t, err)
	return out
}

func eventually(t *testing.T, try func() error) error {
	t.Helper()
	var err error
	for range 50 {
		if err = try(); err == nil {
			return nil
		}
		select {
		case <-t.Context().Done():
			return t.Context().Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var counters = regexp.MustCompile(`\[\d+:\d+\]|# .*`)

// traces is everything a cluster could leave on a machine that others do not change meanwhile.
func traces(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{"processes in other namespaces": strings.Join(foreignProcesses(t), "\n")}
	for name, args := range map[string][]string{
		"interfaces": {"ip", "-o", "-br", "link"}, "routes": {"ip", "route", "show", "table", "all"}, "network namespaces": {"ip", "netns"},
		"iptables": {"iptables-save"}, "mounts": {"cat", "/proc/self/mounts"}, "forwarding": {"cat", "/proc/sys/net/ipv4/ip_forward"},
		"cgroups": {"find", "/sys/fs/cgroup", "-maxdepth", "2", "-name", "hrm-cluster-*"},
		"folders": {"find", "/var/lib", "/var/log", "/run", "/etc/cni", "-maxdepth", "2", "-path", "*c[non][nit]*"},
	} {
		out, _ := exec.Command(args[0], args[1:]...).Output()
		found[name] = counters.ReplaceAllString(string(out), "")
	}
	return found
}

// foreignProcesses are those in another namespace of processes than the test's.
func foreignProcesses(t *testing.T) []string {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/pid")
	must(t, err)
	var out []string
	entries, err := os.ReadDir("/proc")
	must(t, err)
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		if ns, err := os.Readlink(filepath.Join("/proc", entry.Name(), "ns/pid")); err == nil && ns != own {
			command, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "comm"))
			out = append(out, strings.TrimSpace(string(command)))
		}
	}
	return out
}
