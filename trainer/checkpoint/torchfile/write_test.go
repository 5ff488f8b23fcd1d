package torchfile

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/internal/testing/pytorch"
	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
)

func TestWriteFile_isReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.pt")
	if err := WriteFile(path, saved()); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(saved(), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWriteFile_overwritesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.pt")
	if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := WriteFile(path, saved())
	if raw, _ := os.ReadFile(path); err == nil || string(raw) != "precious" {
		t.Errorf("got %v, and the file holds %q", err, raw)
	}
}

func TestWriteFile_leavesNothingBehindWhenItFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.pt")
	err := WriteFile(path, map[string]checkpoint.Tensor{"w": {DType: checkpoint.F32, Shape: []int{2}, Data: make([]byte, 4)}})
	if err == nil || !strings.Contains(err.Error(), "tensor w") {
		t.Errorf("got %v, want an error that names the tensor", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a file is left: %v", err)
	}
}

func TestWrite_alignsRecordsAndDependsOnNothingElse(t *testing.T) {
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := Write(out, saved()); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same tensors give different bytes")
	}
	z, err := zip.NewReader(bytes.NewReader(first.Bytes()), int64(first.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if at, err := f.DataOffset(); err != nil || at%alignment != 0 {
			t.Errorf("%s begins at %d, %v", f.Name, at, err)
		}
	}
}

func TestWriteFile_isReadByPyTorch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.pt")
	if err := WriteFile(path, saved()); err != nil {
		t.Fatal(err)
	}
	if out := pytorch.Run(t, "testdata/same.py", "testdata/zip.pt", path); string(out) != "18 tensors\n" {
		t.Errorf("PyTorch says %s", out)
	}
}

func TestReadFile_readsWhatThisPyTorchWrites(t *testing.T) {
	dir := t.TempDir()
	pytorch.Run(t, "testdata/make.py", dir)
	for _, file := range []string{"zip.pt", "legacy.pt"} {
		got, err := ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(saved(), got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", file, diff)
		}
	}
}
