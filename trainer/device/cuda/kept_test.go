package cuda

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzKept gives any bytes for a kept cubin: only what was written is read.
func FuzzKept(f *testing.F) {
	path := filepath.Join(f.TempDir(), "kept")
	code := []byte("any code")
	if err := write(path, code); err != nil {
		f.Fatal(err)
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(kept)
	f.Add(kept[:len(kept)-1])
	f.Add([]byte(cacheHeader))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, ok := unwrap(raw)
		if bytes.Equal(raw, kept) && (!ok || !bytes.Equal(got, code)) {
			t.Error("what was kept is not read")
		}
		if ok && len(got) != len(raw)-len(cacheHeader)-32 {
			t.Errorf("%d bytes of %d are code", len(got), len(raw))
		}
	})
}
