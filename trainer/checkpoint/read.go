package checkpoint

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// List returns the complete checkpoints of a store, the last step first.
func List(ctx context.Context, store objectstore.Store) ([]Ref, error) {
	objects, err := store.List(ctx, folder)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", store.URI(folder), err)
	}
	var refs []Ref
	for _, o := range objects {
		dir, name := path.Split(o.Key)
		step, ok := stepOf(dir)
		if name != manifestName || !ok {
			continue
		}
		refs = append(refs, Ref{Folder: strings.TrimSuffix(dir, "/"), Step: step})
	}
	slices.SortStableFunc(refs, func(x, y Ref) int { return cmp.Compare(y.Step, x.Step) })
	return refs, nil
}

// Best returns the checkpoint that best.json names, nil if none does.
func Best(ctx context.Context, store objectstore.Store) *Ref { return readPointer(ctx, store, bestKey) }

// Last returns the checkpoint that latest.json names, nil if none does.
func Last(ctx context.Context, store objectstore.Store) *Ref {
	return readPointer(ctx, store, latestKey)
}

func readPointer(ctx context.Context, store objectstore.Store, key string) *Ref {
	raw, _, err := objectstore.ReadAll(ctx, store, key, maxJSON)
	if err != nil {
		return nil
	}
	return parseRef(raw)
}

// Latest returns the last state that can be trusted: the one that latest.json names, or an earlier one if an object of
// that is missing or not what its manifest says. nil means that there is no checkpoint at all; if there are some, but
// none can be trusted, that is an error.
func (a *Archive) Latest(ctx context.Context, note func(string)) (*State, progress.Checkpoint, error) {
	pointed, err := a.pointer(ctx)
	if err != nil {
		return nil, progress.Checkpoint{}, err
	}
	refs, err := List(ctx, a.store)
	if err != nil {
		return nil, progress.Checkpoint{}, err
	}
	if pointed != nil {
		// What is later than the pointer was not finished, or is from a process that had lost its place.
		refs = slices.DeleteFunc(refs, func(r Ref) bool { return r.Step > pointed.Step || r.Step == pointed.Step && r.Folder != pointed.Folder })
		if len(refs) == 0 || refs[0].Folder != pointed.Folder {
			refs = append([]Ref{*pointed}, refs...)
		}
	}
	var broken error
	for _, ref := range refs {
		state, manifest, err := Load(ctx, a.store, ref)
		if err == nil {
			ref.Time = manifest.Time
			return state, a.describe(ref), nil
		}
		// A store that is away says nothing about the checkpoint.
		if ctx.Err() != nil || objectstore.Transient(err) {
			return nil, progress.Checkpoint{}, err
		}
		broken = errors.Join(broken, err)
		note(fmt.Sprintf("checkpoint of step %d passed over: %v", ref.Step, err))
	}
	if broken != nil {
		return nil, progress.Checkpoint{}, fmt.Errorf("no checkpoint can be trusted; restore one, or train into another place: %w", broken)
	}
	return nil, progress.Checkpoint{}, nil
}

// Load reads and verifies a checkpoint.
func Load(ctx context.Context, store objectstore.Store, ref Ref) (*State, Manifest, error) {
	contents, manifest, err := verified(ctx, store, ref)
	if err != nil {
		return nil, manifest, err
	}
	s := &State{Step: manifest.Step}
	for name, into := range map[string]*map[string]Tensor{"model": &s.Model, "optimizer": &s.Optimizer, "carry": &s.Carry} {
		if *into, _, err = DecodeSafetensors(contents[name+".safetensors"]); err != nil {
			return nil, manifest, fmt.Errorf("%s: %w", store.URI(ref.key(name+".safetensors")), err)
		}
	}
	if err := json.Unmarshal(contents[scalarsName], &s.Scalars); err != nil {
		return nil, manifest, fmt.Errorf("%s: %w", store.URI(ref.key(scalarsName)), err)
	}
	return s, manifest, nil
}

// Verify reads a whole checkpoint and compares it with its manifest.
func Verify(ctx context.Context, store objectstore.Store, ref Ref) (Manifest, error) {
	_, manifest, err := verified(ctx, store, ref)
	return manifest, err
}

// contentNames are the objects that every manifest must list.
var contentNames = []string{"model.safetensors", "optimizer.safetensors", "carry.safetensors", scalarsName}

// parseManifest reads a manifest that may come from anyone; one that it accepts lists all content.
func parseManifest(raw []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("not a manifest: %w", err)
	}
	if m.Step < 0 {
		return m, fmt.Errorf("step is %d, want at least 0", m.Step)
	}
	for _, name := range contentNames {
		seal, ok := m.Objects[name]
		if !ok {
			return m, fmt.Errorf("lists no %s", name)
		}
		if seal.Size < 0 || len(seal.SHA256) != hex.EncodedLen(sha256.Size) {
			return m, fmt.Errorf("objects.%s: a size of %d with the sha256 %.80q cannot be", name, seal.Size, seal.SHA256)
		}
	}
	return m, nil
}

// verified reads every object of a checkpoint. An error names the object that is not what it was.
func verified(ctx context.Context, store objectstore.Store, ref Ref) (map[string][]byte, Manifest, error) {
	var manifest Manifest
	key := ref.key(manifestName)
	raw, _, err := objectstore.ReadAll(ctx, store, key, maxJSON)
	if err == nil {
		manifest, err = parseManifest(raw)
	}
	if err != nil {
		return nil, manifest, fmt.Errorf("%s: %w", store.URI(key), err)
	}
	contents := map[string][]byte{manifestName: raw}
	for _, name := range contentNames {
		seal := manifest.Objects[name]
		content, _, err := objectstore.ReadAll(ctx, store, ref.key(name), seal.Size)
		if err != nil {
			return nil, manifest, fmt.Errorf("%s: %w", store.URI(ref.key(name)), err)
		}
		sum := sha256.Sum256(content)
		if int64(len(content)) != seal.Size || hex.EncodeToString(sum[:]) != seal.SHA256 {
			return nil, manifest, fmt.Errorf("%s is truncated or altered: it has %d bytes, its manifest says %d", store.URI(ref.key(name)), len(content), seal.Size)
		}
		contents[name] = content
	}
	return contents, manifest, nil
}
