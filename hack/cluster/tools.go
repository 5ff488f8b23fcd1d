package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"
	"time"
)

// kubernetesVersion is what the binaries report; it must be the version that tools/kubernetes/go.mod requires.
const kubernetesVersion = "v1.35.4"

// tool is a program built from the module in tools/<module>.
type tool struct {
	module, pkg string
}

var tools = map[string]tool{
	"etcd":                    {"etcd", "go.etcd.io/etcd/server/v3"},
	"kube-apiserver":          {"kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"},
	"kubectl":                 {"kubernetes", "k8s.io/kubernetes/cmd/kubectl"},
	"kube-controller-manager": {"kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	"kube-scheduler":          {"kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"},
	"kubelet":                 {"kubernetes", "k8s.io/kubernetes/cmd/kubelet"},
	"kube-proxy":              {"kubernetes", "k8s.io/kubernetes/cmd/kube-proxy"},
	"coredns":                 {"coredns", "."},
	"helm":                    {"helm", "helm.sh/helm/v4/cmd/helm"},
	"versitygw":               {"versitygw", "github.com/versity/versitygw/cmd/versitygw"},
}

// buildOrder puts first what others wait for: the tests need etcd, the apiserver and the S3 server.
var buildOrder = []string{
	"etcd", "kube-apiserver", "kubectl", "versitygw", "kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns", "helm",
}

// clusterTools are what the cluster runs on; helm comes last because only its users wait for it.
var clusterTools = buildOrder[:len(buildOrder)-1]

// cacheDir is where built programs are kept between runs.
func cacheDir() (string, error) {
	if dir := os.Getenv("HRM_CACHE"); dir != "" {
		return dir, nil
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; set HRM_CACHE", err)
	}
	return filepath.Join(base, "hrm-operator"), nil
}

// ensureTools builds the named programs that the cache lacks and returns the folder that holds them all.
// No names mean every tool.
func ensureTools(ctx context.Context, root string, names []string) (string, error) {
	names, err := inBuildOrder(names)
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	key, err := toolsKey(root)
	if err != nil {
		return "", err
	}
	bin := filepath.Join(cache, "tools", key)
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(cache, "tools", "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	for _, name := range names {
		if err := buildTool(ctx, root, bin, name); err != nil {
			return "", err
		}
	}
	return bin, nil
}

// inBuildOrder checks the names and sorts them.
func inBuildOrder(names []string) ([]string, error) {
	if len(names) == 0 {
		return buildOrder, nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		if _, ok := tools[name]; !ok {
			return nil, fmt.Errorf("unknown tool %q; known are %s", name, strings.Join(buildOrder, ", "))
		}
		wanted[name] = true
	}
	var ordered []string
	for _, name := range buildOrder {
		if wanted[name] {
			ordered = append(ordered, name)
		}
	}
	return ordered, nil
}

// toolsKey changes whenever a rebuild would give other programs: with the pinned modules and the Go version.
func toolsKey(root string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH, kubernetesVersion)
	sums, err := filepath.Glob(filepath.Join(root, "hack/cluster/tools/*/go.*"))
	if err != nil || len(sums) == 0 {
		return "", fmt.Errorf("no tool modules under %s/hack/cluster/tools: run this from the project's root", root)
	}
	sort.Strings(sums)
	for _, sum := range sums {
		content, err := os.ReadFile(sum)
		if err != nil {
			return "", err
		}
		h.Write(content)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// buildTool compiles one program unless it is there already. It appears under its name only when it is complete.
func buildTool(ctx context.Context, root, bin, name string) error {
	target := filepath.Join(bin, name)
	if _, err := os.Stat(target); err == nil {
		return nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	start := time.Now()
	fmt.Fprintf(os.Stderr, "building %s …\n", name)
	partial := target + ".partial"
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", linkFlags(tools[name].module), "-o", partial, tools[name].pkg)
	build.Dir = filepath.Join(root, "hack/cluster/tools", tools[name].module)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build %s in %s: %w", tools[name].pkg, build.Dir, err)
	}
	fmt.Fprintf(os.Stderr, "built %s in %s\n", name, time.Since(start).Round(time.Second))
	return os.Rename(partial, target)
}

func linkFlags(module string) string {
	flags := "-s -w"
	if module != "kubernetes" {
		return flags
	}
	version := strings.Split(strings.TrimPrefix(kubernetesVersion, "v"), ".")
	for _, v := range [][2]string{
		{"gitVersion", kubernetesVersion}, {"gitMajor", version[0]}, {"gitMinor", version[1]}, {"gitTreeState", "clean"},
	} {
		flags += fmt.Sprintf(" -X k8s.io/component-base/version.%s=%s", v[0], v[1])
	}
	return flags
}

// lock keeps two builds from doing the same work twice.
func lock(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
