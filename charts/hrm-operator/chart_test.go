// Package chart holds the tests of the Helm chart beside it; the chart itself has no Go code.
package chart

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden.yaml from what the chart renders now")

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

// template renders the chart with more arguments of helm template.
func template(t *testing.T, arguments ...string) ([]byte, error) {
	t.Helper()
	command := exec.Command(helm(t), append([]string{"template", "demo", ".", "--namespace", "hrm-system"}, arguments...)...)
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, problems.String())
	}
	return out, nil
}

// objects are rendered documents.
type objects []unstructured.Unstructured

// render renders the chart with settings of the form path=value.
func render(t *testing.T, settings ...string) objects {
	t.Helper()
	var arguments []string
	for _, s := range settings {
		arguments = append(arguments, "--set", s)
	}
	out, err := template(t, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	var all objects
	for doc := range strings.SplitSeq(string(out), "\n---\n") {
		var object unstructured.Unstructured
		if err := yaml.UnmarshalStrict([]byte(doc), &object.Object); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		if len(object.Object) > 0 {
			all = append(all, object)
		}
	}
	return all
}

// find decodes the object of the given kind whose name ends in suffix.
func (all objects) find(t *testing.T, kind, suffix string, into any) {
	t.Helper()
	for _, object := range all {
		if object.GetKind() == kind && strings.HasSuffix(object.GetName(), suffix) {
			text, err := yaml.Marshal(object.Object)
			if err == nil {
				err = yaml.Unmarshal(text, into)
			}
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("the chart renders no %s *%s", kind, suffix)
}

// names lists the objects of a kind as namespace/name.
func (all objects) names(kind string) []string {
	var names []string
	for _, object := range all {
		if object.GetKind() == kind {
			names = append(names, strings.TrimPrefix(object.GetNamespace()+"/"+object.GetName(), "/"))
		}
	}
	slices.Sort(names)
	return names
}

// operator is the pod that the Deployment makes.
func (all objects) operator(t *testing.T) corev1.PodSpec {
	t.Helper()
	var deployment appsv1.Deployment
	all.find(t, "Deployment", "hrm-operator", &deployment)
	return deployment.Spec.Template.Spec
}

// The CRD is compared with its source elsewhere and left out here: it would bury everything else. The dashboard is a file.
func TestChart_rendersAsRecorded(t *testing.T) {
	for name, arguments := range map[string][]string{
		"default": {"--set", "crds.install=false"},
		"full":    {"--values", "testdata/full.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := template(t, arguments...)
			if err != nil {
				t.Fatal(err)
			}
			golden := "testdata/" + name + ".golden.yaml"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("run go test ./charts/... -update if this is meant (-recorded +rendered):\n%s", diff)
			}
		})
	}
}

func TestChart_lints(t *testing.T) {
	for _, arguments := range [][]string{{}, {"--values", "testdata/full.yaml"}, {"--set", "crds.install=true,rbac.create=false"}} {
		out, err := exec.Command(helm(t), append([]string{"lint", "--strict", "."}, arguments...)...).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v\n%s", arguments, err, out)
		}
	}
}

func TestChart_refusesAnOlderKubernetes(t *testing.T) {
	if _, err := template(t, "--kube-version", "1.30.9"); err == nil || !strings.Contains(err.Error(), "1.31") {
		t.Errorf("Kubernetes 1.30: %v, want a refusal that names 1.31", err)
	}
}

func TestChart_grantsExactlyWhatTheMarkersSay(t *testing.T) {
	var generated rbacv1.ClusterRole
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &generated); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ setting, kind string }{
		"over the cluster":   {"rbac.create=true", "ClusterRole"},
		"in some namespaces": {"watchNamespaces={research,teaching}", "Role"},
	} {
		t.Run(name, func(t *testing.T) {
			var granted rbacv1.ClusterRole
			render(t, test.setting).find(t, test.kind, "hrm-operator", &granted)
			if diff := cmp.Diff(permissions(generated.Rules), permissions(granted.Rules)); diff != "" {
				t.Errorf("config/rbac/role.yaml and the chart differ (-generated +chart):\n%s", diff)
			}
			for permission := range permissions(granted.Rules) {
				if strings.Contains(permission, "secrets") || strings.Contains(permission, "*") {
					t.Errorf("the operator must not be granted %s", permission)
				}
			}
		})
	}
}

// permissions spells rules out, so that grouping does not matter.
func permissions(rules []rbacv1.PolicyRule) map[string]bool {
	all := map[string]bool{}
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					all[verb+" "+group+"/"+resource+" "+strings.Join(rule.ResourceNames, ",")] = true
				}
			}
		}
	}
	return all
}

