package checkpoint

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// State is everything that the next step of a run depends on.
type State struct {
	Step int64
	// Model holds the weights under the official names, Optimizer the moments, Carry the rows in work and the random
	// states.
	Model, Optimizer, Carry map[string]Tensor
	Scalars                 map[string]string
}

// The names below a job's place in the store.
const (
	folder       = "checkpoints/"
	manifestName = "manifest.json"
	latestKey    = "latest.json"
	bestKey      = "best.json"
	scalarsName  = "state.json"
	// maxJSON bounds manifests, pointers and scalars.
	maxJSON = 16 << 20
)

// Manifest seals a checkpoint: it is written after the content, and what it does not list does not belong to it.
type Manifest struct {
	Step int64     `json:"step"`
	Time time.Time `json:"time"`
	// Job is the job's spec, for whoever evaluates the checkpoint later.
	Job json.RawMessage `json:"job,omitempty"`
	// Version of the trainer that wrote it.
	Version string          `json:"version,omitempty"`
	Objects map[string]Seal `json:"objects"`
}

// Seal is what an object of a checkpoint must be.
type Seal struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Ref names a checkpoint in its store.
type Ref struct {
	// Folder is its key, less the slash at the end.
	Folder string    `json:"folder"`
	Step   int64     `json:"step"`
	Time   time.Time `json:"time"`
}

// Archive keeps the checkpoints of one job. One process writes; what another one wrote since is noticed, not overwritten.
type Archive struct {
	store   objectstore.Store
	options Options
	// writer keeps the keys of two processes apart.
	writer string
	// latest is the ETag of the pointer as this process saw or wrote it; empty if there is none yet.
	latest string
	known  bool
}

// Options of an archive.
type Options struct {
	// KeepLast is how many checkpoints stay besides the best one; 0 keeps all.
	KeepLast int
	Job      json.RawMessage
	Version  string
	Now      func() time.Time
}

// NewArchive returns the archive at the store's root.
func NewArchive(store objectstore.Store, o Options) *Archive {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Archive{store: store, options: o, writer: strings.ToLower(rand.Text()[:8])}
}

// Save writes a state: content, then the manifest, then the pointer latest.json, and best.json if best is set. Each key
// is written once; saving again after a failure goes on where it ended. The error wraps objectstore.ErrPrecondition if
// another process has saved here since.
func (a *Archive) Save(ctx context.Context, s State, best bool) (progress.Checkpoint, error) {
	ref := Ref{Folder: fmt.Sprintf("%sstep-%010d-%s", folder, s.Step, a.writer), Step: s.Step, Time: a.options.Now().UTC()}
	err := write(s, a.options, ref.Time, func(name string, open content) error { return a.once(ctx, ref.key(name), open()) })
	if err != nil {
		return progress.Checkpoint{}, err
	}
	if err := a.point(ctx, ref, best); err != nil {
		return progress.Checkpoint{}, err
	}
	return a.describe(ref), a.retain(ctx, ref)
}

// content opens an object of a checkpoint that is not written yet, as often as it is needed.
type content func() *io.SectionReader

// write hands a state's objects to put, the manifest last.
func write(s State, o Options, at time.Time, put func(name string, open content) error) error {
	manifest := Manifest{Step: s.Step, Time: at, Job: o.Job, Version: o.Version, Objects: map[string]Seal{}}
	add := func(name string, open content) error {
		sum := sha256.New()
		size, err := io.Copy(sum, open())
		if err != nil {
			return err
		}
		manifest.Objects[name] = Seal{Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}
		return put(name, open)
	}
	for name, tensors := range map[string]map[string]Tensor{"model": s.Model, "optimizer": s.Optimizer, "carry": s.Carry} {
		file, err := EncodeSafetensors(tensors, map[string]string{"step": fmt.Sprint(s.Step)})
		if err != nil {
			return fmt.Errorf("encode the %s of step %d: %w", name, s.Step, err)
		}
		if err := add(name+".safetensors", file.Reader); err != nil {
			return err
		}
	}
	scalars, err := encodeJSON(scalarsName, s.Scalars)
	if err != nil {
		return err
	}
	if err := add(scalarsName, scalars); err != nil {
		return err
	}
	sealed, err := encodeJSON(manifestName, manifest)
	if err != nil {
		return err
	}
	return put(manifestName, sealed)
}

func encodeJSON(name string, value any) (content, error) {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	return func() *io.SectionReader { return io.NewSectionReader(bytes.NewReader(raw), 0, int64(len(raw))) }, nil
}

