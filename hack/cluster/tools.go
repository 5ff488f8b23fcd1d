package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// kubernetesVersion is what the binaries report; it must be the version that tools/kubernetes/go.mod requires.
const kubernetesVersion = "v1.35.4"

// tool is a program built from the module in tools/<module>: one each, because their dependencies do not agree.
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
	"kwok":                    {"kwok", "sigs.k8s.io/kwok/cmd/kwok"},
	"kueue":                   {"kueue", "sigs.k8s.io/kueue/cmd/kueue"},
}

// buildOrder puts first what others wait for: the tests need etcd, the apiserver and the S3 server.
var buildOrder = []string{
	"etcd", "kube-apiserver", "kubectl", "versitygw", "kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns", "helm",
}

// byName are built only when they are named: no cluster needs them, but the tests and benchmarks that play its nodes or
// its queues do.
var byName = []string{"kwok", "kueue"}

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
// No names mean every tool of a cluster.
func ensureTools(ctx context.Context, root string, names []string) (string, error) {
	names, err := inBuildOrder(names)
	if err != nil {
		return "", err
	}
	bin, err := toolsDir(root)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	for _, name := range names {
		if err := ensureTool(ctx, root, bin, name); err != nil {
			return "", err
		}
	}
	return bin, nil
}

// ensureTool links a program into bin, building it first if its module has changed since it was last built.
func ensureTool(ctx context.Context, root, bin, name string) error {
	target := filepath.Join(bin, name)
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	unlock, err := lock(filepath.Join(filepath.Dir(bin), "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	key, err := moduleKey(root, tools[name].module)
	if err != nil {
		return err
	}
	built := filepath.Join(filepath.Dir(bin), tools[name].module+"-"+key, name)
	if err := buildTool(ctx, root, built, name); err != nil {
		return err
	}
	if err := os.Link(built, target); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

func allTools() []string { return slices.Concat(buildOrder, byName) }

// inBuildOrder checks the names and sorts them.
func inBuildOrder(names []string) ([]string, error) {
	if len(names) == 0 {
		return buildOrder, nil
	}
	wanted := map[string]bool{}
	for _, name := range names {
		if _, ok := tools[name]; !ok {
			return nil, fmt.Errorf("unknown tool %q; known are %s", name, strings.Join(allTools(), ", "))
		}
		wanted[name] = true
	}
	var ordered []string
	for _, name := range allTools() {
		if wanted[name] {
			ordered = append(ordered, name)
		}
	}
	return ordered, nil
}

// toolsDir is the folder for the programs of all modules as they are now.
func toolsDir(root string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, name := range allTools() {
		key, err := moduleKey(root, tools[name].module)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, name, key)
	}
	return filepath.Join(cache, "tools", "bin-"+shortHash(h)), nil
}

// moduleKey changes whenever a rebuild would give other programs: with the module's files and the Go version.
func moduleKey(root, module string) (string, error) {
	dir := filepath.Join(root, "hack/cluster/tools", module)
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("no tool module: %w; run this from the project's root", err)
	}
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH, compileFlags, linkFlags(module))
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", file.Name(), len(content), content)
	}
	return shortHash(h), nil
}

func shortHash(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil))[:16] }

// buildTool compiles one program unless it is there already. It appears under its name only when it is complete.
func buildTool(ctx context.Context, root, target, name string) error {
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	start := time.Now()
	fmt.Fprintf(os.Stderr, "building %s …\n", name)
	partial := target + ".partial"
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", compileFlags, "-ldflags", linkFlags(tools[name].module), "-o", partial, tools[name].pkg)
	build.Dir = filepath.Join(root, "hack/cluster/tools", tools[name].module)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build %s in %s: %w; the first build fetches modules, so it needs the network (GOPROXY)", tools[name].pkg, build.Dir, err)
	}
	fmt.Fprintf(os.Stderr, "%6.1fs  build %s\n", time.Since(start).Seconds(), name)
	return os.Rename(partial, target)
}

// compileFlags leave out what linkFlags would strip again, which saves a twelfth of the time.
const compileFlags = "-gcflags=all=-dwarf=false"

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

// lock waits until no other process holds the lock of that name; it ends with the process at the latest.
func lock(path string) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