func TestChart_bindsTheOperatorWhereItWorks(t *testing.T) {
	for name, test := range map[string]struct {
		settings []string
		want     map[string][]string
	}{
		"everywhere": {nil, map[string][]string{
			"ClusterRole":        {"demo-hrm-operator", "demo-hrm-operator-jobs-edit", "demo-hrm-operator-jobs-view"},
			"ClusterRoleBinding": {"demo-hrm-operator"},
			"Role":               {"hrm-system/demo-hrm-operator-leader-election"},
			"RoleBinding":        {"hrm-system/demo-hrm-operator-leader-election"},
		}},
		"in its namespaces and nowhere else": {[]string{"watchNamespaces={research,teaching}"}, map[string][]string{
			"Role":        {"hrm-system/demo-hrm-operator-leader-election", "research/demo-hrm-operator", "teaching/demo-hrm-operator"},
			"RoleBinding": {"hrm-system/demo-hrm-operator-leader-election", "research/demo-hrm-operator", "teaching/demo-hrm-operator"},
		}},
		"without aggregation": {[]string{"rbac.aggregate=false"}, map[string][]string{
			"ClusterRole":        {"demo-hrm-operator"},
			"ClusterRoleBinding": {"demo-hrm-operator"},
			"Role":               {"hrm-system/demo-hrm-operator-leader-election"},
			"RoleBinding":        {"hrm-system/demo-hrm-operator-leader-election"},
		}},
		"by somebody else": {[]string{"rbac.create=false"}, map[string][]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			all := render(t, test.settings...)
			got := map[string][]string{}
			for _, kind := range []string{"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"} {
				if names := all.names(kind); names != nil {
					got[kind] = names
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +rendered:\n%s", diff)
			}
			for _, object := range all {
				subjects, _, _ := unstructured.NestedSlice(object.Object, "subjects")
				for _, s := range subjects {
					if s := s.(map[string]any); s["namespace"] != "hrm-system" || s["name"] != "demo-hrm-operator" {
						t.Errorf("%s %s is bound to %v", object.GetKind(), object.GetName(), s)
					}
				}
			}
		})
	}
}

func TestChart_keepsTheCRDAndMayLeaveItOut(t *testing.T) {
	var crd struct {
		Metadata struct{ Annotations map[string]string }
		Spec     map[string]any
	}
	render(t).find(t, "CustomResourceDefinition", "hrmtrainingjobs.hrm.dev", &crd)
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
	if names := render(t, "crds.install=false").names("CustomResourceDefinition"); names != nil {
		t.Errorf("crds.install=false still renders %v", names)
	}
}

func TestChart_choosesImages(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	operator := render(t, "image.repository=local/operator", "image.tag=dev", "image.pullPolicy=Never",
		"trainerImage.repository=local/trainer", "trainerImage.digest="+digest).operator(t).Containers[0]
	if operator.Image != "local/operator:dev" || operator.ImagePullPolicy != "Never" {
		t.Errorf("image %s, pull policy %s", operator.Image, operator.ImagePullPolicy)
	}
	if want := "--trainer-image=local/trainer@" + digest; operator.Args[0] != want {
		t.Errorf("argument %s, want %s", operator.Args[0], want)
	}
}

func TestChart_choosesTheImageOfGPUs(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for _, test := range []struct {
		settings []string
		want     string
	}{
		{nil, "hrm-trainer-cuda:0.2.0"},
		{[]string{"trainerImage.repository=local/trainer", "trainerImage.tag=dev"}, "local/trainer-cuda:dev"},
		{[]string{"trainerImage.repository=local/trainer", "trainerImage.digest=" + digest}, "local/trainer-cuda:0.2.0"},
		{[]string{"trainerImage.tag=dev", "gpu.image.repository=local/gpu", "gpu.image.tag=v7"}, "local/gpu:v7"},
		{[]string{"gpu.image.digest=" + digest}, "hrm-trainer-cuda@" + digest},
	} {
		args := render(t, test.settings...).operator(t).Containers[0].Args
		if !slices.Contains(args, "--gpu-trainer-image="+test.want) {
			t.Errorf("%v: arguments %q, want image %s", test.settings, args, test.want)
		}
	}
}

