package arc

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// grid reads a grid that is written in lines of digits.
func grid(t testing.TB, text string) Grid {
	t.Helper()
	g, err := ParseGrid(text)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// example reads a task of the test data.
func example(t testing.TB, set, id string) Task {
	t.Helper()
	name := filepath.Join("testdata/data", set, id+".json")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	task, err := ParseTask(name, id, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func TestAugmentation_movesGridsAsNumpyDoes(t *testing.T) {
	// What dihedral_transform of the official code makes of [[1 2 3] [4 5 6]].
	for dihedral, want := range []string{
		"123 456", "36 25 14", "654 321", "41 52 63", "321 654", "456 123", "14 25 36", "63 52 41",
	} {
		a := Identity
		a.Dihedral = uint8(dihedral)
		if got := a.Apply(grid(t, "123 456")); !got.Equal(grid(t, want)) {
			t.Errorf("dihedral %d makes %v, want %s", dihedral, got, want)
		}
	}
}

func TestAugmentation_undoIsTheInverseOfApply(t *testing.T) {
	task := example(t, "evaluation", "00576224")
	for _, a := range Plan(&task, 200, 1) {
		for _, p := range task.Pairs() {
			for _, g := range []Grid{p.Input, p.Output} {
				if got := a.Undo(a.Apply(g)); !got.Equal(g) {
					t.Fatalf("%s: %v became %v", a.Name(task.ID), g, got)
				}
			}
		}
	}
}

func TestAugmentation_names(t *testing.T) {
	a := Augmentation{Dihedral: 3, Colours: [Colours]uint8{0, 9, 8, 7, 6, 5, 4, 3, 2, 1}}
	for _, c := range []struct {
		name, id string
		a        Augmentation
	}{
		{"007bbfb7", "007bbfb7", Identity},
		{"007bbfb7_t3_0987654321", "007bbfb7", a},
		{"Odd_t3_name_t3_0987654321", "Odd_t3_name", a},
		{"x_t8_0123456789", "x_t8_0123456789", Identity},
		{"x_t1_1023456789", "x_t1_1023456789", Identity}, // the background never changes
	} {
		id, got, err := ParseName(c.name)
		if err != nil || id != c.id || got != c.a {
			t.Errorf("%s reads as %s, %v, %v", c.name, id, got, err)
		}
		if got.Name(id) != c.name {
			t.Errorf("%s is written as %s", c.name, got.Name(id))
		}
	}
	if _, _, err := ParseName("x_t1_0113456789"); err == nil {
		t.Error("a name with a colour twice is accepted")
	}
}

func TestPlan_holdsTheOriginalAndDifferentVariants(t *testing.T) {
	task := example(t, "training", "6150a2bd")
	plan := Plan(&task, 300, 7)
	if len(plan) != 301 || plan[0] != Identity {
		t.Fatalf("%d variants, the first of them %v", len(plan), plan[0])
	}
	var h hasher
	seen := map[[32]byte]bool{}
	dihedrals := map[uint8]int{}
	for _, a := range plan {
		sum := h.sum(task.Pairs(), &a)
		if seen[sum] {
			t.Fatalf("%s is there twice", a.Name(task.ID))
		}
		seen[sum] = true
		dihedrals[a.Dihedral]++
		if colours := slices.Sorted(slices.Values(a.Colours[:])); a.Colours[0] != 0 || !slices.Equal(colours, Identity.Colours[:]) {
			t.Fatalf("%v is no permutation that keeps the background", a.Colours)
		}
	}
	for d := range uint8(8) {
		if dihedrals[d] < 15 {
			t.Errorf("dihedral %d was drawn %d times in 300", d, dihedrals[d])
		}
	}
	if again := Plan(&task, 300, 7); !slices.Equal(again, plan) {
		t.Error("the same seed draws other variants")
	}
	if other := Plan(&task, 300, 8); slices.Equal(other, plan) {
		t.Error("another seed draws the same variants")
	}
}

func TestPlan_endsWhereATaskHasNoMoreVariants(t *testing.T) {
	// One cell of one colour: only nine variants differ.
	task := Task{ID: "tiny", Train: []Pair{{grid(t, "5"), grid(t, "5")}}, Test: []Pair{{grid(t, "5"), grid(t, "5")}}}
	if n := len(Plan(&task, 1000, 1)); n != 9 {
		t.Errorf("%d variants, want 9", n)
	}
}

// sketch writes tokens as characters: . for padding, | for an end, digits for colours.
func sketch(tokens []uint8, rows, cols int) string {
	var s strings.Builder
	for r := range rows {
		for c := range cols {
			s.WriteByte(".|0123456789"[tokens[r*MaxSide+c]])
		}
		s.WriteByte('\n')
	}
	return s.String()
}

func TestEncoder_testPairsLieInTheCornerWithARowAndAColumnOfEnds(t *testing.T) {
	e := Encoder{Task: &Task{ID: "x"}}
	in, out := make([]uint8, SeqLen), make([]uint8, SeqLen)
	e.Test([]Pair{{grid(t, "123 456"), Grid{}}}, &Identity, in, out)
	if got, want := sketch(in, 4, 5), "123|.\n456|.\n|||..\n.....\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if slices.Max(out) != TokenPad {
		t.Error("an unknown output is not padding")
	}
}

func TestEncoder_fullGridsHaveNoEnds(t *testing.T) {
	e := Encoder{Task: &Task{ID: "x"}}
	full := Grid{MaxSide, MaxSide, make([]uint8, SeqLen)}
	in, out := make([]uint8, SeqLen), make([]uint8, SeqLen)
	e.Train([]Pair{{full, full}}, 0, &Identity, in, out)
	if slices.Min(in) != firstColour || slices.Max(in) != firstColour {
		t.Error("a grid of 30x30 of one colour holds other tokens")
	}
}

func TestEncoder_movesAllTrainingPairsButOne(t *testing.T) {
	task := example(t, "training", "44f52bb0")
	pairs := task.Pairs()
	e := Encoder{Task: &task, Seed: 3}
	in, out := make([]uint8, len(pairs)*SeqLen), make([]uint8, len(pairs)*SeqLen)
	moved, stillOf := 0, map[int]bool{}
	for v := range 50 {
		e.Train(pairs, v, &Identity, in, out)
		still := 0
		for i, p := range pairs {
			at := slices.IndexFunc(in[i*SeqLen:], func(x uint8) bool { return x != TokenPad })
			row, col := at/MaxSide, at%MaxSide
			want, wantOut := make([]uint8, SeqLen), make([]uint8, SeqLen)
			place(p.Input, row, col, want)
			place(p.Output, row, col, wantOut)
			if !bytes.Equal(in[i*SeqLen:(i+1)*SeqLen], want) || !bytes.Equal(out[i*SeqLen:(i+1)*SeqLen], wantOut) {
				t.Fatalf("variant %d, pair %d: input and output are not both at (%d, %d)", v, i, row, col)
			}
			if at == 0 {
				still++
				stillOf[i] = true
			} else {
				moved++
			}
		}
		if still == 0 {
			t.Fatalf("variant %d: no pair is in the corner", v)
		}
	}
	if moved < 300 || len(stillOf) != len(pairs) {
		t.Errorf("%d of 400 pairs are moved, %d of %d ever stay", moved, len(stillOf), len(pairs))
	}
}

func TestCrop(t *testing.T) {
	tokens := func(lines ...string) []int32 {
		all := make([]int32, SeqLen)
		for r, line := range lines {
			for c, ch := range line {
				all[r*MaxSide+c] = int32(strings.IndexRune(".|0123456789", ch))
			}
		}
		return all
	}
	for name, c := range map[string]struct {
		tokens []int32
		want   Grid
	}{
		"a whole grid":                  {tokens("123|", "456|", "|||"), grid(t, "123 456")},
		"no ends at all":                {tokens("12", "34"), grid(t, "12 34")},
		"a ragged one":                  {tokens("1234", "123", "12"), grid(t, "123 123")},
		"rows that are worth more":      {tokens("1234|", "1|", "1|", "1|", "1|"), grid(t, "1 1 1 1 1")},
		"of two that are equal, fewer":  {tokens("12|", "1||"), grid(t, "12")},
		"a hole in the middle":          {tokens("1111", "1.11", "1111"), grid(t, "1111")},
		"nothing in the corner":         {tokens("|12", "345"), Grid{}},
		"padding only":                  {make([]int32, SeqLen), Grid{}},
		"numbers that are no tokens":    {append([]int32{3, -5, 12, 1 << 30}, make([]int32, SeqLen-4)...), grid(t, "1")},
		"a grid of the largest size":    {slices.Repeat([]int32{5}, SeqLen), Grid{30, 30, slices.Repeat([]uint8{3}, SeqLen)}},
		"rubbish beside and below":      {tokens("12|99", "34|99", "||999", "99999"), grid(t, "12 34")},
		"what Tokens makes of a grid":   {grid(t, "909 090").Tokens(), grid(t, "909 090")},
		"a column of the largest width": {append(slices.Repeat([]int32{2}, MaxSide), make([]int32, SeqLen-MaxSide)...), Grid{1, 30, make([]uint8, 30)}},
	} {
		if got := Crop(c.tokens); !got.Equal(c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func FuzzCrop(f *testing.F) {
	f.Add([]byte("\x02\x03\x01"), uint8(3))
	f.Fuzz(func(t *testing.T, bytes []byte, dihedral uint8) {
		tokens := make([]int32, SeqLen)
		for i, b := range bytes[:min(len(bytes), SeqLen)] {
			tokens[i] = int32(int8(b))
		}
		g := Crop(tokens)
		a := Identity
		a.Dihedral = dihedral % 8
		if len(g.Cells) != g.Rows*g.Cols || !a.Apply(a.Undo(g)).Equal(g) {
			t.Errorf("cropped to %v", g)
		}
		Draw(tokens, true)
	})
}

func TestDraw_showsTheGridWhereverItLies(t *testing.T) {
	moved := make([]int32, SeqLen)
	place(grid(t, "12 34"), 7, 9, moved)
	for name, tokens := range map[string][]int32{"in the corner": grid(t, "12 34").Tokens(), "moved": moved} {
		if got := Draw(tokens, false); got != "12\n34\n" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := Draw(grid(t, "2").Tokens(), true); got != "\x1b[48;2;255;65;54m  \x1b[0m\n" {
		t.Errorf("in colours: %q", got)
	}
	if got := Draw(make([]int32, SeqLen), false); got != "(no grid)\n" {
		t.Errorf("padding: %q", got)
	}
}
