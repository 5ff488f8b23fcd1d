package checkpoint

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// stateAt is a small state whose content depends on the step.
func stateAt(step int64) State {
	x := float32(step)
	return State{
		Step: step, Model: map[string]Tensor{"w": Float32Tensor([]float32{x, 2 * x}, 2)},
		Optimizer: map[string]Tensor{"m": Float32Tensor([]float32{-x}, 1)}, Carry: map[string]Tensor{"steps": Int32Tensor([]int32{int32(step)}, 1)},
		Scalars: map[string]string{"random": strings.Repeat("r", int(step))},
	}
}

func clock() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

func archive(store objectstore.Store, keepLast int) *Archive {
	return NewArchive(store, Options{KeepLast: keepLast, Job: []byte(`{"kind":"HRMTrainingJob"}`), Version: "v1", Now: clock})
}

func openDir(t *testing.T) (objectstore.Store, string) {
	t.Helper()
	dir := t.TempDir()
	store, err := objectstore.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return store, dir
}

// save writes checkpoints of the given steps; the best one is marked so.
func save(t *testing.T, a *Archive, best int64, steps ...int64) {
	t.Helper()
	for _, step := range steps {
		if _, err := a.Save(t.Context(), stateAt(step), step == best); err != nil {
			t.Fatal(err)
		}
	}
}

