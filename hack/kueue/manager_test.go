package kueue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	syaml "sigs.k8s.io/yaml"

	"github.com/hrm-operator/hrm-operator/internal/testing/controlplane"
)

// What Kueue's own manifests call their parts.
const (
	kueueNamespace = "kueue-system"
	kueueAccount   = "system:serviceaccount:kueue-system:kueue-controller-manager"
	webhookService = "kueue-webhook-service"
	webhookSecret  = "kueue-webhook-server-cert"
	configMap      = "kueue-manager-config"
	configKey      = "controller_manager_config.yaml"
)

// startKueue installs Kueue as its manifests do, but for the manager's pod, which is a process of this machine.
func startKueue(t *testing.T, plane *controlplane.Plane, c client.Client) {
	t.Helper()
	port, err := controlplane.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	objects := kueueManifests(t, plane.Program("kubectl"))
	var config string
	for _, object := range objects {
		switch object.GetKind() {
		case "Deployment", "APIService":
			continue
		case "ConfigMap":
			config, _, _ = unstructured.NestedString(object.Object, "data", configKey)
		case "Service":
			if object.GetName() != webhookService {
				continue
			}
			object.Object["spec"] = map[string]any{"type": "ExternalName", "externalName": "localhost"}
		}
		setWebhookPort(object.Object, int64(port))
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatalf("create %s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
	certs := plane.Path("kueue-certs")
	file := plane.Path("kueue.yaml")
	if err := errors.Join(os.MkdirAll(certs, 0o700), os.WriteFile(file, managerConfig(t, config, port, certs), 0o600)); err != nil {
		t.Fatal(err)
	}
	kubeconfig, _, err := plane.User(kueueAccount, "system:serviceaccounts", "system:serviceaccounts:"+kueueNamespace, "system:authenticated")
	if err != nil {
		t.Fatal(err)
	}
	process, err := plane.Run("kueue", plane.Program("kueue"), []string{"--config=" + file, "--kubeconfig=" + kubeconfig})
	if err != nil {
		t.Fatal(err)
	}
	err = controlplane.Poll(t.Context(), patience, func() error {
		if err := process.Alive(); err != nil {
			return err
		}
		if err := mountCerts(t.Context(), c, certs); err != nil {
			return err
		}
		// An object that a webhook had a say in shows that the manager and its certificates are ready.
		return client.IgnoreAlreadyExists(c.Create(t.Context(), object(t, "{apiVersion: kueue.x-k8s.io/v1beta2, kind: ResourceFlavor, metadata: {name: plain}}")))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// kueueManifests renders the manifests that Kueue's module brings along.
func kueueManifests(t *testing.T, kubectl string) []*unstructured.Unstructured {
	t.Helper()
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "sigs.k8s.io/kueue")
	download.Dir = filepath.Join(root, "hack/cluster/tools/kueue")
	download.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	out, err := download.Output()
	if err != nil {
		t.Fatalf("find Kueue's module: %v", err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	text, err := exec.CommandContext(t.Context(), kubectl, "kustomize", filepath.Join(module.Dir, "config/default")).Output()
	if err != nil {
		t.Fatalf("render Kueue's manifests: %v", err)
	}
	var objects []*unstructured.Unstructured
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		u := &unstructured.Unstructured{}
		if err := documents.Decode(&u.Object); err != nil {
			break
		}
		// Namespaces and kinds come before what needs them.
		if kind := u.GetKind(); kind == "Namespace" || kind == "CustomResourceDefinition" {
			objects = append([]*unstructured.Unstructured{u}, objects...)
			continue
		}
		objects = append(objects, u)
	}
	if len(objects) == 0 {
		t.Fatal("Kueue's manifests are empty")
	}
	return objects
}

// setWebhookPort makes every reference to the webhooks' Service name the port that the manager listens on.
func setWebhookPort(value any, port int64) {
	switch value := value.(type) {
	case map[string]any:
		if service, ok := value["service"].(map[string]any); ok && service["name"] == webhookService {
			service["port"] = port
		}
		for _, inner := range value {
			setWebhookPort(inner, port)
		}
	case []any:
		for _, inner := range value {
			setWebhookPort(inner, port)
		}
	}
}

// managerConfig changes Kueue's default configuration to what one process on this machine needs.
func managerConfig(t *testing.T, text string, webhookPort int, certs string) []byte {
	t.Helper()
	config := map[string]any{}
	if err := syaml.Unmarshal([]byte(text), &config); err != nil || len(config) == 0 {
		t.Fatalf("read Kueue's configuration: %v", err)
	}
	health, err := controlplane.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := controlplane.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	config["namespace"] = kueueNamespace
	config["health"] = map[string]any{"healthProbeBindAddress": health}
	config["metrics"] = map[string]any{"bindAddress": metrics}
	config["webhook"] = map[string]any{"host": "localhost", "port": webhookPort, "certDir": certs}
	config["leaderElection"] = map[string]any{"leaderElect": false}
	config["integrations"] = map[string]any{"frameworks": []string{"batch/job"}}
	config["featureGates"] = map[string]any{"VisibilityOnDemand": false}
	out, err := syaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// mountCerts plays the kubelet: it puts the certificates that Kueue made into the folder of the manager's volume.
func mountCerts(ctx context.Context, c client.Client, dir string) error {
	var secret corev1.Secret
	if err := c.Get(ctx, client.ObjectKey{Namespace: kueueNamespace, Name: webhookSecret}, &secret); err != nil {
		return err
	}
	for _, name := range []string{"ca.crt", "tls.crt", "tls.key"} {
		if len(secret.Data[name]) == 0 {
			return fmt.Errorf("kueue has made no %s yet", name)
		}
		file := filepath.Join(dir, name)
		if have, err := os.ReadFile(file); err == nil && bytes.Equal(have, secret.Data[name]) {
			continue
		}
		if err := os.WriteFile(file, secret.Data[name], 0o600); err != nil {
			return err
		}
	}
	return nil
}

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute
