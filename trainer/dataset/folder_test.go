package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/objectstore"
)

// troubled is a store that counts what is read, and fails where it is told to.
type troubled struct {
	objectstore.Store
	mu   sync.Mutex
	read map[string]int64
	fail func(what, key string) error
}

func (s *troubled) GetRange(ctx context.Context, key, etag string, from, size int64) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail("get", key); err != nil {
			return nil, err
		}
	}
	s.read[key] += size
	return s.Store.GetRange(ctx, key, etag, from, size)
}

func (s *troubled) Put(ctx context.Context, key string, r io.Reader, size int64, c objectstore.Condition) (objectstore.Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail("put", key); err != nil {
			return objectstore.Info{}, err
		}
	}
	return s.Store.Put(ctx, key, r, size, c)
}

// machine has a store, a cache and datasets to make. Each has 200 kB.
type machine struct {
	t      *testing.T
	store  *troubled
	local  Local
	builds int
	notes  []string
}

func newMachine(t *testing.T, limit int64) *machine {
	t.Helper()
	store, err := objectstore.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, store: &troubled{Store: store, read: map[string]int64{}}}
	m.local = Local{Scratch: t.TempDir(), Cache: filepath.Join(t.TempDir(), "cache"), Limit: limit, Note: func(note string) { m.notes = append(m.notes, note) }}
	return m
}

// hash is the recipe hash of the dataset of a name.
func hash(name string) string { return strings.Repeat(name, 32) }

func (m *machine) get(name string) (*Copy, error) {
	return get(m.t.Context(), m.local, keptIn(m.store, "", hash(name)), func(dir string) error {
		m.builds++
		const n, length = 100, 1000
		a := Arrays{
			Metadata: Metadata{VocabSize: 200, SeqLen: length, NumPuzzleIdentifiers: 1, TotalGroups: n, MeanPuzzleExamples: 1, TotalPuzzles: n, Sets: []string{"all"}},
			Inputs:   make([]uint8, n*length), Labels: make([]uint8, n*length), Identifiers: make([]int32, n), Puzzles: offsetsOf(n, 1), Groups: offsetsOf(n, 1),
		}
		a.Inputs[0] = name[0]
		empty := Arrays{Metadata: a.Metadata, Puzzles: []int32{0}, Groups: []int32{0}}
		empty.Metadata.TotalGroups = 0
		if err := errors.Join(WriteSplit(dir, Train, a), WriteSplit(dir, Test, empty), writeJSON(filepath.Join(dir, "identifiers.json"), []string{"<blank>"})); err != nil {
			return err
		}
		return writeManifest(dir, v1alpha1.DatasetSpec{}, Summary{})
	})
}

// has gets a dataset and wants it to be what it should be.
func (m *machine) has(name string) *Copy {
	m.t.Helper()
	c, err := m.get(name)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(c.Close)
	d := loaded(m.t, c.Dir, Train)
	if in, _ := d.Example(0); in[0] != int32(name[0]) {
		m.t.Errorf("dataset %s begins with %d", name, in[0])
	}
	if err := d.Close(); err != nil {
		m.t.Error(err)
	}
	return c
}

// kept says which datasets are in the cache.
func (m *machine) kept() string {
	m.t.Helper()
	entries, err := os.ReadDir(m.local.Cache)
	if err != nil {
		m.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != "locks" {
			names = append(names, e.Name()[:1]+strings.TrimLeft(e.Name(), e.Name()[:1]))
		}
	}
	return strings.Join(names, " ")
}

// usedAt sets when a dataset was used last.
func (m *machine) usedAt(name string, at time.Time) {
	m.t.Helper()
	if err := os.Chtimes(filepath.Join(m.local.Cache, hash(name), usedFile), at, at); err != nil {
		m.t.Fatal(err)
	}
}

func TestCache_isUsedBeforeTheStore(t *testing.T) {
	m := newMachine(t, 1<<20)
	first := m.has("a")
	second := m.has("a")
	if first.Local || first.Hit || !second.Local || !second.Hit || m.builds != 1 || len(m.store.read) != 0 {
		t.Errorf("first %+v, second %+v, %d builds, read %v", first, second, m.builds, m.store.read)
	}
	m.local.Cache = filepath.Join(t.TempDir(), "another")
	third := m.has("a")
	if third.Local || !third.Hit || m.builds != 1 || third.Sum != first.Sum {
		t.Errorf("third %+v, %d builds", third, m.builds)
	}
}

