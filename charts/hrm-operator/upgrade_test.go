package chart

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/apiserver"
)

// jobOf010 is a job as version 0.1.0 of the chart took it.
const jobOf010 = `apiVersion: hrm.dev/v1alpha1
kind: HRMTrainingJob
metadata: {name: old, namespace: default}
spec:
  model: {hiddenSize: 128, numHeads: 8}
  dataset: {task: Sudoku, source: {uri: s3://puzzles/easy.txt}, subsample: 1000, augmentations: 10}
  training: {globalBatchSize: 32, steps: 500, learningRate: "1.5e-3"}
  evaluation: {everySteps: 100}
  storage: {endpoint: https://s3.example.org, bucket: hrm, prefix: old, credentialsSecretRef: {name: hrm-s3}}
  checkpoint: {everySteps: 50, keepLast: 2}
  maxRestarts: 5
  template: {resources: {limits: {memory: 4Gi}}}
`

// The CRD of 0.1.0 lies in testdata as it was released; a job made under it outlives the upgrade, finds the same spec and
// can be changed, and its status can be written.
func TestUpgrade_keepsTheJobsOfThePreviousCRD(t *testing.T) {
	env, err := apiserver.Start("testdata/crd-0.1.0.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Stop() })
	scheme := runtime.NewScheme()
	_ = clientgoscheme.AddToScheme(scheme)
	_ = v1alpha1.AddToScheme(scheme)
	c, err := client.New(env.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	var created unstructured.Unstructured
	if err := yaml.Unmarshal([]byte(jobOf010), &created.Object); err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), &created); err != nil {
		t.Fatal(err)
	}

	// helm upgrade patches the CRD in place, as this does.
	if _, err := envtest.InstallCRDs(env.Config, envtest.CRDInstallOptions{Paths: []string{apiserver.CRDs()}, ErrorIfPathMissing: true}); err != nil {
		t.Fatal(err)
	}
	var job v1alpha1.HRMTrainingJob
	var before, after string
	// The apiserver goes on for a moment with the schema that it had.
	if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		job = v1alpha1.HRMTrainingJob{}
		if err := c.Get(ctx, client.ObjectKeyFromObject(&created), &job); err != nil {
			return false, err
		}
		defaulted := job.DeepCopy()
		defaulted.Default()
		// The default of this field depends on the architecture: the pods fill it in.
		job.Spec.Model.ACT.Halting = defaulted.Spec.Model.ACT.Halting
		before, after = asYAML(t, job.Spec), asYAML(t, defaulted.Spec)
		return before == after, nil
	}); err != nil {
		t.Errorf("%v; defaults are missing:\n%s\nwant\n%s", err, before, after)
	}
	if job.UID != created.GetUID() || job.Spec.Model.HiddenSize != 128 || *job.Spec.Training.Steps != 500 || *job.Spec.MaxRestarts != 5 || job.Spec.Checkpoint.KeepLast != 2 {
		t.Errorf("the job came out changed: %+v", job.Spec)
	}
	job.Status = v1alpha1.HRMTrainingJobStatus{State: "Training", Attempts: 1, Progress: &v1alpha1.ProgressStatus{Step: 3, TotalSteps: 500}}
	if err := c.Status().Update(t.Context(), &job); err != nil {
		t.Errorf("write the status: %v", err)
	}
	suspend := true
	job.Spec.Suspend = &suspend
	if err := c.Update(t.Context(), &job); err != nil {
		t.Errorf("suspend the job: %v", err)
	}
}

// docs/upgrade.md names this command for those who install the CRD themselves.
func TestUpgrade_ofTheCRDByServerSideApply(t *testing.T) {
	env, err := apiserver.Start("testdata/crd-0.1.0.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Stop() })
	kubeconfig := t.TempDir() + "/kubeconfig"
	if err := apiserver.Kubeconfig(env, kubeconfig); err != nil {
		t.Fatal(err)
	}
	apply := exec.Command(apiserver.Kubectl(), "--kubeconfig", kubeconfig, "apply", "--server-side", "--force-conflicts", "-f", "../../config/crd/bases")
	if out, err := apply.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func asYAML(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
