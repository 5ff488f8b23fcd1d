package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

func TestApplySet(t *testing.T) {
	for _, row := range []struct {
		assignment string
		check      func(*v1alpha1.HRMTrainingJobSpec) bool
	}{
		{"training.learningRate=1e-3", func(s *v1alpha1.HRMTrainingJobSpec) bool { return s.Training.LearningRate == "1e-3" }},
		{"training.steps=500", func(s *v1alpha1.HRMTrainingJobSpec) bool { return *s.Training.Steps == 500 }},
		{"model.act.maxSteps=2", func(s *v1alpha1.HRMTrainingJobSpec) bool { return s.Model.ACT.MaxSteps == 2 }},
		{"model.positionEncoding=Learned", func(s *v1alpha1.HRMTrainingJobSpec) bool { return s.Model.PositionEncoding == "Learned" }},
		{"storage.pathStyle=true", func(s *v1alpha1.HRMTrainingJobSpec) bool { return *s.Storage.PathStyle }},
		{"storage.credentialsSecretRef.name=s3", func(s *v1alpha1.HRMTrainingJobSpec) bool { return s.Storage.CredentialsSecretRef.Name == "s3" }},
		{"dataset.source.uri=s3://a/b=c", func(s *v1alpha1.HRMTrainingJobSpec) bool { return s.Dataset.Source.URI == "s3://a/b=c" }},
		{"training.epochs=null", func(s *v1alpha1.HRMTrainingJobSpec) bool { return s.Training.Epochs == nil }},
	} {
		t.Run(row.assignment, func(t *testing.T) {
			epochs := int32(5)
			spec := &v1alpha1.HRMTrainingJobSpec{}
			spec.Training.Epochs = &epochs
			if err := applySet(spec, row.assignment); err != nil {
				t.Fatal(err)
			}
			if !row.check(spec) {
				t.Errorf("the field is not set: %+v", spec)
			}
		})
	}
}

func TestApplySet_saysWhatIsWrong(t *testing.T) {
	for _, row := range []struct{ assignment, want string }{
		{"training.learningrate=1", "there are beta1, beta2"},
		{"training.steps=many", "takes a whole number"},
		{"training.steps.more=1", "has no parts"},
		{"storage.pathStyle=perhaps", "takes true or false"},
		{"training.steps", "want path=value"},
		{"=1", "want path=value"},
	} {
		t.Run(row.assignment, func(t *testing.T) {
			err := applySet(&v1alpha1.HRMTrainingJobSpec{}, row.assignment)
			var usage usageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want a usage error with %q", err, row.want)
			}
		})
	}
}
