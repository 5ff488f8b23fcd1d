package report

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// wellFormed fails unless a picture is XML.
func wellFormed(t *testing.T, picture string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(picture))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v\n%s", err, picture)
		}
	}
}

// answersOf are thoughts of one cycle a segment.
func answersOf(answers ...[]int32) (list []Thought) {
	for i, a := range answers {
		list = append(list, Thought{Segment: i + 1, Cycle: 1, Step: 1, Answer: a})
	}
	return list
}

func TestStrip_showsTheWayToTheAnswer(t *testing.T) {
	p := PaletteOf(v1alpha1.TaskMaze, &dataset.Metadata{SeqLen: 4, VocabSize: 6})
	puzzle, solution := []int32{3, 2, 2, 4}, []int32{3, 5, 2, 4}
	thoughts := answersOf([]int32{3, 2, 5, 4}, []int32{3, 5, 5, 4}, []int32{3, 5, 5, 4}, solution)
	picture, err := p.Strip("test <7>", puzzle, solution, thoughts)
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, picture)
	want := "test &lt;7&gt;; puzzle; segment 1, cycle 1, step 1, 2 cells wrong; segment 2, cycle 1, step 1, 1 cell wrong; segment 4, cycle 1, step 1, solved"
	if !strings.Contains(picture, want) {
		t.Errorf("says\n%s\nnot\n%s", picture, want)
	}
	crosses := 0
	for _, path := range strings.Split(picture, `<path class="cross" d="`)[1:] {
		path, _, _ = strings.Cut(path, `"`)
		crosses += strings.Count(path, "M")
	}
	if crosses != 3 {
		t.Errorf("%d cells are crossed out, want 3", crosses)
	}
}

func TestStrip_withoutASolutionTellsWhatChanges(t *testing.T) {
	p := PaletteOf(v1alpha1.TaskSudoku, &dataset.Metadata{SeqLen: 81, VocabSize: 11})
	puzzle := make([]int32, 81)
	answer := slices.Clone(puzzle)
	answer[5], answer[6] = 7, 8
	picture, err := p.Strip("a puzzle", puzzle, nil, answersOf(answer, answer))
	if err != nil || !strings.Contains(picture, "a puzzle; puzzle; segment 1, cycle 1, step 1, 2 cells changed\"") {
		t.Errorf("%v\n%s", err, picture)
	}
	if _, err := p.Strip("a puzzle", puzzle, nil, nil); err == nil {
		t.Error("there is a picture of no answer")
	}
}

func TestTelling(t *testing.T) {
	step := func(n int32) []int32 { return []int32{n} }
	var many []Thought
	for n := range int32(11) {
		many = append(many, answersOf(step(n+1), step(n+1))...)
	}
	for name, row := range map[string]struct {
		thoughts []Thought
		want     []int
	}{
		"what changes":                {answersOf(step(1), step(1), step(2), step(2)), []int{0, 2}},
		"nothing changes at all":      {answersOf(step(0), step(0)), []int{1}},
		"more than there is room for": {many, []int{0, 4, 8, 12, 16, 20}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := telling(step(0), row.thoughts); !slices.Equal(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}