func TestChart_passesSettingsOnAsArguments(t *testing.T) {
	for _, test := range []struct {
		setting, want string
	}{
		{"pollInterval=3s", "--poll-interval=3s"},
		{"restartBackoff=1m", "--restart-backoff=1m"},
		{"networkPolicies=false", "--network-policies=false"},
		{"watchNamespaces={a,b}", "--watch-namespaces=a,b"},
		{"gangScheduling=off", "--gang-scheduling=off"},
		{"gpu.runtimeClassName=nvidia", "--gpu-runtime-class=nvidia"},
		{"logLevel=debug", "--zap-log-level=debug"},
		{"logFormat=console", "--zap-encoder=console"},
		{"metrics.port=9000", "--metrics-bind-address=:9000"},
		{"metrics.enabled=false", "--metrics-bind-address=0"},
		{"trainerImage.pullPolicy=Always", "--trainer-image-pull-policy=Always"},
		{"trainerImage.pullSecrets[0].name=a,trainerImage.pullSecrets[1].name=b", "--trainer-image-pull-secrets=a,b"},
		{"defaultStorage.endpoint=https://s3.example.org:9000", "--default-s3-endpoint=https://s3.example.org:9000"},
		{"defaultStorage.region=eu-1", "--default-s3-region=eu-1"},
		{"defaultStorage.pathStyle=false", "--default-s3-path-style=false"},
		{"defaultStorage.credentialsSecret=hrm-s3", "--default-s3-credentials-secret=hrm-s3"},
		{"defaultStorage.caConfigMap=authority", "--default-s3-ca-configmap=authority"},
		{"extraArgs={--kube-api-qps=50}", "--kube-api-qps=50"},
	} {
		t.Run(test.setting, func(t *testing.T) {
			before, after := render(t).operator(t).Containers[0].Args, render(t, test.setting).operator(t).Containers[0].Args
			if slices.Contains(before, test.want) || !slices.Contains(after, test.want) {
				t.Errorf("want %s with the setting only; without %q, with %q", test.want, before, after)
			}
		})
	}
}

func TestChart_placesTheOperator(t *testing.T) {
	pod := render(t, "imagePullSecrets[0].name=registry", "priorityClassName=high", "nodeSelector.zone=a", "tolerations[0].key=dedicated",
		"topologySpreadConstraints[0].maxSkew=1", "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key=metadata.name",
		"resources.limits.memory=1Gi").operator(t)
	if len(pod.ImagePullSecrets) != 1 || pod.ImagePullSecrets[0].Name != "registry" {
		t.Errorf("image pull secrets %v", pod.ImagePullSecrets)
	}
	if pod.PriorityClassName != "high" || pod.NodeSelector["zone"] != "a" || len(pod.Tolerations) != 1 || pod.Affinity == nil {
		t.Errorf("class %q, selector %v, tolerations %v, affinity %v", pod.PriorityClassName, pod.NodeSelector, pod.Tolerations, pod.Affinity)
	}
	if len(pod.TopologySpreadConstraints) != 1 || pod.TopologySpreadConstraints[0].MaxSkew != 1 {
		t.Errorf("topology spread %v", pod.TopologySpreadConstraints)
	}
	if memory := pod.Containers[0].Resources.Limits.Memory().String(); memory != "1Gi" {
		t.Errorf("memory limit %s", memory)
	}
}

func TestChart_leavesTheUserToThePlatformWhenAsked(t *testing.T) {
	pod := render(t, "podSecurityContext.runAsUser=null", "podSecurityContext.runAsGroup=null").operator(t)
	if c := pod.SecurityContext; c.RunAsUser != nil || c.RunAsGroup != nil || !*c.RunAsNonRoot || c.SeccompProfile == nil {
		t.Errorf("pod security context %+v", c)
	}
}

func TestChart_budgetsDisruptionsOfSeveralReplicasOnly(t *testing.T) {
	if names := render(t).names("PodDisruptionBudget"); names != nil {
		t.Errorf("one replica has the budget %v: it would block every drain", names)
	}
	all := render(t, "replicas=2")
	var budget policyv1.PodDisruptionBudget
	all.find(t, "PodDisruptionBudget", "hrm-operator", &budget)
	var deployment appsv1.Deployment
	all.find(t, "Deployment", "hrm-operator", &deployment)
	if diff := cmp.Diff(deployment.Spec.Selector, budget.Spec.Selector); diff != "" || budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("at most %v unavailable; selectors differ by %s", budget.Spec.MaxUnavailable, diff)
	}
}

