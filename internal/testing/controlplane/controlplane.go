// Package controlplane runs a real etcd and kube-apiserver for tests. No controller and no kubelet runs: tests play them.
package controlplane

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Start starts a control plane with the CRDs of the given folders and files. It ends with the environment's Stop.
func Start(crds ...string) (*envtest.Environment, error) {
	assets, err := assetsDir()
	if err != nil {
		return nil, err
	}
	env := &envtest.Environment{BinaryAssetsDirectory: assets, CRDDirectoryPaths: crds, ErrorIfCRDPathMissing: true}
	if _, err := env.Start(); err != nil {
		return nil, fmt.Errorf("start etcd and kube-apiserver: %w", err)
	}
	return env, nil
}

// CRDs is the folder of the generated CRDs.
func CRDs() string { return filepath.Join(root(), "config", "crd", "bases") }

// Kubeconfig writes a kubeconfig of the control plane's administrator to a file, for programs that want one.
func Kubeconfig(env *envtest.Environment, path string) error {
	user, err := env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return err
	}
	text, err := user.KubeConfig()
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// assetsDir finds the programs, or builds them once.
func assetsDir() (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir, nil
	}
	var problem bytes.Buffer
	build := exec.Command("go", "run", "./hack/cluster", "tools", "etcd", "kube-apiserver", "kubectl")
	build.Dir, build.Stderr = root(), &problem
	out, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("build etcd and kube-apiserver: %w: %s; or set KUBEBUILDER_ASSETS to a folder that holds them", err, problem.String())
	}
	return strings.TrimSpace(string(out)), nil
}

func root() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "..")
}