// parseRef reads a pointer's content. A broken one gives nil: the checkpoints themselves say which is the last.
func parseRef(raw []byte) *Ref {
	var ref Ref
	if json.Unmarshal(raw, &ref) != nil || path.Clean(ref.Folder) != ref.Folder {
		return nil
	}
	if step, ok := stepOf(ref.Folder); !ok || step != ref.Step {
		return nil
	}
	return &ref
}

// stepOf reads the step in a checkpoint's key.
func stepOf(key string) (int64, bool) {
	rest, found := strings.CutPrefix(key, folder+"step-")
	number, _, _ := strings.Cut(rest, "-")
	step, err := strconv.ParseUint(number, 10, 63)
	return int64(step), found && err == nil
}

func (r Ref) key(name string) string { return path.Join(r.Folder, name) }

func (a *Archive) describe(r Ref) progress.Checkpoint {
	return progress.Checkpoint{URI: a.store.URI(r.Folder), Step: r.Step, Time: r.Time}
}

// once writes an object unless an earlier try of this process has.
func (a *Archive) once(ctx context.Context, key string, body *io.SectionReader) error {
	_, err := a.store.Put(ctx, key, body, body.Size(), objectstore.Condition{IfAbsent: true})
	if err != nil && !errors.Is(err, objectstore.ErrPrecondition) {
		return fmt.Errorf("write %s: %w", a.store.URI(key), err)
	}
	return nil
}

// point moves the pointers to a complete checkpoint.
func (a *Archive) point(ctx context.Context, ref Ref, best bool) error {
	raw, err := json.Marshal(ref)
	if err != nil {
		return err
	}
	if best {
		if _, err := objectstore.PutBytes(ctx, a.store, bestKey, raw, objectstore.Condition{}); err != nil {
			return fmt.Errorf("write %s: %w", a.store.URI(bestKey), err)
		}
	}
	if !a.known {
		if _, err := a.pointer(ctx); err != nil {
			return err
		}
	}
	info, err := objectstore.PutBytes(ctx, a.store, latestKey, raw, objectstore.Condition{IfAbsent: a.latest == "", IfMatch: a.latest})
	if errors.Is(err, objectstore.ErrPrecondition) {
		// Perhaps it was this process: an answer may get lost on its way.
		seen := a.latest
		now, readErr := a.pointer(ctx)
		if readErr == nil && now != nil && now.Folder == ref.Folder {
			return nil
		}
		a.latest = seen
		return fmt.Errorf("%s was moved by another process, which trains the same job: this one stops: %w", a.store.URI(latestKey), err)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", a.store.URI(latestKey), err)
	}
	a.latest = info.ETag
	return nil
}

// pointer reads latest.json and remembers its ETag; nil if there is none that makes sense.
func (a *Archive) pointer(ctx context.Context) (*Ref, error) {
	raw, info, err := objectstore.ReadAll(ctx, a.store, latestKey, maxJSON)
	if errors.Is(err, objectstore.ErrNotFound) {
		a.known = true
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", a.store.URI(latestKey), err)
	}
	a.latest, a.known = info.ETag, true
	return parseRef(raw), nil
}

// retain deletes all but the last few checkpoints, the best one and the one just written.
func (a *Archive) retain(ctx context.Context, current Ref) error {
	if a.options.KeepLast == 0 {
		return nil
	}
	refs, err := List(ctx, a.store)
	if err != nil {
		return err
	}
	best := Best(ctx, a.store)
	for i, ref := range refs {
		if i < a.options.KeepLast || ref.Folder == current.Folder || best != nil && ref.Folder == best.Folder {
			continue
		}
		if err := remove(ctx, a.store, ref); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes a checkpoint, its manifest first: without it the rest is no checkpoint.
func remove(ctx context.Context, store objectstore.Store, ref Ref) error {
	objects, err := store.List(ctx, ref.Folder+"/")
	if err != nil {
		return fmt.Errorf("list %s: %w", store.URI(ref.Folder), err)
	}
	slices.SortStableFunc(objects, func(x, y objectstore.Info) int {
		return cmp.Compare(rank(x.Key), rank(y.Key))
	})
	for _, o := range objects {
		if err := store.Delete(ctx, o.Key); err != nil {
			return fmt.Errorf("delete %s: %w", store.URI(o.Key), err)
		}
	}
	return nil
}

func rank(key string) int {
	if path.Base(key) == manifestName {
		return 0
	}
	return 1
}