func TestCache_makesRoomByWhatWasNotUsedForTheLongestTime(t *testing.T) {
	m := newMachine(t, 500_000)
	m.has("a").Close()
	m.has("b").Close()
	m.usedAt("a", time.Now().Add(-time.Hour))
	m.usedAt("b", time.Now().Add(-2*time.Hour))
	m.has("c").Close()
	if got := m.kept(); got != "a c" {
		t.Errorf("kept are %q", got)
	}
	m.usedAt("c", time.Now().Add(-2*time.Hour))
	m.has("b").Close()
	if got := m.kept(); got != "a b" || m.builds != 3 {
		t.Errorf("kept are %q after %d builds", got, m.builds)
	}
}

func TestCache_neverRemovesWhatIsInUse(t *testing.T) {
	m := newMachine(t, 500_000)
	a := m.has("a")
	m.usedAt("a", time.Now().Add(-time.Hour))
	m.has("b").Close()
	m.has("c").Close()
	if got := m.kept(); got != "a c" {
		t.Errorf("kept are %q", got)
	}
	c := m.has("c")
	for range 2 { // built, and then found in the store
		d := m.has("d")
		if filepath.Dir(d.Dir) != m.local.Scratch || m.kept() != "a c" {
			t.Errorf("another dataset went to %s, kept are %q", d.Dir, m.kept())
		}
		d.Close()
		if err := os.RemoveAll(d.Dir); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(strings.Join(m.notes, "\n"), "no room") || m.builds != 4 {
		t.Errorf("%d builds, notes %q", m.builds, m.notes)
	}
	a.Close()
	c.Close()
	if d := m.has("d"); filepath.Dir(d.Dir) != m.local.Cache {
		t.Errorf("when there is room again, the dataset goes to %s", d.Dir)
	}
}

func TestCache_countsAndRemovesWhatAnotherHasLeftUnfinished(t *testing.T) {
	m := newMachine(t, 500_000)
	left := filepath.Join(m.local.Cache, hash("e")+".download")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, reservedFile), []byte("400000"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.has("a")
	if got := m.kept(); got != "a" {
		t.Errorf("kept are %q", got)
	}
}

func TestCache_refusesWhatIsLargerThanItMayBecome(t *testing.T) {
	for _, inStore := range []bool{false, true} {
		m := newMachine(t, 0)
		if inStore {
			m.has("a")
			m.local.Cache = filepath.Join(t.TempDir(), "another")
		}
		m.local.Limit = 100_000
		_, err := m.get("a")
		var folder *FolderError
		if !errors.Is(err, ErrTooLarge) || !errors.As(err, &folder) || folder.Dir != m.local.Cache || m.kept() != "" {
			t.Errorf("in the store %t: got %v, kept are %q", inStore, err, m.kept())
		}
	}
}

func TestCache_checksWhatItFinds(t *testing.T) {
	const inputs = "train/all__inputs.npy"
	change := func(t *testing.T, name string) { // of the same size
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt([]byte{7}, 50_000)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		verify bool
		local  bool
	}{
		{"unchanged", func(*testing.T, string) {}, false, true},
		{"unchanged, hashed", func(*testing.T, string) {}, true, true},
		{"touched", func(t *testing.T, dir string) {
			if err := os.Chtimes(filepath.Join(dir, inputs), time.Now(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}, false, true},
		{"put there by hand, without stamps", func(t *testing.T, dir string) {
			if err := errors.Join(os.Remove(filepath.Join(dir, stampsFile)), os.Remove(filepath.Join(dir, usedFile))); err != nil {
				t.Fatal(err)
			}
		}, false, true},
		{"cut", func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, inputs), 1000); err != nil {
				t.Fatal(err)
			}
		}, false, false},
		{"other bytes", func(t *testing.T, dir string) { change(t, filepath.Join(dir, inputs)) }, false, false},
		{"other bytes, and the time set back", func(t *testing.T, dir string) {
			name := filepath.Join(dir, inputs)
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			change(t, name)
			if err := os.Chtimes(name, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}, true, false},
		{"a file less", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, inputs)); err != nil {
				t.Fatal(err)
			}
		}, false, false},
		{"a link in place of a file", func(t *testing.T, dir string) {
			name := filepath.Join(dir, inputs)
			if err := errors.Join(os.Rename(name, name+"x"), os.Symlink(name+"x", name)); err != nil {
				t.Fatal(err)
			}
		}, false, false},
		{"no manifest", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, manifestName)); err != nil {
				t.Fatal(err)
			}
		}, false, false},
		{"another dataset", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "test/dataset.json")); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(writeJSON(filepath.Join(dir, "test/dataset.json"), 1), writeManifest(dir, v1alpha1.DatasetSpec{}, Summary{})); err != nil {
				t.Fatal(err)
			}
		}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, 0)
			first := m.has("a")
			c.damage(t, first.Dir)
			m.local.Verify = c.verify
			second := m.has("a")
			if second.Local != c.local || !second.Hit || second.Sum != first.Sum || m.builds != 1 {
				t.Errorf("got %+v after %d builds", second, m.builds)
			}
		})
	}
}

