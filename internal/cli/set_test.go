package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
)

func TestApplySet_takesAllAfterTheFirstEqualsSign(t *testing.T) {
	spec := &v1alpha1.HRMTrainingJobSpec{}
	if err := applySet(spec, "dataset.source.uri=s3://a/b=c"); err != nil || spec.Dataset.Source.URI != "s3://a/b=c" {
		t.Errorf("uri %q, %v", spec.Dataset.Source.URI, err)
	}
}

func TestApplySet_saysWhatIsWrong(t *testing.T) {
	for _, row := range []struct{ assignment, want string }{
		{"training.learningrate=1", "--set training.learningrate=1: there is no learningrate"},
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

// Defaults follow what is set: those of HRM are no part of another architecture.
func TestLoadJob_fillsInDefaultsLast(t *testing.T) {
	file := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(file, []byte(runnable), 0o600); err != nil {
		t.Fatal(err)
	}
	job, _, err := new(app).loadJob(file, []string{"model.architecture=Transformer"})
	if err != nil {
		t.Fatal(err)
	}
	if m := job.Spec.Model; m.Layers != 8 || m.HCycles != 0 || m.ACT.Halting != v1alpha1.HaltingQHalt {
		t.Errorf("got %+v", m)
	}
}
