package objectstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// counting counts the bytes that are read from a store, and fails where it is told to.
type counting struct {
	Store
	read atomic.Int64
	fail func(from int64) error
}

func (c *counting) GetRange(ctx context.Context, key, etag string, from, size int64) (io.ReadCloser, error) {
	if c.fail != nil {
		if err := c.fail(from); err != nil {
			return nil, err
		}
	}
	c.read.Add(size)
	return c.Store.GetRange(ctx, key, etag, from, size)
}

// stored puts random bytes of several parts into a store.
func stored(t *testing.T, size int) (*counting, []byte, Content) {
	t.Helper()
	s, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(content)
	if _, err := PutBytes(t.Context(), s, "k", content, Condition{}); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return &counting{Store: s}, content, Content{int64(size), hex.EncodeToString(sum[:])}
}

func wantFile(t *testing.T, path string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file has %d bytes, want %d, or they differ: %v", len(got), len(content), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%v is left: %v", left, err)
	}
}

func TestFetch_copiesWhole(t *testing.T) {
	for name, size := range map[string]int{"nothing": 0, "a byte": 1, "a part": partSize, "a part and a byte": partSize + 1, "many parts": 10*partSize - 7} {
		t.Run(name, func(t *testing.T) {
			s, content, want := stored(t, size)
			path := filepath.Join(t.TempDir(), "folder", "file")
			var arrived atomic.Int64
			if err := Fetch(t.Context(), s, "k", path, want, func(n int64) { arrived.Add(n) }); err != nil {
				t.Fatal(err)
			}
			wantFile(t, path, content)
			if arrived.Load() != int64(size) || s.read.Load() != int64(size) {
				t.Errorf("%d bytes arrived, %d were read, of %d", arrived.Load(), s.read.Load(), size)
			}
		})
	}
}

func TestFetch_goesOnWhereAnEarlierOneEnded(t *testing.T) {
	s, content, want := stored(t, 12*partSize)
	path := filepath.Join(t.TempDir(), "file")
	broken := errors.New("broken")
	s.fail = func(from int64) error {
		if from == 9*partSize {
			return broken
		}
		return nil
	}
	var arrived atomic.Int64
	count := func(n int64) { arrived.Add(n) }
	if err := Fetch(t.Context(), s, "k", path, want, count); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if arrived.Load() != 0 {
		t.Errorf("%d bytes of a failed call still count", arrived.Load())
	}
	// The journal says what is there: the file is at least as far.
	j, err := openJournal(path+partsSuffix, want)
	if err != nil {
		t.Fatal(err)
	}
	there := len(j.have)
	j.close()
	s.fail = nil
	s.read.Store(0)
	if err := Fetch(t.Context(), s, "k", path, want, count); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, content)
	if there == 0 || s.read.Load() != int64(12-there)*partSize || arrived.Load() != want.Size {
		t.Errorf("%d parts were there, %d bytes were read then, %d arrived", there, s.read.Load(), arrived.Load())
	}
}

func TestFetch_beginsAnewIfWhatIsLeftIsNotRight(t *testing.T) {
	_, content, want := stored(t, 3*partSize)
	title := (&journal{want: want}).title()
	for name, left := range map[string]string{
		"wrong parts":           title + "0\n1\n2\n",
		"parts of another":      strings.Replace(title, want.SHA256[:8], "00000000", 1) + "0\n1\n",
		"an unknown part":       title + "7\n",
		"no journal":            "\x00\x00\x00",
		"a line without an end": title + "0\n1",
	} {
		t.Run(name, func(t *testing.T) {
			s, _, _ := stored(t, 3*partSize)
			path := filepath.Join(t.TempDir(), "file")
			for file, text := range map[string]string{path + partsSuffix: left, path + partialSuffix: "rubbish"} {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := Fetch(t.Context(), s, "k", path, want, nil); err != nil {
				t.Fatal(err)
			}
			wantFile(t, path, content)
		})
	}
}

func TestFetch_saysThatTheObjectIsAnother(t *testing.T) {
	s, _, want := stored(t, 2*partSize)
	for name, c := range map[string]struct {
		key  string
		want Content
		err  error
	}{
		"missing":       {"none", want, ErrNotFound},
		"another size":  {"k", Content{want.Size + 1, want.SHA256}, ErrContent},
		"another bytes": {"k", Content{want.Size, strings.Repeat("0", 64)}, ErrContent},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := Fetch(t.Context(), s, c.key, path, c.want, nil); !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", name, err, c.err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: the file is there", name)
		}
	}
}

// Two pods that built the same dataset write the same object: a third that reads it meanwhile begins a part again.
func TestFetch_bearsThatTheObjectIsWrittenAgain(t *testing.T) {
	s, content, want := stored(t, 5*partSize)
	var once atomic.Bool
	s.fail = func(from int64) error {
		if from == 3*partSize && once.CompareAndSwap(false, true) {
			_, err := PutBytes(t.Context(), s.Store, "k", content, Condition{})
			return err
		}
		return nil
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := Fetch(t.Context(), s, "k", path, want, nil); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, content)
}

// Whatever a journal holds, it lists parts that exist.
func FuzzJournal(f *testing.F) {
	j := &journal{want: Content{3 * partSize, "ab"}}
	f.Add(j.title() + "0\n2\n")
	f.Add(j.title() + "-1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for i := range j.read(strings.NewReader(text)) {
			if i < 0 || i >= j.parts() {
				t.Errorf("part %d of %d", i, j.parts())
			}
		}
	})
}
