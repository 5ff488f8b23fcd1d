package fieldpath_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/fieldpath"
)

func TestSetText(t *testing.T) {
	for _, row := range []struct {
		path, value string
		check       func(*v1alpha1.HRMTrainingJobSpec) bool
	}{
		{"training.learningRate", "1e-3", func(s *v1alpha1.HRMTrainingJobSpec) bool { return s.Training.LearningRate == "1e-3" }},
		{"training.steps", "500", func(s *v1alpha1.HRMTrainingJobSpec) bool { return *s.Training.Steps == 500 }},
		{"model.act.maxSteps", "2", func(s *v1alpha1.HRMTrainingJobSpec) bool { return s.Model.ACT.MaxSteps == 2 }},
		{"model.positionEncoding", "Learned", func(s *v1alpha1.HRMTrainingJobSpec) bool { return s.Model.PositionEncoding == "Learned" }},
		{"storage.pathStyle", "true", func(s *v1alpha1.HRMTrainingJobSpec) bool { return *s.Storage.PathStyle }},
		{"storage.credentialsSecretRef.name", "s3", func(s *v1alpha1.HRMTrainingJobSpec) bool { return s.Storage.CredentialsSecretRef.Name == "s3" }},
		{"dataset.source.uri", "s3://a/b=c", func(s *v1alpha1.HRMTrainingJobSpec) bool { return s.Dataset.Source.URI == "s3://a/b=c" }},
		{"training.epochs", "null", func(s *v1alpha1.HRMTrainingJobSpec) bool { return s.Training.Epochs == nil }},
	} {
		t.Run(row.path, func(t *testing.T) {
			epochs := int32(5)
			spec := &v1alpha1.HRMTrainingJobSpec{}
			spec.Training.Epochs = &epochs
			if err := fieldpath.SetText(spec, row.path, row.value); err != nil {
				t.Fatal(err)
			}
			if !row.check(spec) {
				t.Errorf("the field is not set: %+v", spec)
			}
		})
	}
}

func TestSetText_saysWhatIsWrong(t *testing.T) {
	for _, row := range []struct{ path, value, want string }{
		{"training.learningrate", "1", "there are beta1, beta2"},
		{"training.steps", "many", "takes a whole number"},
		{"training.steps.more", "1", "has no parts"},
		{"storage.pathStyle", "perhaps", "takes true or false"},
		{"dataset.maze", "{sise: 8}", "there is no sise"},
		{"", "1", "there is no ;"},
	} {
		t.Run(row.path, func(t *testing.T) {
			err := fieldpath.SetText(&v1alpha1.HRMTrainingJobSpec{}, row.path, row.value)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error with %q", err, row.want)
			}
		})
	}
}

func TestSetJSON(t *testing.T) {
	for _, row := range []struct{ path, value, want string }{
		{"training.learningRate", "0.001", "0.001"},
		{"training.learningRate", `"1e-3"`, "1e-3"},
		{"training.steps", "500", "500"},
		{"model.hLayers", "null", ""},
		{"model.architecture", "null", ""},
		{"model.act", `{"maxSteps": 3}`, ""},
	} {
		t.Run(row.path+" "+row.value, func(t *testing.T) {
			spec := &v1alpha1.HRMTrainingJobSpec{}
			spec.Model.HLayers, spec.Model.Architecture = 4, v1alpha1.ArchitectureTRM
			if err := fieldpath.SetJSON(spec, row.path, json.RawMessage(row.value)); err != nil {
				t.Fatal(err)
			}
			if got := fieldpath.Flatten(spec)[row.path]; got != row.want {
				t.Errorf("it is %q, want %q", got, row.want)
			}
		})
	}
}

func TestSetJSON_saysWhatIsWrong(t *testing.T) {
	for _, row := range []struct{ path, value, want string }{
		{"training.steps", `"many"`, "takes a whole number"},
		{"model.architecture", "true", "takes a text"},
		{"model.act", `{"maxSteps": 3, "x": 1}`, "there is no x"},
		{"model.act", "7", "takes a ACTSpec"},
	} {
		err := fieldpath.SetJSON(&v1alpha1.HRMTrainingJobSpec{}, row.path, json.RawMessage(row.value))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %s gives %v, want an error with %q", row.path, row.value, err, row.want)
		}
	}
}

func TestFlatten_listsValuesByTheirPaths(t *testing.T) {
	steps := int64(7)
	got := fieldpath.Flatten(v1alpha1.TrainingSpec{Steps: &steps, LearningRate: "1e-3", Embedding: v1alpha1.EmbeddingTraining{WeightDecay: "0.1"}})
	want := map[string]string{"steps": "7", "learningRate": "1e-3", "embedding.weightDecay": "0.1"}
	if !maps.Equal(got, want) {
		t.Errorf("it is %v, want %v", got, want)
	}
}
