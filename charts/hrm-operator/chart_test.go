// Package chart holds the tests of the Helm chart beside it; the chart itself has no Go code.
package chart

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.yaml from what the chart renders now")

// helm finds the program, or builds it once.
func helm(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("helm"); err == nil {
		return path
	}
	build := exec.Command("go", "run", "./hack/cluster", "tools", "helm")
	build.Dir, build.Stderr = "../..", os.Stderr
	out, err := build.Output()
	if err != nil {
		t.Fatalf("build helm: %v; or put it on PATH", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "helm")
}

func render(t *testing.T, settings ...string) ([]byte, error) {
	t.Helper()
	args := []string{"template", "demo", ".", "--namespace", "hrm-system"}
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	command := exec.Command(helm(t), args...)
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, problems.String())
	}
	return out, nil
}

// find decodes the document of the given kind whose name ends in suffix.
func find(t *testing.T, rendered []byte, kind, suffix string, into any) {
	t.Helper()
	for doc := range strings.SplitSeq(string(rendered), "\n---\n") {
		var head struct {
			Kind     string
			Metadata struct{ Name string }
		}
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatal(err)
		}
		if head.Kind == kind && strings.HasSuffix(head.Metadata.Name, suffix) {
			if err := yaml.Unmarshal([]byte(doc), into); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("the chart renders no %s *%s", kind, suffix)
}

// The CRD is compared with its source elsewhere and left out here: it would bury everything else.
func TestChart_rendersAsRecorded(t *testing.T) {
	got, err := render(t, "crds.install=false", "metrics.serviceMonitor.enabled=true", "watchNamespaces={research,teaching}")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/golden.yaml", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run go test ./charts/... -update if this is meant (-recorded +rendered):\n%s", diff)
	}
}

func TestChart_lints(t *testing.T) {
	if out, err := exec.Command(helm(t), "lint", "--strict", ".").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestChart_grantsExactlyWhatTheMarkersSay(t *testing.T) {
	rendered, err := render(t)
	if err != nil {
		t.Fatal(err)
	}
	var granted, generated rbacv1.ClusterRole
	find(t, rendered, "ClusterRole", "hrm-operator", &granted)
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &generated); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(permissions(generated.Rules), permissions(granted.Rules)); diff != "" {
		t.Errorf("config/rbac/role.yaml and the chart differ (-generated +chart):\n%s", diff)
	}
	for permission := range permissions(granted.Rules) {
		if strings.Contains(permission, "secrets") || strings.Contains(permission, "*") {
			t.Errorf("the operator must not be granted %s", permission)
		}
	}
}

// permissions spells rules out, so that grouping does not matter.
func permissions(rules []rbacv1.PolicyRule) map[string]bool {
	all := map[string]bool{}
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					all[verb+" "+group+"/"+resource] = true
				}
			}
		}
	}
	return all
}

func TestChart_keepsTheCRDAndMayLeaveItOut(t *testing.T) {
	rendered, err := render(t)
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Metadata struct{ Annotations map[string]string }
		Spec     map[string]any
	}
	find(t, rendered, "CustomResourceDefinition", "hrmtrainingjobs.hrm.dev", &crd)
	if crd.Metadata.Annotations["helm.sh/resource-policy"] != "keep" {
		t.Error("uninstalling would delete the CRD, and every job with it")
	}
	var source struct{ Spec map[string]any }
	text, err := os.ReadFile("../../config/crd/bases/hrm.dev_hrmtrainingjobs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &source); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(source.Spec, crd.Spec); diff != "" {
		t.Errorf("the chart's CRD is not the generated one: run make manifests\n%s", diff)
	}
	without, err := render(t, "crds.install=false")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(without), "CustomResourceDefinition") {
		t.Error("crds.install=false still renders the CRD")
	}
}

func TestChart_choosesImages(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	rendered, err := render(t, "image.repository=local/operator", "image.tag=dev", "image.pullPolicy=Never",
		"trainerImage.repository=local/trainer", "trainerImage.digest="+digest)
	if err != nil {
		t.Fatal(err)
	}
	var deployment appsv1.Deployment
	find(t, rendered, "Deployment", "hrm-operator", &deployment)
	operator := deployment.Spec.Template.Spec.Containers[0]
	if operator.Image != "local/operator:dev" || operator.ImagePullPolicy != "Never" {
		t.Errorf("image %s, pull policy %s", operator.Image, operator.ImagePullPolicy)
	}
	if want := "--trainer-image=local/trainer@" + digest; operator.Args[0] != want {
		t.Errorf("argument %s, want %s", operator.Args[0], want)
	}
}

func TestChart_refusesWrongValues(t *testing.T) {
	for _, setting := range []string{
		"replicas=-1", "image.pullPolicy=Sometimes", "unknown=1", "pollInterval=often", "metrics.port=80", "image.digest=sha256:12",
	} {
		t.Run(setting, func(t *testing.T) {
			if _, err := render(t, setting); err == nil {
				t.Error("accepted")
			}
		})
	}
}
