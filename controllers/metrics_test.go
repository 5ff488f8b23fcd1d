package controllers

import (
	"context"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/builders"
)

// listed is a cache that holds some jobs.
type listed struct {
	client.Reader
	jobs []v1alpha1.HRMTrainingJob
}

func (l listed) List(_ context.Context, out client.ObjectList, _ ...client.ListOption) error {
	out.(*v1alpha1.HRMTrainingJobList).Items = l.jobs
	return nil
}

func inState(state string) v1alpha1.HRMTrainingJob {
	return *builders.Job("a").Status(func(s *v1alpha1.HRMTrainingJobStatus) { s.State = state }).Obj()
}

func TestMetrics_countJobsByStateOnly(t *testing.T) {
	cache := listed{jobs: []v1alpha1.HRMTrainingJob{inState("Training"), inState("Training"), inState("Failed"), inState("")}}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newStateCollector(cache))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		if len(m.GetLabel()) != 1 {
			t.Errorf("labels %v, want the state only", m.GetLabel())
		}
		got[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
	}
	if got["Training"] != 2 || got["Failed"] != 1 || got["Queued"] != 1 || len(got) != len(states) {
		t.Errorf("jobs by state %v", got)
	}
}

// value reads a counter.
func value(t *testing.T, counter prometheus.Collector) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(counter)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func TestMetrics_countWhatTheStatusSays(t *testing.T) {
	evictions := disruptionsSeen.WithLabelValues(v1alpha1.DisruptionEvicted)
	disruptionsBefore, stallsBefore := value(t, evictions), value(t, stallsSeen)
	before := v1alpha1.HRMTrainingJobStatus{DisruptionReasons: []v1alpha1.DisruptionCount{{Reason: v1alpha1.DisruptionEvicted, Count: 2}}}
	after := v1alpha1.HRMTrainingJobStatus{Stalls: 1, DisruptionReasons: []v1alpha1.DisruptionCount{{Reason: v1alpha1.DisruptionEvicted, Count: 3}}}
	tell(t.Context(), builders.Job("a").Obj(), before, after)
	if d, s := value(t, evictions)-disruptionsBefore, value(t, stallsSeen)-stallsBefore; d != 1 || s != 1 {
		t.Errorf("%g disruptions and %g stalls more, want one each", d, s)
	}
}

func TestStorageDefaults_areForJobsThatNameNoEndpoint(t *testing.T) {
	defaults := StorageDefaults{Endpoint: "https://minio.example.org", Region: "here", PathStyle: true, CredentialsSecret: "s3", CAConfigMap: "authority"}
	own := builders.Job("own").Obj()
	if got := defaults.apply(own); got.Spec.Storage.Endpoint != "https://s3.example.org" || got.Spec.Storage.CredentialsSecretRef != nil {
		t.Errorf("a job with an endpoint got %+v", got.Spec.Storage)
	}
	bare := builders.Job("bare").Obj()
	bare.Spec.Storage.Endpoint = ""
	child, err := specConfigMap(defaults.apply(bare))
	if err != nil {
		t.Fatal(err)
	}
	got, err := v1alpha1.Load(strings.NewReader(child.Data["job.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	s := got.Spec.Storage
	if s.Endpoint != "https://minio.example.org" || s.Region != "here" || !*s.PathStyle || s.CredentialsSecretRef.Name != "s3" || s.CAConfigMapRef.Name != "authority" {
		t.Errorf("pods read %+v", s)
	}
	pod := podTemplate(bare, Config{Storage: defaults, ImagePullSecrets: []string{"registry"}}, 1).Spec
	if len(pod.Volumes) != 3 || pod.ImagePullSecrets[0].Name != "registry" {
		t.Errorf("volumes %+v, pull secrets %v", pod.Volumes, pod.ImagePullSecrets)
	}
	if bare.Spec.Storage.Endpoint != "" {
		t.Error("the user's job was changed")
	}
}
