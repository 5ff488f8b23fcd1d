package checkpoint

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWriteDir_isReadBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoint")
	if IsDir(dir) {
		t.Error("what does not exist holds a checkpoint")
	}
	want := State{Model: stateAt(3).Model, Optimizer: map[string]Tensor{}, Carry: map[string]Tensor{}, Scalars: map[string]string{}}
	if err := WriteDir(dir, want, Options{Job: []byte(`{"kind":"HRMTrainingJob"}`), Version: "v1", Now: clock}); err != nil {
		t.Fatal(err)
	}
	got, manifest, err := ReadDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !IsDir(dir) || !manifest.Time.Equal(clock()) || manifest.Version != "v1" {
		t.Errorf("the manifest is %+v", manifest)
	}
}

func TestWriteDir_overwritesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteDir(dir, stateAt(1), Options{Now: clock}); !errors.Is(err, fs.ErrExist) || IsDir(dir) {
		t.Errorf("got %v", err)
	}
}
