package dataset

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sync/errgroup"
)

func TestSplitWriter_writesWhatWriteSplitDoes(t *testing.T) {
	m := Metadata{VocabSize: 200, SeqLen: 3, NumPuzzleIdentifiers: 9, TotalGroups: 2, MeanPuzzleExamples: 2, TotalPuzzles: 3, Sets: []string{"all"}}
	a := Arrays{Metadata: m, Identifiers: []int32{1, 2, 3}, Puzzles: []int32{0, 2, 4, 5}, Groups: []int32{0, 1, 3}}
	for i := range 15 {
		a.Inputs, a.Labels = append(a.Inputs, uint8(i)), append(a.Labels, uint8(100+i))
	}
	want, got := t.TempDir(), t.TempDir()
	if err := WriteSplit(want, Train, a); err != nil {
		t.Fatal(err)
	}
	w, err := NewSplitWriter(got, Train, m, 5)
	if err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	for _, part := range [][2]int{{3, 5}, {0, 1}, {1, 3}} {
		group.Go(func() error { return w.Write(part[0], a.Inputs[3*part[0]:3*part[1]], a.Labels[3*part[0]:3*part[1]]) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(a.Identifiers, a.Puzzles, a.Groups); err != nil {
		t.Fatal(err)
	}
	names, err := listFolder(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !bytes.Equal(read(t, got, name), read(t, want, name)) {
			t.Errorf("%s is another one", name)
		}
	}
	loaded(t, got, Train)
}

func TestSplitWriter_abortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	w, err := NewSplitWriter(dir, Train, Metadata{SeqLen: 3, Sets: []string{"all"}}, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if left, err := os.ReadDir(dir + "/train"); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