func TestChart_fencesTheOperatorIn(t *testing.T) {
	if names := render(t).names("NetworkPolicy"); names != nil {
		t.Errorf("unasked: %v", names)
	}
	var policy networkingv1.NetworkPolicy
	render(t, "operatorNetworkPolicy.enabled=true", "operatorNetworkPolicy.apiServerPorts={16443}",
		"operatorNetworkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus").find(t, "NetworkPolicy", "hrm-operator", &policy)
	var in, out []string
	for _, rule := range policy.Spec.Ingress {
		in = append(in, fmt.Sprintf("%s from %d", rule.Ports[0].Port, len(rule.From)))
	}
	for _, rule := range policy.Spec.Egress {
		out = append(out, fmt.Sprintf("%s to %d", rule.Ports[0].Port, len(rule.To)))
	}
	if diff := cmp.Diff([]string{"health from 0", "metrics from 1"}, in); diff != "" {
		t.Errorf("ingress:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"53 to 0", "16443 to 0", "8080 to 1"}, out); diff != "" {
		t.Errorf("egress:\n%s", diff)
	}
}

func TestChart_isObservedOnlyWhenAsked(t *testing.T) {
	for setting, kind := range map[string]string{
		"metrics.serviceMonitor.enabled=true": "ServiceMonitor",
		"metrics.podMonitor.enabled=true":     "PodMonitor",
		"metrics.prometheusRule.enabled=true": "PrometheusRule",
		"metrics.dashboard.enabled=true":      "ConfigMap",
	} {
		t.Run(kind, func(t *testing.T) {
			if names := render(t).names(kind); names != nil {
				t.Errorf("unasked: %v", names)
			}
			if names := render(t, setting).names(kind); len(names) != 1 {
				t.Errorf("with %s: %v", setting, names)
			}
		})
	}
}

func TestChart_scrapesTrainingPodsWhereJobsAreRun(t *testing.T) {
	var monitor struct {
		Spec struct {
			NamespaceSelector struct {
				Any        bool
				MatchNames []string
			}
		}
	}
	render(t, "metrics.podMonitor.enabled=true").find(t, "PodMonitor", "training", &monitor)
	if !monitor.Spec.NamespaceSelector.Any {
		t.Error("want every namespace")
	}
	monitor.Spec.NamespaceSelector.Any = false
	render(t, "metrics.podMonitor.enabled=true", "watchNamespaces={research}").find(t, "PodMonitor", "training", &monitor)
	if s := monitor.Spec.NamespaceSelector; s.Any || !slices.Equal(s.MatchNames, []string{"research"}) {
		t.Errorf("namespaces %+v, want research only", s)
	}
}

func TestChart_testsWithAValidJobUnderTheRestrictedStandard(t *testing.T) {
	for _, object := range render(t) {
		if object.GetAnnotations()["helm.sh/hook"] != "" {
			t.Errorf("without a bucket there is the hook %s", object.GetName())
		}
	}
	all := render(t, "watchNamespaces={research}", "test.storage.bucket=b", "test.storage.endpoint=http://s3:9000",
		"test.storage.credentialsSecret=keys", "test.storage.caConfigMap=authority")
	var job corev1.ConfigMap
	all.find(t, "ConfigMap", "test", &job)
	loaded, err := v1alpha1.Load(strings.NewReader(job.Data["job.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	if err := loaded.Validate(); err != nil {
		t.Error(err)
	}
	if loaded.Namespace != "research" {
		t.Errorf("the job goes into namespace %s, where nobody runs it", loaded.Namespace)
	}
	var pod corev1.Pod
	all.find(t, "Pod", "test", &pod)
	for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
		s := c.SecurityContext
		if s == nil || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("container %s is not restricted: %+v", c.Name, s)
		}
	}
	var role rbacv1.Role
	all.find(t, "Role", "test", &role)
	for permission := range permissions(role.Rules) {
		if !strings.Contains(permission, " hrm.dev/hrmtrainingjobs ") {
			t.Errorf("the test may %s", permission)
		}
	}
}

func TestChart_refusesWrongValues(t *testing.T) {
	for _, setting := range []string{
		"replicas=-1", "image.pullPolicy=Sometimes", "unknown=1", "pollInterval=often", "metrics.port=80", "image.digest=sha256:12",
		"gangScheduling=maybe", "logFormat=xml", "defaultStorage.endpoint=s3.example.org", "defaultStorage.pathStyle=maybe",
		"watchNamespaces={Not A Name}", "watchNamespaces={a,a}", "imagePullSecrets={plain}", "trainerImage.pullSecrets={plain}",
		"podSecurityContext.runAsUser=0", "podSecurityContext.runAsNonRoot=false", "podSecurityContext.runAsNonRoot=null",
		"podSecurityContext.seccompProfile.type=Unconfined", "securityContext.privileged=true", "securityContext.allowPrivilegeEscalation=true",
		"securityContext.capabilities.drop={NET_RAW}", "securityContext.capabilities.add={NET_ADMIN}", "extraArgs={positional}",
		"metrics.serviceMonitor.interval=30", "metrics.unknown=1", "test.storage.prefix=/", "podDisruptionBudget.maxUnavailable=some",
		"operatorNetworkPolicy.apiServerPorts={0}", "gpu.runtimeClassName=NVIDIA", "gpu.image.digest=latest", "gpu.image.pullPolicy=Always",
	} {
		t.Run(setting, func(t *testing.T) {
			if _, err := template(t, "--set", setting); err == nil {
				t.Error("accepted")
			}
		})
	}
}