func TestCache_goesOnWithADownload(t *testing.T) {
	m := newMachine(t, 1<<20)
	m.has("a")
	m.local.Cache = filepath.Join(t.TempDir(), "another")
	down := fmt.Errorf("%w for a moment", objectstore.ErrUnavailable)
	m.store.fail = func(what, key string) error {
		// By then the inputs are there: files travel two at a time.
		if what == "get" && strings.HasSuffix(key, "train/dataset.json") {
			return down
		}
		return nil
	}
	if _, err := m.get("a"); !errors.Is(err, down) {
		t.Fatalf("got %v", err)
	}
	m.store.fail = nil
	m.has("a")
	inputs := "datasets/" + hash("a") + "/train/all__inputs.npy"
	if read, size := m.store.read[inputs], int64(100_128); read != size {
		t.Errorf("%d bytes were read of %d", read, size)
	}
	if got := m.kept(); got != "a" {
		t.Errorf("kept are %q", got)
	}
}

func TestCache_buildsOnceHoweverOftenTheStoreFails(t *testing.T) {
	m := newMachine(t, 1<<20)
	down := fmt.Errorf("%w for a moment", objectstore.ErrUnavailable)
	m.store.fail = func(what, _ string) error {
		if what == "put" {
			return down
		}
		return nil
	}
	if _, err := m.get("a"); !errors.Is(err, down) {
		t.Fatalf("got %v", err)
	}
	m.store.fail = nil
	if c := m.has("a"); !c.Local || c.Hit || m.builds != 1 {
		t.Errorf("got %+v after %d builds", c, m.builds)
	}
	m.local.Cache = ""
	if c := m.has("a"); !c.Hit {
		t.Error("the dataset is not in the store")
	}
}

func TestRetrieve_needsNoSource(t *testing.T) {
	m := newMachine(t, 1<<20)
	if _, err := Retrieve(t.Context(), m.store, "", hash("a"), m.local); !errors.Is(err, ErrIncomplete) {
		t.Errorf("got %v", err)
	}
	m.has("a")
	c, err := Retrieve(t.Context(), m.store, "", hash("a"), Local{Scratch: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestByteCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 999: "999 bytes", 1500: "1.5 kB", 9_700_000_000: "9.7 GB", 5e15: "5e+03 TB"} {
		if got := byteCount(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// Whatever lies in a manifest, it names files below the dataset, and none of the cache's own.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"version":1,"files":{"identifiers.json":{"size":1,"sha256":""}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			if !errors.Is(err, ErrIncomplete) {
				t.Errorf("%v does not say that the dataset is incomplete", err)
			}
			return
		}
		for _, name := range m.names() {
			if !filepath.IsLocal(name) || name == manifestName || strings.HasPrefix(filepath.Base(name), ".") {
				t.Errorf("it names %q", name)
			}
		}
	})
}
