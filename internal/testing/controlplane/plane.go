// Package controlplane starts a Kubernetes that does everything except run containers: etcd, kube-apiserver,
// kube-controller-manager and kube-scheduler are the real ones, and KWOK plays the nodes and the lives of the pods on
// them. It needs no root and no containers, so that thousands of jobs fit on one machine.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Tools are the programs that a plane is made of.
var Tools = []string{"etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kwok"}

// Operator is the user that StartOperator's process is; audit policies name it.
const Operator = "hrm-operator"

// OperatorNamespace is the namespace that the operator believes to run in.
const OperatorNamespace = "hrm-system"

// admins may do anything.
const admins = "system:masters"

// Options are what callers decide.
type Options struct {
	Root        string // the project's root
	Dir         string // for logs, kubeconfigs and binaries; the caller removes it
	AuditPolicy string // YAML of an audit policy; empty for no audit log
	Nodes       int    // that KWOK plays
}

// Plane is a running control plane.
type Plane struct {
	Admin   *rest.Config
	options Options
	bin     string
	env     *envtest.Environment
	running []*Process
}

// Start builds what the cache lacks and starts everything but the operator. Stop must be called, also after an error.
func Start(ctx context.Context, o Options) (*Plane, error) {
	p := &Plane{options: o}
	var err error
	if p.bin, err = EnsureTools(ctx, o.Root, Tools...); err != nil {
		return p, err
	}
	for _, step := range []func(context.Context) error{p.startServers, p.startControllers, p.startNodes} {
		if err := step(ctx); err != nil {
			return p, err
		}
	}
	return p, nil
}

// EnsureTools returns the folder that holds the named programs of hack/cluster, building those that are missing.
func EnsureTools(ctx context.Context, root string, names ...string) (string, error) {
	build := exec.CommandContext(ctx, "go", append([]string{"run", "./hack/cluster", "tools"}, names...)...)
	build.Dir, build.Stderr = root, os.Stderr
	out, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("build %s: %w", strings.Join(names, ", "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Path is a file in the plane's folder.
func (p *Plane) Path(name string) string { return filepath.Join(p.options.Dir, name) }

// AuditLog is the file that the apiserver writes its audit events to, one JSON object a line.
func (p *Plane) AuditLog() string { return p.Path("audit.jsonl") }

// Program is the path of one of hack/cluster's programs.
func (p *Plane) Program(name string) string { return filepath.Join(p.bin, name) }

// Stop ends every process in the reverse order of their start.
func (p *Plane) Stop() error {
	var errs []error
	for len(p.running) > 0 {
		last := len(p.running) - 1
		errs = append(errs, p.running[last].Stop())
		p.running = p.running[:last]
	}
	if p.env != nil {
		errs = append(errs, p.env.Stop())
	}
	return errors.Join(errs...)
}

func (p *Plane) startServers(context.Context) error {
	p.env = &envtest.Environment{
		BinaryAssetsDirectory: p.bin,
		CRDDirectoryPaths:     []string{filepath.Join(p.options.Root, "config/crd/bases")},
		ErrorIfCRDPathMissing: true,
	}
	server := p.env.ControlPlane.GetAPIServer()
	// Clients here are a whole cluster's; fairness between them is not what is looked at.
	server.Configure().Append("max-requests-inflight", "2000").Append("max-mutating-requests-inflight", "1000")
	if p.options.AuditPolicy != "" {
		policy := p.Path("audit-policy.yaml")
		if err := os.WriteFile(policy, []byte(p.options.AuditPolicy), 0o600); err != nil {
			return err
		}
		server.Configure().Append("audit-policy-file", policy).Append("audit-log-path", p.AuditLog())
	}
	var err error
	if p.Admin, err = p.env.Start(); err != nil {
		return fmt.Errorf("start etcd and kube-apiserver: %w", err)
	}
	p.Admin.QPS = -1
	return nil
}

// startControllers starts the controllers of Jobs, pods and nodes. Those of Endpoints stay off: the pods' addresses are
// on the loopback interface, which Endpoints may not be.
func (p *Plane) startControllers(context.Context) error {
	for _, c := range []struct {
		name string
		args []string
	}{
		{"kube-controller-manager", []string{
			"--controllers=*,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller",
			"--concurrent-job-syncs=20", "--concurrent-gc-syncs=20",
		}},
		{"kube-scheduler", nil},
	} {
		kubeconfig, _, err := p.User("system:"+c.name, admins)
		if err != nil {
			return err
		}
		args := append([]string{
			"--kubeconfig=" + kubeconfig, "--leader-elect=false", "--secure-port=0", "--kube-api-qps=1000", "--kube-api-burst=2000",
		}, c.args...)
		if _, err := p.Run(c.name, p.Program(c.name), args); err != nil {
			return err
		}
	}
	return nil
}

// User makes a user and returns a kubeconfig file and a client configuration for it.
func (p *Plane) User(name string, groups ...string) (string, *rest.Config, error) {
	user, err := p.env.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	if err != nil {
		return "", nil, fmt.Errorf("make user %s: %w", name, err)
	}
	text, err := user.KubeConfig()
	if err != nil {
		return "", nil, fmt.Errorf("kubeconfig of user %s: %w", name, err)
	}
	file := p.Path(strings.ReplaceAll(name, ":", "-") + ".kubeconfig")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", nil, err
	}
	config := user.Config()
	config.QPS = -1
	return file, config, nil
}

// FreePort is a TCP port of the loopback interface that nobody listens on.
func FreePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// FreeAddress is a free port of the loopback interface as host:port.
func FreeAddress() (string, error) {
	port, err := FreePort()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// Poll calls check until it returns nil; after the given time it returns check's last error.
func Poll(ctx context.Context, patience time.Duration, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", patience, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