func steps(t *testing.T, store objectstore.Store) (out []int64) {
	t.Helper()
	refs, err := List(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs {
		out = append(out, ref.Step)
	}
	return out
}

func TestSavedStateComesBack(t *testing.T) {
	store, _ := openDir(t)
	save(t, archive(store, 0), 0, 3)
	got, described, err := archive(store, 0).Latest(t.Context(), func(note string) { t.Error(note) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stateAt(3), *got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if described.Step != 3 || !described.Time.Equal(clock()) {
		t.Errorf("described as %+v", described)
	}
}

func TestEmptyStoreHasNoCheckpointAndNoError(t *testing.T) {
	store, _ := openDir(t)
	state, _, err := archive(store, 0).Latest(t.Context(), func(note string) { t.Error(note) })
	if state != nil || err != nil {
		t.Errorf("got %v, %v", state, err)
	}
}

// recorder notes the order in which objects are written, and fails where it is told to.
type recorder struct {
	objectstore.Store
	written []string
	failAt  string
}

func (r *recorder) Put(ctx context.Context, key string, body io.Reader, size int64, c objectstore.Condition) (objectstore.Info, error) {
	if path.Base(key) == r.failAt {
		return objectstore.Info{}, errors.New("connection reset")
	}
	r.written = append(r.written, path.Base(key))
	return r.Store.Put(ctx, key, body, size, c)
}

func TestTheManifestSealsTheContentAndThePointerComesLast(t *testing.T) {
	store, _ := openDir(t)
	r := &recorder{Store: store}
	save(t, archive(r, 0), 1, 1)
	if n := len(r.written); n != 7 {
		t.Fatalf("wrote %v", r.written)
	}
	if diff := cmp.Diff([]string{manifestName, bestKey, latestKey}, r.written[4:]); diff != "" {
		t.Errorf("the last objects: -want +got:\n%s", diff)
	}
}

func TestSavingGoesOnAfterAnyWriteFailed(t *testing.T) {
	for _, object := range []string{"model.safetensors", "optimizer.safetensors", "carry.safetensors", scalarsName, manifestName, bestKey, latestKey} {
		t.Run(object, func(t *testing.T) {
			store, _ := openDir(t)
			r := &recorder{Store: store}
			a := archive(r, 0)
			save(t, a, 0, 1)
			r.failAt = object
			if _, err := a.Save(t.Context(), stateAt(2), true); err == nil || !strings.Contains(err.Error(), object) {
				t.Fatalf("got %v, want an error that names %s", err, object)
			}
			before, _, err := archive(store, 0).Latest(t.Context(), func(string) {})
			if err != nil || before.Step != 1 {
				t.Fatalf("after the failure the last checkpoint is %v, %v", before, err)
			}
			r.failAt = ""
			save(t, a, 2, 2)
			after, _, err := archive(store, 0).Latest(t.Context(), func(string) {})
			if err != nil || after.Step != 2 {
				t.Fatalf("after the second try the last checkpoint is %v, %v", after, err)
			}
		})
	}
}

func TestTheLastFewAndTheBestAreKept(t *testing.T) {
	store, dir := openDir(t)
	save(t, archive(store, 2), 2, 1, 2, 3, 4, 5)
	if diff := cmp.Diff([]int64{5, 4, 2}, steps(t, store)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	left, err := filepath.Glob(filepath.Join(dir, "checkpoints", "*", "model.safetensors"))
	if err != nil || len(left) != 3 {
		t.Errorf("content of removed checkpoints is left: %v", left)
	}
}

func TestTwoProcessesDoNotOverwriteEachOther(t *testing.T) {
	store, _ := openDir(t)
	first, second := archive(store, 0), archive(store, 0)
	save(t, first, 0, 1)
	if _, _, err := second.Latest(t.Context(), func(string) {}); err != nil {
		t.Fatal(err)
	}
	save(t, second, 0, 2)
	_, err := first.Save(t.Context(), stateAt(3), false)
	if !errors.Is(err, objectstore.ErrPrecondition) {
		t.Errorf("the process that lost its place is told %v", err)
	}
	state, _, err := archive(store, 0).Latest(t.Context(), func(string) {})
	if err != nil || state.Step != 2 {
		t.Errorf("the last checkpoint is %v, %v, want the second process's", state, err)
	}
}

func TestWithoutAnyIntactCheckpointTheErrorNamesAll(t *testing.T) {
	store, dir := openDir(t)
	save(t, archive(store, 0), 0, 1, 2)
	files, err := filepath.Glob(filepath.Join(dir, "checkpoints", "*", "carry.safetensors"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = archive(store, 0).Latest(t.Context(), func(string) {})
	for _, file := range files {
		key := strings.TrimPrefix(file, dir+"/")
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("got %v, want an error that names %s", err, key)
		}
	}
}

func TestPointersThatAreNotJSONDoNotHideTheCheckpoints(t *testing.T) {
	for _, content := range []string{"", "{", `{"folder": 3}`, "null", `{"folder": "checkpoints/step-1/../../.."}`} {
		store, dir := openDir(t)
		save(t, archive(store, 0), 0, 1, 2)
		if err := os.WriteFile(filepath.Join(dir, latestKey), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		state, _, err := archive(store, 0).Latest(t.Context(), func(string) {})
		if err != nil || state == nil || state.Step != 2 {
			t.Errorf("with the pointer %q the last checkpoint is %v, %v", content, state, err)
		}
	}
}

func TestPulledCheckpointIsVerifiedOnTheWayAndWhenItIsRead(t *testing.T) {
	store, dir := openDir(t)
	save(t, archive(store, 0), 0, 4)
	refs, err := List(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "checkpoint")
	if _, err := Pull(t.Context(), store, refs[0], out); err != nil {
		t.Fatal(err)
	}
	state, manifest, err := ReadDir(t.Context(), out)
	if err != nil || manifest.Step != 4 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	if diff := cmp.Diff(stateAt(4), *state); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	flip(t, filepath.Join(out, "model.safetensors"))
	if _, _, err := ReadDir(t.Context(), out); err == nil || !strings.Contains(err.Error(), "model.safetensors is truncated or altered") {
		t.Errorf("an altered file is read: %v", err)
	}
	flip(t, filepath.Join(dir, refs[0].key("optimizer.safetensors")))
	if _, err := Pull(t.Context(), store, refs[0], out); err == nil || !strings.Contains(err.Error(), refs[0].key("optimizer.safetensors")) {
		t.Errorf("an altered object is pulled: %v", err)
	}
	if _, _, err := ReadDir(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "hrm checkpoint pull") {
		t.Errorf("an empty folder: %v", err)
	}
}

// flip changes one bit in the middle of a file.
func flip(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}
