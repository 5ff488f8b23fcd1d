package checkpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// IsDir says whether a directory holds a checkpoint of its own, as [Pull] and [WriteDir] write it. The store that a job
// trains into does not: its checkpoints lie in folders of it.
func IsDir(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, manifestName))
	return err == nil
}

// Pull writes a verified checkpoint into a directory, the manifest last.
func Pull(ctx context.Context, store objectstore.Store, ref Ref, dir string) (Manifest, error) {
	contents, manifest, err := verified(ctx, store, ref)
	if err != nil {
		return manifest, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return manifest, fmt.Errorf("make %s: %w", dir, err)
	}
	for _, name := range append(slices.Clone(contentNames), manifestName) {
		if err := os.WriteFile(filepath.Join(dir, name), contents[name], 0o644); err != nil {
			return manifest, fmt.Errorf("write %s: %w", name, err)
		}
	}
	return manifest, nil
}

// WriteDir writes a state into a directory that does not exist yet, or is empty. A state of nothing but weights can be
// evaluated and begun from, not resumed.
func WriteDir(dir string, s State, o Options) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty (%w)", dir, fs.ErrExist)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	return write(s, o, o.Now().UTC(), func(name string, open content) error {
		return writeFile(filepath.Join(dir, name), open())
	})
}

func writeFile(path string, body io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// ReadDir reads and verifies a checkpoint that [Pull] or [WriteDir] has written.
func ReadDir(ctx context.Context, dir string) (*State, Manifest, error) {
	if raw, err := os.ReadFile(filepath.Join(dir, manifestName)); err != nil || !json.Valid(bytes.TrimSpace(raw)) {
		return nil, Manifest{}, fmt.Errorf("%s holds no checkpoint: %w; pull one with hrm checkpoint pull", dir, errors.Join(err, errors.New("no valid "+manifestName)))
	}
	store, err := objectstore.OpenDir(dir)
	if err != nil {
		return nil, Manifest{}, err
	}
	return Load(ctx, store, Ref{})
}
