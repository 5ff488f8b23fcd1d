package controllers

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

func TestAttemptJob_isOneGangWithoutRetries(t *testing.T) {
	job := attemptJob(builders.Job("sudoku").Nodes(4).Obj(), Config{}, record{number: 3}).Spec
	if *job.Completions != 4 || *job.Parallelism != 4 || *job.CompletionMode != batchv1.IndexedCompletion {
		t.Errorf("completions %d, parallelism %d, mode %s", *job.Completions, *job.Parallelism, *job.CompletionMode)
	}
	if *job.BackoffLimit != 0 || *job.PodReplacementPolicy != batchv1.Failed || job.Suspend != nil {
		t.Errorf("backoff limit %d, replacement %s, suspend %v", *job.BackoffLimit, *job.PodReplacementPolicy, job.Suspend)
	}
}

func TestPodFailurePolicy_knowsTheExitCodes(t *testing.T) {
	rules := podFailurePolicy().Rules
	action := func(code int32) batchv1.PodFailurePolicyAction {
		for _, rule := range rules {
			if rule.OnExitCodes != nil && slices.Contains(rule.OnExitCodes.Values, code) {
				return rule.Action
			}
		}
		return "none"
	}
	for code, want := range map[int32]batchv1.PodFailurePolicyAction{
		1: "none", 64: "FailJob", 65: "FailJob", 75: "Ignore", 78: "FailJob", 137: "none",
	} {
		if got := action(code); got != want {
			t.Errorf("exit code %d: %s, want %s", code, got, want)
		}
	}
	if rules[0].Action != batchv1.PodFailurePolicyActionIgnore || rules[0].OnPodConditions[0].Type != corev1.DisruptionTarget {
		t.Errorf("a disruption must be recognised before any exit code: %+v", rules[0])
	}
}

func TestKueue_ownsTheJobThatHasItsLabel(t *testing.T) {
	job := attemptJob(builders.Job("sudoku").Label(kueueQueueLabel, "gpus").Label("mine", "x").Obj(), Config{}, record{number: 1})
	if job.Labels[kueueQueueLabel] != "gpus" || !ptr.Deref(job.Spec.Suspend, false) {
		t.Errorf("labels %v, suspend %v", job.Labels, job.Spec.Suspend)
	}
	if _, ok := job.Labels["mine"]; ok {
		t.Error("a label that is none of Kueue's was copied")
	}
}

func TestPod_isRestricted(t *testing.T) {
	pod := podTemplate(builders.Job("sudoku").Obj(), Config{}, 1).Spec
	container := pod.Containers[0]
	for what, holds := range map[string]bool{
		"no Kubernetes token":       !*pod.AutomountServiceAccountToken,
		"not root":                  *pod.SecurityContext.RunAsNonRoot && *pod.SecurityContext.RunAsUser != 0,
		"default seccomp":           pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"no escalation":             !*container.SecurityContext.AllowPrivilegeEscalation,
		"no capabilities":           slices.Equal(container.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}),
		"read-only root":            *container.SecurityContext.ReadOnlyRootFilesystem,
		"no host namespaces":        !pod.HostNetwork && !pod.HostPID && !pod.HostIPC,
		"logs if it says nothing":   container.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError,
		"the API's time to save":    *pod.TerminationGracePeriodSeconds == 120,
		"found through its Service": pod.Subdomain == "sudoku",
	} {
		if !holds {
			t.Errorf("not so: %s", what)
		}
	}
}

func TestPod_takesCredentialsByReferenceOnly(t *testing.T) {
	job := builders.Job("sudoku").Nodes(2).Credentials("s3").CA("authority").Env("HOME", "/root").Env("OMP_NUM_THREADS", "2").Obj()
	pod := podTemplate(job, Config{}, 2).Spec
	got := map[string]string{}
	for _, e := range pod.Containers[0].Env {
		if _, twice := got[e.Name]; twice {
			t.Errorf("%s is set twice", e.Name)
		}
		got[e.Name] = e.Value
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			got[e.Name] = "secret " + e.ValueFrom.SecretKeyRef.Name + "/" + e.ValueFrom.SecretKeyRef.Key
		}
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
			got[e.Name] = "field " + e.ValueFrom.FieldRef.FieldPath
		}
	}
	want := map[string]string{
		"HRM_RANK":              "field metadata.annotations['batch.kubernetes.io/job-completion-index']",
		"HRM_WORLD_SIZE":        "2",
		"HRM_RENDEZVOUS":        "sudoku-2-0.sudoku",
		"HRM_JOB":               "default/sudoku",
		"HRM_ATTEMPT":           "2",
		"HOME":                  "/scratch",
		"TMPDIR":                "/scratch",
		"XDG_CACHE_HOME":        "/scratch/.cache",
		"AWS_ACCESS_KEY_ID":     "secret s3/AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY": "secret s3/AWS_SECRET_ACCESS_KEY",
		"AWS_CA_BUNDLE":         "/etc/hrm-ca/ca.crt",
		"SSL_CERT_DIR":          "/etc/hrm-ca:/etc/ssl/certs",
		"OMP_NUM_THREADS":       "2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if len(pod.Volumes) != 3 || pod.Volumes[2].ConfigMap.Name != "authority" {
		t.Errorf("volumes %+v", pod.Volumes)
	}
}

