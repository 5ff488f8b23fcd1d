// Package apiserver runs a real etcd and kube-apiserver for tests, and nothing else: they play the controllers and kubelets.
package apiserver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/hrm-operator/hrm-operator/internal/testing/controlplane"
)

// Start starts a control plane with the CRDs of the given folders and files. It ends with the environment's Stop.
func Start(crds ...string) (*envtest.Environment, error) {
	assets, err := Assets()
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

// Assets is the folder that holds the programs; without KUBEBUILDER_ASSETS they are built once.
func Assets() (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir, nil
	}
	return controlplane.EnsureTools(context.Background(), root(), "etcd", "kube-apiserver", "kubectl")
}

func root() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "..")
}

// Kubectl is the path of a kubectl of the same version.
func Kubectl() string {
	assets, err := Assets()
	if err != nil {
		return "kubectl"
	}
	return filepath.Join(assets, "kubectl")
}
