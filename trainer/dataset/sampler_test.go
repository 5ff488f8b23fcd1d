package dataset

import (
	"slices"
	"testing"
)

func grouped(t testing.TB) *Dataset {
	t.Helper()
	a := Arrays{Metadata: Metadata{VocabSize: 200, SeqLen: 1, NumPuzzleIdentifiers: 50, Sets: []string{"all"}, MeanPuzzleExamples: 2}}
	a.Puzzles, a.Groups = []int32{0}, []int32{0}
	for g := range 7 {
		for p := range 1 + g%3 {
			for range 1 + (g+p)%3 {
				a.Inputs = append(a.Inputs, uint8(len(a.Inputs)))
				a.Labels = append(a.Labels, uint8(g))
			}
			a.Puzzles = append(a.Puzzles, int32(len(a.Inputs)))
			a.Identifiers = append(a.Identifiers, int32(len(a.Identifiers)+1))
		}
		a.Groups = append(a.Groups, int32(len(a.Identifiers)))
	}
	a.Metadata.TotalGroups = 7
	dir := t.TempDir()
	if err := WriteSplit(dir, Train, a); err != nil {
		t.Fatal(err)
	}
	return loaded(t, dir, Train)
}

func TestSampler_resumesExactly(t *testing.T) {
	d := grouped(t)
	for _, s := range []Sampling{{1, 4, 1}, {2, 5, 3}, {3, 1, 2}, {4, 7, 10}} {
		full, err := NewSampler(d, s)
		if err != nil {
			t.Fatal(err)
		}
		for step := range 60 {
			resumed, err := NewSampler(d, s)
			if err != nil {
				t.Fatal(err)
			}
			if err := resumed.Seek(full.Position()); err != nil {
				t.Fatal(err)
			}
			want := full.Next()
			if got := resumed.Next(); !slices.Equal(got, want) || resumed.Position() != full.Position() {
				t.Fatalf("%+v, step %d: %v after resuming, %v without", s, step, got, want)
			}
		}
		wrong := full.Position()
		wrong.Seed++
		if full.Seek(wrong) == nil {
			t.Error("a position of another seed is accepted")
		}
	}
}

func TestSampler_drawsOneVariantOfEachGroupPerEpoch(t *testing.T) {
	d := grouped(t)
	s, err := NewSampler(d, Sampling{Seed: 8, BatchSize: 1, EpochsPerPass: 1})
	if err != nil {
		t.Fatal(err)
	}
	variants := map[int32]bool{}
	for epoch := range 200 {
		groups := map[int]bool{}
		for range 7 {
			draw := s.Next()[0]
			if d.puzzleOf(int(draw.Example)) != draw.Puzzle {
				t.Fatalf("example %d does not belong to puzzle %d", draw.Example, draw.Puzzle)
			}
			variants[draw.Puzzle] = true
			groups[int(d.labels.narrow[draw.Example])] = true
		}
		if len(groups) != 7 {
			t.Fatalf("epoch %d visits %d groups", epoch, len(groups))
		}
	}
	if len(variants) != d.Puzzles() {
		t.Errorf("%d of %d variants were ever drawn", len(variants), d.Puzzles())
	}
}

func TestSampler_neverRepeatsAnExampleOfAPuzzleAndFillsEveryBatch(t *testing.T) {
	d := grouped(t)
	s, err := NewSampler(d, Sampling{Seed: 8, BatchSize: 6, EpochsPerPass: 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		batch := s.Next()
		seen := map[int32]bool{}
		for _, draw := range batch {
			seen[draw.Example] = true
		}
		if len(batch) != 6 || len(seen) != 6 {
			t.Fatalf("batch %v", batch)
		}
	}
	if _, err := NewSampler(d, Sampling{Seed: 8, BatchSize: 600, EpochsPerPass: 1}); err == nil {
		t.Error("a batch that can never be filled is accepted")
	}
}

func TestSampler_allocatesNothingOnceItsMemoryHasGrown(t *testing.T) {
	d := grouped(t)
	s, err := NewSampler(d, Sampling{Seed: 8, BatchSize: 5, EpochsPerPass: 2})
	if err != nil {
		t.Fatal(err)
	}
	epochs := func() {
		for range 50 {
			s.Next()
		}
	}
	epochs()
	if got := testing.AllocsPerRun(10, epochs); got != 0 {
		t.Errorf("%v allocations in 50 batches", got)
	}
}

func TestSteps_asPublished(t *testing.T) {
	m := Metadata{TotalGroups: 1000, MeanPuzzleExamples: 1}
	if got := m.Steps(20000, 768); got != 26041 {
		t.Errorf("got %d", got)
	}
}

func TestSequence_inOrderAndPadded(t *testing.T) {
	d := grouped(t)
	n := d.Examples()
	s := d.Sequence(4, 0)
	next := int32(0)
	for batch, rows := s.Next(); batch != nil; batch, rows = s.Next() {
		in, out, ids := make([]int32, 4), make([]int32, 4), make([]int32, 4)
		d.Fill(batch, in, out, ids)
		for i := range batch {
			if i < rows && in[i] != next {
				t.Fatalf("row %d is example %d, want %d", i, in[i], next)
			}
			if i >= rows && (out[i] != IgnoreLabel || ids[i] != 0 || in[i] != 0) {
				t.Fatalf("padding row %d holds %d %d %d", i, in[i], out[i], ids[i])
			}
			next++
		}
	}
	if int(next) != (n+3)/4*4 {
		t.Errorf("%d rows for %d examples", next, n)
	}
	if batch, rows := d.Sequence(100, 3).Next(); len(batch) != 100 || rows != 3 {
		t.Errorf("limit 3 gives %d rows", rows)
	}
}
