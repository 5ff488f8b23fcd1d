package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// manifestName is written after all other files: a dataset without it is not complete.
const manifestName = "_COMPLETE.json"

type manifest struct {
	Version int                  `json:"version"`
	Files   map[string]fileSum   `json:"files"`
	Spec    v1alpha1.DatasetSpec `json:"spec"`
	Summary Summary              `json:"summary"`
}

type fileSum struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// errBroken says that a cached dataset is not what its manifest says, or that there is none.
var errBroken = errors.New("no complete dataset")

// Cached returns the dataset that spec describes: from <prefix>/datasets/<recipe hash>/ of the store if it is there and
// whole, otherwise built and put there. dir is the local copy, below scratchDir, and uri the one in the store. hit says that it was
// there already. What is broken in the store is built and written again.
func Cached(ctx context.Context, store objectstore.Store, prefix string, spec v1alpha1.DatasetSpec, files Files,
	scratchDir string, progress Progress) (dir, uri string, hit bool, err error) {
	if err := os.MkdirAll(scratchDir, 0o755); err != nil {
		return "", "", false, err
	}
	sources, err := os.MkdirTemp(scratchDir, "source-")
	if err != nil {
		return "", "", false, err
	}
	defer os.RemoveAll(sources)
	src, err := fetch(ctx, spec, files, sources)
	if err != nil {
		return "", "", false, err
	}
	hash := RecipeHash(spec, src.hash())
	key := path.Join(prefix, "datasets", hash)
	dir = filepath.Join(scratchDir, "dataset-"+hash)
	err = download(ctx, store, key, dir)
	if err == nil {
		return dir, store.URI(key), true, nil
	}
	if !errors.Is(err, errBroken) {
		return "", "", false, err
	}
	if _, err := build(ctx, spec, src, dir, progress); err != nil {
		return "", "", false, err
	}
	if err := upload(ctx, store, key, dir); err != nil {
		return "", "", false, fmt.Errorf("keep dataset in %s: %w", store.URI(key), err)
	}
	return dir, store.URI(key), false, nil
}

// download copies a dataset and checks every byte of it. The error wraps errBroken if it must be built again.
func download(ctx context.Context, store objectstore.Store, key, dir string) error {
	r, _, err := store.Get(ctx, path.Join(key, manifestName))
	if errors.Is(err, objectstore.ErrNotFound) {
		return errBroken
	}
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil || m.Version != recipeVersion || len(m.Files) == 0 {
		return fmt.Errorf("%w: the manifest is not readable", errBroken)
	}
	for _, name := range requiredFiles() {
		if _, ok := m.Files[name]; !ok {
			return fmt.Errorf("%w: the manifest does not list %s", errBroken, name)
		}
	}
	for name, sum := range m.Files {
		if !fs.ValidPath(name) {
			return fmt.Errorf("%w: the manifest names %q", errBroken, name)
		}
		if err := downloadFile(ctx, store, path.Join(key, name), filepath.Join(dir, filepath.FromSlash(name)), sum); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(dir, manifestName), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

func downloadFile(ctx context.Context, store objectstore.Store, key, to string, want fileSum) error {
	r, _, err := store.Get(ctx, key)
	if errors.Is(err, objectstore.ErrNotFound) {
		return fmt.Errorf("%w: %s is missing", errBroken, store.URI(key))
	}
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	h := sha256.New()
	var size int64
	err = writeFile(to, func(w io.Writer) error {
		size, err = io.Copy(io.MultiWriter(w, h), io.LimitReader(r, want.Size+1))
		return err
	})
	if err != nil {
		return fmt.Errorf("fetch %s: %w", store.URI(key), err)
	}
	if size != want.Size || hex.EncodeToString(h.Sum(nil)) != want.SHA256 {
		return fmt.Errorf("%w: %s is not what was written", errBroken, store.URI(key))
	}
	return nil
}

// upload writes the files first and the manifest last. Two pods may do this at the same time: they write the same bytes.
func upload(ctx context.Context, store objectstore.Store, key, dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return err
	}
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	names := make([]string, 0, len(m.Files))
	for name := range m.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := uploadFile(ctx, store, path.Join(key, name), filepath.Join(dir, filepath.FromSlash(name)), m.Files[name].Size); err != nil {
			return err
		}
	}
	_, err = store.Put(ctx, path.Join(key, manifestName), bytes.NewReader(text), int64(len(text)), objectstore.Condition{})
	return err
}

func uploadFile(ctx context.Context, store objectstore.Store, key, from string, size int64) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = store.Put(ctx, key, f, size, objectstore.Condition{})
	return err
}

// writeManifest records the files below dir. The place of the source is left out: another job may read it elsewhere.
func writeManifest(dir string, spec v1alpha1.DatasetSpec, summary Summary) error {
	spec.Source = v1alpha1.DatasetSource{}
	m := manifest{Version: recipeVersion, Files: map[string]fileSum{}, Spec: spec, Summary: summary}
	names, err := listFolder(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if extension := path.Ext(name); extension != ".npy" && extension != ".json" {
			continue // what another process has only half written
		}
		if m.Files[name], err = sumFile(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	return writeJSON(filepath.Join(dir, manifestName), m)
}

func sumFile(name string) (fileSum, error) {
	f, err := os.Open(name)
	if err != nil {
		return fileSum{}, err
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	return fileSum{size, hex.EncodeToString(h.Sum(nil))}, err
}

// requiredFiles lists the files that every dataset has.
func requiredFiles() []string {
	names := []string{identifiersName}
	for _, split := range []string{Train, Test} {
		names = append(names, path.Join(split, "dataset.json"))
		for _, field := range []string{"inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices"} {
			names = append(names, path.Join(split, arrayFile("all", field)))
		}
	}
	return names
}
