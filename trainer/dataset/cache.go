package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

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

// ErrIncomplete says that a dataset is not what its manifest says, or that there is none.
var ErrIncomplete = errors.New("no complete dataset")

// errAbsent says that there is none.
var errAbsent = fmt.Errorf("%w: it has no manifest", ErrIncomplete)

func parseManifest(text []byte) (manifest, error) {
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil || m.Version != recipeVersion || len(m.Files) == 0 {
		return m, fmt.Errorf("%w: the manifest is not readable", ErrIncomplete)
	}
	for _, name := range requiredFiles() {
		if _, ok := m.Files[name]; !ok {
			return m, fmt.Errorf("%w: the manifest does not list %s", ErrIncomplete, name)
		}
	}
	for name, sum := range m.Files {
		if own := name == manifestName || strings.HasPrefix(path.Base(name), "."); own || !fs.ValidPath(name) || sum.Size < 0 || sum.Size > maxNPYBytes+maxNPYHeader {
			return m, fmt.Errorf("%w: the manifest names %q of %d bytes", ErrIncomplete, name, sum.Size)
		}
	}
	return m, nil
}

// names lists the files in order.
func (m manifest) names() []string { return slices.Sorted(maps.Keys(m.Files)) }

// size is that of all files.
func (m manifest) size() (sum int64) {
	for _, f := range m.Files {
		sum += f.Size
	}
	return sum
}

