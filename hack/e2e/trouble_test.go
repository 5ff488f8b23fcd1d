package e2e

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

// waits checks that a job says why it does not run, in words that name what is wrong.
func (w *world) waits(job, reason string, words ...string) {
	w.Helper()
	message := w.await(job, v1alpha1.ConditionRunning, metav1.ConditionFalse, reason)
	for _, word := range words {
		if !strings.Contains(message, word) {
			w.Errorf("reason %s says %q, which does not name %q", reason, message, word)
		}
	}
	w.awaitEvent(job, reason)
	if state := w.job(job).Status.State; state != reason {
		w.Errorf("state is %s, want %s", state, reason)
	}
}

func TestImageDoesNotExist(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("lost").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Image = "registry.invalid/no/such:image" }))
	w.waits(job, v1alpha1.ReasonImagePull, "registry.invalid/no/such:image")
	w.kubectl("delete", "hrmjob", job)
	w.gone(job)
}

func TestNoNodeFits(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("picky").with(func(s *v1alpha1.HRMTrainingJobSpec) {
		s.Template.NodeSelector = map[string]string{"hrm.dev/none": "such"}
	}))
	w.waits(job, v1alpha1.ReasonUnschedulable, "node")
	w.suspend(job, true)
	w.await(job, v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	w.change(job, func(s *v1alpha1.HRMTrainingJobSpec) { s.Template.NodeSelector = nil })
	w.suspend(job, false)
	w.expect(job, resumed)
}

func TestSecretIsMissing(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("trusting").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Storage.CredentialsSecretRef.Name = "later" }))
	w.waits(job, v1alpha1.ReasonConfigError, `"later"`)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "later"}, StringData: map[string]string{
		"AWS_ACCESS_KEY_ID": variable("AWS_ACCESS_KEY_ID"), "AWS_SECRET_ACCESS_KEY": variable("AWS_SECRET_ACCESS_KEY"),
	}})
	w.expect(job, complete)
}

func TestSecretLacksAKey(t *testing.T) {
	w := begin(t)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "half"}, StringData: map[string]string{
		"AWS_ACCESS_KEY_ID": variable("AWS_ACCESS_KEY_ID"),
	}})
	job := w.submit(smallJob("half").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Storage.CredentialsSecretRef.Name = "half" }))
	w.waits(job, v1alpha1.ReasonConfigError, "AWS_SECRET_ACCESS_KEY", "half")
}

func TestBucketDoesNotExist(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("homeless").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Storage.Bucket = "no-such-bucket" }))
	w.expect(job, outcome{condition: v1alpha1.ConditionFailed, reason: v1alpha1.ReasonConfigError, attempts: 1, message: "no-such-bucket"})
}

func TestCredentialsAreWrong(t *testing.T) {
	w := begin(t)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "wrong"}, StringData: map[string]string{
		"AWS_ACCESS_KEY_ID": variable("AWS_ACCESS_KEY_ID"), "AWS_SECRET_ACCESS_KEY": "not the one",
	}})
	job := w.submit(smallJob("stranger").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Storage.CredentialsSecretRef.Name = "wrong" }))
	w.expect(job, outcome{condition: v1alpha1.ConditionFailed, reason: v1alpha1.ReasonConfigError, attempts: 1, message: "AWS_SECRET_ACCESS_KEY"})
}

func TestDatasetIsBroken(t *testing.T) {
	w := begin(t)
	key := w.prefix("data") + "/broken.csv"
	w.must(putObject(w.ctx, key, "puzzle,rating\n"+strings.Repeat("0", 81)+",3\n"))
	job := w.submit(smallJob("broken").with(func(s *v1alpha1.HRMTrainingJobSpec) { s.Dataset.Source.URI = "s3://" + bucket + "/" + key }))
	w.expect(job, outcome{condition: v1alpha1.ConditionFailed, reason: v1alpha1.ReasonDatasetError, attempts: 1, message: "broken.csv:2: "})
}

func TestLossIsNotANumber(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("diverging").with(func(s *v1alpha1.HRMTrainingJobSpec) {
		s.Training.LearningRate, s.Training.WeightDecay, s.Training.WarmupSteps = "1", "1e6", new(int32(0))
		s.Checkpoint.EverySteps = new(int64(1))
	}))
	w.expect(job, outcome{condition: v1alpha1.ConditionFailed, reason: v1alpha1.ReasonConfigError, attempts: 1, message: "the loss of step "})
	got, err := lastCheckpoint(w.ctx, w.prefix(job))
	if err != nil || got.Step < 1 {
		t.Errorf("the last good checkpoint: %+v, %v", got, err)
	}
}

func TestOutOfMemory(t *testing.T) {
	w := begin(t)
	job := w.submit(smallJob("cramped").with(func(s *v1alpha1.HRMTrainingJobSpec) {
		s.Model.HiddenSize, s.Model.NumHeads, s.Training.GlobalBatchSize = 512, 8, 256
		s.Template.Resources.Limits[corev1.ResourceMemory] = resource.MustParse("150Mi")
		s.MaxRestarts = new(int32(1))
	}))
	w.expect(job, outcome{condition: v1alpha1.ConditionFailed, reason: v1alpha1.ReasonRestartsExceeded, attempts: 2, restarts: 1, message: "memory"})
}