func TestPod_mountsTheDatasetCache(t *testing.T) {
	for name, c := range map[string]struct {
		cache v1alpha1.DatasetCache
		want  corev1.VolumeSource
	}{
		"of the node": {v1alpha1.DatasetCache{HostPath: "/var/cache/hrm"},
			corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/var/cache/hrm", Type: ptr.To(corev1.HostPathDirectoryOrCreate)}}},
		"of a claim": {v1alpha1.DatasetCache{ClaimName: "datasets"},
			corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "datasets"}}},
	} {
		t.Run(name, func(t *testing.T) {
			job := builders.Job("sudoku").DatasetCache(c.cache).Obj()
			pod := podTemplate(job, Config{}, 1).Spec
			container := pod.Containers[0]
			if diff := cmp.Diff(corev1.Volume{Name: "dataset-cache", VolumeSource: c.want}, pod.Volumes[len(pod.Volumes)-1]); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(corev1.VolumeMount{Name: "dataset-cache", MountPath: "/dataset-cache"}, container.VolumeMounts[len(container.VolumeMounts)-1]); diff != "" {
				t.Error(diff)
			}
			want := []string{"--listen", ":8080", "--device", "cpu", "--dataset-cache", "/dataset-cache", "--dataset-cache-size", "50Gi"}
			if diff := cmp.Diff(want, container.Args); diff != "" {
				t.Error(diff)
			}
		})
	}
	plain := podTemplate(builders.Job("sudoku").Obj(), Config{}, 1).Spec
	if len(plain.Volumes) != 2 || slices.Contains(plain.Containers[0].Args, "--dataset-cache") {
		t.Errorf("a job without a cache gets volumes %+v and arguments %q", plain.Volumes, plain.Containers[0].Args)
	}
}

func TestSpecConfigMap_isTheUsersJob(t *testing.T) {
	job := builders.Job("sudoku").Nodes(2).Obj()
	job.Status.State = "Training"
	child, err := specConfigMap(job)
	if err != nil {
		t.Fatal(err)
	}
	text := child.Data["job.yaml"]
	if strings.Contains(text, "status") || strings.Contains(text, "uid") {
		t.Errorf("the spec holds what is not the user's:\n%s", text)
	}
	back, err := v1alpha1.Load(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(job.Spec, back.Spec); diff != "" || back.Name != "sudoku" {
		t.Errorf("pods of %s would read another spec (-written +read):\n%s", back.Name, diff)
	}
}

func TestNetworkPolicy_isOptional(t *testing.T) {
	for guard, want := range map[bool]int{true: 3, false: 2} {
		children, err := lastingChildren(builders.Job("a").Obj(), Config{NetworkPolicies: guard})
		if err != nil || len(children) != want {
			t.Errorf("policies %t: %d children (%v), want %d", guard, len(children), err, want)
		}
	}
}

func TestUpToDate_seesWhatIsMissingOnly(t *testing.T) {
	want := headlessService(builders.Job("a").Obj())
	have := want.DeepCopy()
	have.TypeMeta.Kind = ""
	have.UID, have.ResourceVersion, have.Generation, have.CreationTimestamp = "service", "1", 1, metav1.Now()
	have.Annotations = map[string]string{"someone": "else"}
	have.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	if !upToDate(want, have) {
		t.Error("what others added must not be fought over")
	}
	have.Spec.PublishNotReadyAddresses = false
	if upToDate(want, have) {
		t.Error("a change of what is ours was not seen")
	}
}