// sum identifies the content of all files.
func (m manifest) sum() string {
	h := sha256.New()
	for _, name := range m.names() {
		fmt.Fprintf(h, "%s %d %s\n", name, m.Files[name].Size, m.Files[name].SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Local is where the datasets of this machine lie.
type Local struct {
	// Scratch is a directory for what need not last: sources while they are built from, and datasets without a cache.
	Scratch string
	// Cache is a directory that several processes and jobs share, also those of other containers. Empty means none.
	Cache string
	// Limit bounds the bytes of all datasets in the cache. Those that were not used for the longest time make room for
	// others; if none of them may be removed, a dataset goes to Scratch.
	Limit int64
	// Verify hashes the files of a dataset even if they look as they did when they were hashed last.
	Verify bool
	// Note is told, in a sentence, of what takes long; it may be nil.
	Note func(string)
}

// folders are where a dataset may go, the best one first.
func (l Local) folders() []*folder {
	note := l.Note
	if note == nil {
		note = func(string) {}
	}
	all := []*folder{{dir: l.Scratch, verify: l.Verify, note: note}}
	if l.Cache != "" {
		all = append([]*folder{{dir: l.Cache, limit: l.Limit, shared: true, verify: l.Verify, note: note}}, all...)
	}
	return all
}

// Copy is a dataset on this machine. It is not removed until Close, or until the process ends.
type Copy struct {
	// Dir is the one to load from, and URI the place in the store.
	Dir, URI string
	// Hash is that of the recipe, and Sum that of the files' content.
	Hash, Sum string
	// Hit says that the store had it already, and Local that this machine had.
	Hit, Local bool

	used *fileLock
}

// Close says that the dataset is not used any more.
func (c *Copy) Close() {
	if c != nil {
		c.used.release()
	}
}

// Cached returns the dataset that spec describes: from this machine, or from <prefix>/datasets/<recipe hash>/ of the store
// if it is there and whole, otherwise built. It is in the store afterwards. What is broken is replaced.
func Cached(ctx context.Context, store objectstore.Store, prefix string, spec v1alpha1.DatasetSpec, files Files,
	local Local, progress Progress) (*Copy, error) {
	if err := os.MkdirAll(local.Scratch, 0o755); err != nil {
		return nil, err
	}
	sources, err := os.MkdirTemp(local.Scratch, "source-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(sources)
	src, err := fetch(ctx, spec, files, sources)
	if err != nil {
		return nil, err
	}
	return get(ctx, local, keptIn(store, prefix, RecipeHash(spec, src.hash())), func(dir string) error {
		_, err := build(ctx, spec, src, dir, progress)
		return err
	})
}

// Retrieve returns the dataset of a recipe hash, which another process has put into the store, without a look at its source.
// The error wraps ErrIncomplete if the store does not have it, or not whole.
func Retrieve(ctx context.Context, store objectstore.Store, prefix, hash string, local Local) (*Copy, error) {
	return get(ctx, local, keptIn(store, prefix, hash), nil)
}

// kept is a dataset's place in a store.
type kept struct {
	store     objectstore.Store
	hash, key string
}

func keptIn(store objectstore.Store, prefix, hash string) kept {
	return kept{store, hash, path.Join(prefix, "datasets", hash)}
}

// get makes a dataset ready in the first folder that has room. build is nil if there is nothing to build from.
func get(ctx context.Context, local Local, k kept, build func(dir string) error) (c *Copy, err error) {
	for _, f := range local.folders() {
		if c, err = f.get(ctx, k, build); !errors.Is(err, errNoRoom) {
			return c, f.explain(err)
		}
		f.note(fmt.Sprintf("%s has no room for the dataset, %s is used instead: %v", f.dir, local.Scratch, err))
	}
	return nil, err
}

// get makes a dataset ready in a folder.
func (f *folder) get(ctx context.Context, k kept, build func(dir string) error) (*Copy, error) {
	claim, err := f.claim(ctx, k.hash)
	if err != nil {
		return nil, err
	}
	defer claim.release()
	remote, remoteErr := k.manifest(ctx)
	if remoteErr != nil && !errors.Is(remoteErr, ErrIncomplete) {
		return nil, remoteErr
	}
	c := &Copy{Dir: f.whole(k.hash), URI: k.store.URI(k.key), Hash: k.hash, Hit: remoteErr == nil, Local: true}
	m, err := f.check(k.hash)
	if err == nil && c.Hit && m.sum() != remote.sum() {
		err = fmt.Errorf("%w: %s is another dataset than %s", ErrIncomplete, c.Dir, c.URI)
	}
	if errors.Is(err, ErrIncomplete) {
		if !errors.Is(err, errAbsent) {
			f.note(fmt.Sprintf("replacing the dataset: %v", err))
		}
		c.Local = false
		m, c.Hit, err = f.obtain(ctx, k, remote, remoteErr, build)
	}
	if err != nil {
		return nil, err
	}
	if !c.Hit {
		if err := k.upload(ctx, m, c.Dir, f.note); err != nil {
			return nil, err
		}
	}
	c.Sum = m.sum()
	if c.used, err = f.use(k.hash); err != nil {
		return nil, err
	}
	return c, nil
}

// obtain downloads a dataset, or builds it if the store does not have it whole. hit says which.
func (f *folder) obtain(ctx context.Context, k kept, remote manifest, remoteErr error, build func(dir string) error) (m manifest, hit bool, err error) {
	// What a process that was killed has built is of no use, and would be counted.
	if err := errors.Join(f.discard(f.whole(k.hash)), f.discard(f.whole(k.hash)+".build")); err != nil {
		return m, false, err
	}
	staging := f.whole(k.hash) + ".download"
	if remoteErr == nil {
		if err := f.reserve(ctx, staging, remote.size()); err != nil {
			return m, false, err
		}
		// What is there of it stays if this fails: the next one to try goes on.
		if remoteErr = k.download(ctx, remote, staging, f.note); remoteErr == nil {
			return remote, true, f.keep(k.hash, staging, remote)
		}
		if !errors.Is(remoteErr, ErrIncomplete) {
			return m, false, remoteErr
		}
	}
	if err := f.discard(staging); err != nil {
		return m, false, err
	}
	if build == nil {
		return m, false, fmt.Errorf("%s: %w", k.store.URI(k.key), remoteErr)
	}
	m, err = f.build(ctx, k, build)
	return m, false, err
}

// build builds a dataset and keeps it. If there is no room to keep it in, it is in the store at least.
func (f *folder) build(ctx context.Context, k kept, build func(dir string) error) (manifest, error) {
	staging := f.whole(k.hash) + ".build"
	if err := os.MkdirAll(staging, 0o755); err != nil {
		return manifest{}, err
	}
	if err := build(staging); err != nil {
		return manifest{}, errors.Join(err, f.discard(staging))
	}
	text, err := os.ReadFile(filepath.Join(staging, manifestName))
	if err != nil {
		return manifest{}, err
	}
	m, err := parseManifest(text)
	if err != nil {
		return m, err
	}
	if err := f.reserve(ctx, staging, m.size()); err != nil {
		return m, errors.Join(err, k.upload(ctx, m, staging, f.note), f.discard(staging))
	}
	return m, f.keep(k.hash, staging, m)
}

// manifest reads the manifest in the store. The error wraps ErrIncomplete if there is none that can be read.
func (k kept) manifest(ctx context.Context) (manifest, error) {
	text, _, err := objectstore.ReadAll(ctx, k.store, path.Join(k.key, manifestName), maxMetadata)
	if errors.Is(err, objectstore.ErrNotFound) {
		return manifest{}, errAbsent
	}
	if err != nil {
		return manifest{}, err
	}
	return parseManifest(text)
}

// filesAtOnce is how many files of a dataset travel side by side; two of them hold nearly all.
const filesAtOnce = 2

// download copies a dataset to dir and checks every byte of it. The error wraps ErrIncomplete if it must be built again.
func (k kept) download(ctx context.Context, m manifest, dir string, note func(string)) error {
	progress := newMeter("downloading dataset "+k.store.URI(k.key), m.size(), note)
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(filesAtOnce)
	for _, name := range m.names() {
		group.Go(func() error {
			want := objectstore.Content{Size: m.Files[name].Size, SHA256: m.Files[name].SHA256}
			err := objectstore.Fetch(within, k.store, path.Join(k.key, name), filepath.Join(dir, filepath.FromSlash(name)), want, progress.add)
			switch {
			case errors.Is(err, objectstore.ErrNotFound), errors.Is(err, objectstore.ErrContent):
				return fmt.Errorf("%w: %w", ErrIncomplete, err)
			case err != nil:
				return fmt.Errorf("fetch %s: %w", k.store.URI(path.Join(k.key, name)), err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, manifestName), m)
}

// upload writes the files first and the manifest last. Two pods may do this at the same time: they write the same bytes.
func (k kept) upload(ctx context.Context, m manifest, dir string, note func(string)) error {
	progress := newMeter("keeping dataset in "+k.store.URI(k.key), m.size(), note)
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(filesAtOnce)
	for _, name := range m.names() {
		group.Go(func() error {
			return k.uploadFile(within, name, dir, progress.add)
		})
	}
	err := group.Wait()
	if err == nil {
		err = k.uploadFile(ctx, manifestName, dir, progress.add)
	}
	if err != nil {
		return fmt.Errorf("keep dataset in %s: %w", k.store.URI(k.key), err)
	}
	return nil
}

// uploadFile sends a file of a dataset below dir.
func (k kept) uploadFile(ctx context.Context, name, dir string, sent func(int64)) error {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = k.store.Put(ctx, path.Join(k.key, name), counted{f, sent}, info.Size(), objectstore.Condition{})
	return err
}

// counted is a file that tells how much of it is read. It can be read from anywhere, as stores want it to send parts.
type counted struct {
	file *os.File
	read func(int64)
}

// Read implements [io.Reader].
func (c counted) Read(p []byte) (int, error) {
	n, err := c.file.Read(p)
	c.read(int64(n))
	return n, err
}

// ReadAt implements [io.ReaderAt].
func (c counted) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.file.ReadAt(p, at)
	c.read(int64(n))
	return n, err
}

// Seek implements [io.Seeker].
func (c counted) Seek(offset int64, whence int) (int64, error) { return c.file.Seek(offset, whence) }

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
