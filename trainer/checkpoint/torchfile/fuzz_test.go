package torchfile

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
)

// FuzzRead changes whole files.
func FuzzRead(f *testing.F) {
	for _, raw := range examples(f) {
		f.Add(raw)
	}
	f.Add(archived(f, dictOfW+whole+"s.", nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tensors, err := read(raw)
		if err == nil {
			consistent(t, tensors, len(raw))
		}
	})
}

// FuzzPickle changes what describes the tensors, which checksums protect from FuzzRead. All storages are zeros.
func FuzzPickle(f *testing.F) {
	for _, raw := range examples(f) {
		z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			continue // an old file, whose pickle nothing protects
		}
		for _, r := range z.File {
			if filepath.Base(r.Name) == "data.pkl" {
				f.Add(content(f, r))
			}
		}
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		root, n, err := unpickle(code)
		if err != nil {
			return
		}
		if n > len(code) {
			t.Fatalf("a pickle of %d bytes has %d", len(code), n)
		}
		views, err := namedViews(root)
		if err != nil {
			return
		}
		const size = 1 << 16
		c := container{read: func(s *storage) ([]byte, error) {
			if s.elements > size {
				return nil, fmt.Errorf("%d elements are more than the file has", s.elements)
			}
			return make([]byte, int(s.elements)*s.dtype.Size()), nil
		}}
		tensors, err := c.load(views, size)
		if err == nil {
			consistent(t, tensors, size)
		}
	})
}

// examples are the files in testdata.
func examples(f *testing.F) [][]byte {
	files, err := filepath.Glob("testdata/*.pt")
	if err != nil || len(files) == 0 {
		f.Fatalf("testdata has no files: %v", err)
	}
	var out [][]byte
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, raw)
	}
	return out
}

func content(f *testing.F, r *zip.File) []byte {
	opened, err := r.Open()
	if err != nil {
		f.Fatal(err)
	}
	raw, err := io.ReadAll(opened)
	if err != nil {
		f.Fatal(err)
	}
	return raw
}

// consistent checks what is true of all tensors that were read: they are not much larger than the file, and come back
// when they are written.
func consistent(t *testing.T, tensors map[string]checkpoint.Tensor, size int) {
	total := 0
	for name, x := range tensors {
		if err := x.Check(); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		total += len(x.Data)
	}
	if total > maxReuse*size {
		t.Fatalf("a file of %d bytes gives tensors of %d", size, total)
	}
	var out bytes.Buffer
	if err := Write(&out, tensors); err != nil {
		t.Fatal(err)
	}
	again, err := read(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tensors, again); diff != "" {
		t.Fatalf("-read +written and read again:\n%s", diff)
	}
}
