package dataset

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// plain writes the training half of a dataset of n examples of 1000 tokens.
func plain(t *testing.T, n int) string {
	t.Helper()
	const length = 1000
	dir := t.TempDir()
	err := WriteSplit(dir, Train, Arrays{
		Metadata: Metadata{VocabSize: 12, SeqLen: length, NumPuzzleIdentifiers: 1, TotalGroups: n, MeanPuzzleExamples: 1, TotalPuzzles: n, Sets: []string{"all"}},
		Inputs:   make([]uint8, n*length), Labels: make([]uint8, n*length), Identifiers: make([]int32, n), Puzzles: offsetsOf(n, 1), Groups: offsetsOf(n, 1),
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLoad_takesNoMemoryForTheArrays(t *testing.T) {
	const examples = 10_000 // 20 MB
	dir := plain(t, examples)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d := loaded(t, dir, Train)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("loading 20 MB allocates %d bytes", took)
	}
	if len(d.files) != 5 || d.Examples() != examples {
		t.Errorf("%d files are mapped, of %d examples", len(d.files), d.Examples())
	}
	files := len(mapped.files)
	if err := d.Close(); err != nil || len(mapped.files) != files-5 {
		t.Errorf("%d of %d files are still mapped after Close: %v", len(mapped.files), files, err)
	}
}

func TestLoad_mapsNumbersOf32BitsAndConvertsOthers(t *testing.T) {
	want := []int32{7, 0, 299, 3}
	for kind, data := range map[string]string{
		"<i4": "\x07\x00\x00\x00\x00\x00\x00\x00\x2b\x01\x00\x00\x03\x00\x00\x00",
		"<u2": "\x07\x00\x00\x00\x2b\x01\x03\x00",
	} {
		dir := plain(t, 1)
		header := "{'descr': '" + kind + "', 'fortran_order': False, 'shape': (1, 1000), }"
		header += strings.Repeat(" ", 117-len(header)) + "\n"
		content := "\x93NUMPY\x01\x00\x76\x00" + header + data
		content += strings.Repeat("\x00", map[string]int{"<i4": 4000, "<u2": 2000}[kind]-len(data))
		if err := os.WriteFile(filepath.Join(dir, "train/all__inputs.npy"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		meta := strings.Replace(string(read(t, dir, "train/dataset.json")), `"vocab_size": 12`, `"vocab_size": 300`, 1)
		if err := os.WriteFile(filepath.Join(dir, "train/dataset.json"), []byte(meta), 0o644); err != nil {
			t.Fatal(err)
		}
		got, _ := loaded(t, dir, Train).Example(0)
		for i, v := range want {
			if got[i] != v {
				t.Errorf("%s: token %d is %d, want %d", kind, i, got[i], v)
			}
		}
	}
}

func TestGuarded_turnsALostFileIntoAnError(t *testing.T) {
	dir := plain(t, 10_000)
	d := loaded(t, dir, Train)
	defer func() { _ = d.Close() }()
	name := filepath.Join(dir, "train/all__inputs.npy")
	if err := os.Truncate(name, 4096); err != nil {
		t.Fatal(err)
	}
	err := Guarded(func() error { d.Example(9_999); return nil })
	if err == nil || !strings.Contains(err.Error(), name+" cannot be read any more") {
		t.Errorf("got %v", err)
	}
}

func TestGuarded_leavesOtherPanicsAlone(t *testing.T) {
	defer func() {
		if caught := recover(); caught != "mine" {
			t.Errorf("recovered %v", caught)
		}
	}()
	_ = Guarded(func() error { panic("mine") })
}

func TestOutside_findsTheFirstByteThatIsTooLarge(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		limit := 1 + random.IntN(300)
		data := make([]byte, random.IntN(100))
		for i := range data {
			data[i] = byte(random.IntN(min(limit, 256)))
		}
		want := -1
		if len(data) > 0 && limit < 256 {
			want = random.IntN(len(data))
			data[want] = byte(limit + random.IntN(256-limit))
			data[len(data)-1] = max(data[len(data)-1], data[want])
		}
		if got := outside(data, limit); got != want {
			t.Fatalf("limit %d: got %d, want %d in %v", limit, got, want, data)
		}
	}
}

func TestOutsideWide_letsIgnoredLabelsPass(t *testing.T) {
	for _, c := range []struct {
		data []int32
		want int
	}{{[]int32{0, 9, IgnoreLabel, 77}, -1}, {[]int32{0, 10}, 1}, {[]int32{-1}, 0}, {nil, -1}} {
		if got := outsideWide(c.data, 10, IgnoreLabel, 77); got != c.want {
			t.Errorf("%v: got %d, want %d", c.data, got, c.want)
		}
	}
}

func BenchmarkOutside(b *testing.B) {
	data := make([]byte, 1<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		outside(data, 12)
	}
}

func BenchmarkOutsideWide(b *testing.B) {
	data := make([]int32, 1<<18)
	b.SetBytes(int64(4 * len(data)))
	for b.Loop() {
		outsideWide(data, 12)
	}
}

// A file is the same, mapped or read.
func FuzzMapNPY(f *testing.F) {
	for _, v := range [][]int32{{}, {1, 2, 3}} {
		var b bytes.Buffer
		if err := WriteNPY(&b, []int{len(v)}, v); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
		f.Add(append(b.Bytes(), 0))
	}
	file, err := os.CreateTemp(f.TempDir(), "")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = file.Close() })
	f.Fuzz(func(t *testing.T, content []byte) {
		_, err := file.WriteAt(content, 0)
		if err = errors.Join(err, file.Truncate(int64(len(content)))); err != nil {
			t.Fatal(err)
		}
		want, readErr := ReadNPY(bytes.NewReader(content))
		got, m, err := mapNPY(file)
		if (err == nil) != (readErr == nil) {
			t.Fatalf("read: %v, mapped: %v", readErr, err)
		}
		if err != nil {
			return
		}
		numbers, _ := want.Int32s()
		mappedNumbers, _ := got.int32s()
		if !bytes.Equal(got.Data, want.Data) || got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) || !slices.Equal(numbers, mappedNumbers) {
			t.Errorf("read %+v, mapped %+v", want, got)
		}
		if err := m.unmap(); err != nil {
			t.Error(err)
		}
	})
}
