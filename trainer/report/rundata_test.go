package report

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

func TestNewRunPage_tellsARunsFigures(t *testing.T) {
	p := NewRunPage("title", "made", []RunData{runOf("./run", 4)})
	want := [][]string{
		{"task", "Sudoku"}, {"last step", "100"}, {"held-out examples wholly right, last", "50.00 %"}, {"held-out examples wholly right, best", "50.00 %"},
		{"held-out tokens right, last", "90.00 %"}, {"loss, last", "1"}, {"segments until halting, last", "2"}, {"training examples per second, median", "107.5"},
		{"time from first to last line of the journal", "1h0m0s"}, {"checkpoints kept", "1"},
	}
	if diff := cmp.Diff(want, p.Facts.Rows); diff != "" {
		t.Errorf("facts (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]Stack{{"./run", []Part{{"compute", "3.0 s (75.0 %)", 0.75}, {"data", "1.0 s (25.0 %)", 0.25}}}}, p.Parts); diff != "" {
		t.Errorf("parts (-want +got)\n%s", diff)
	}
	tables := []Table{
		{"Evaluations during training", []string{"step", "epoch", "examples", "exact", "tokens", "valid"}, [][]string{{"40", "0", "100", "50.00 %", "90.00 %", "60.00 %"}}},
		{"Checkpoints that are kept", []string{"checkpoint", "step", "saved", ""}, [][]string{{"checkpoints/step-0000000100-a", "100", "2026-11-27 12:00 UTC", "best and last"}}},
	}
	if diff := cmp.Diff(tables, p.Tables); diff != "" {
		t.Errorf("tables (-want +got)\n%s", diff)
	}
	var titles []string
	for _, c := range p.Charts {
		titles = append(titles, c.Title)
	}
	if !slices.Equal(titles, []string{
		"Examples wholly right", "Tokens right", "Loss per example", "Segments until an example halts", "Training examples per second", "Learning rate", "What the task's rules say, held out",
	}) {
		t.Errorf("charts %q", titles)
	}
}

func TestNewRunPage_comparesRuns(t *testing.T) {
	one, other := runOf("one", 4), runOf("other", 4)
	other.Job.Spec.Training.LearningRate = "5e-4"
	p := NewRunPage("title", "made", []RunData{one, other, {Name: "empty"}})
	if len(p.Differing.Rows) == 0 || len(p.Same.Rows) != 0 {
		t.Errorf("where a job is unknown all settings differ from it: %d do, %d do not", len(p.Differing.Rows), len(p.Same.Rows))
	}
	p = NewRunPage("title", "made", []RunData{one, other})
	want := Table{"Settings that differ", []string{"setting", "one", "other"}, [][]string{{"training.learningRate", string(one.Job.Spec.Training.LearningRate), "5e-4"}}}
	if diff := cmp.Diff(want, p.Differing); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	loss := p.Charts[2]
	if len(loss.Series) != 8 || loss.Series[0].Name != "one: all" || loss.Series[4].Name != "other: all" || loss.Series[4].Colour != 1 || loss.Series[5].Dash != 1 {
		t.Errorf("curves %+v", loss.Series)
	}
	for _, row := range p.Same.Rows {
		if row[0] == "storage.bucket" || row[0] == "template" {
			t.Errorf("the page tells %v", row)
		}
	}
}

func TestNewReplay(t *testing.T) {
	p := Palette{Width: 3, Pad: 0, Cells: make([]Cell, 5)}
	//                      a corner of two by two
	puzzle, labels := []int32{1, 2, 0, 1, 1, 0, 0, 0, 0}, []int32{1, 3, dataset.IgnoreLabel, 1, 1, dataset.IgnoreLabel, dataset.IgnoreLabel, dataset.IgnoreLabel, dataset.IgnoreLabel}
	answer := func(second int32) []int32 { return []int32{1, second, 0, 1, 1, 0, 0, 0, 0} }
	sure := []float32{1, 0.5, 0, 2, -1, 0, 0, 0, 0}
	r, err := NewReplay(&p, "test 1", puzzle, labels, []Thought{
		{Segment: 1, Cycle: 1, Step: 1, Answer: answer(4), Confidence: sure}, {Segment: 1, Cycle: 1, Step: 2, Answer: answer(3), Confidence: sure, End: true, Halting: 0.5, Halts: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	none, one, half := 0, 1, 0.5
	want := []Frame{
		{Segment: 1, Cycle: 1, Step: 1, Answer: []byte{1, 4, 1, 1}, Marks: []Mark{0, Filled | Changed | Wrong, 0, 0}, Confidence: []byte{255, 127, 255, 0}, Changed: 1, Wrong: &one},
		{Segment: 1, Cycle: 1, Step: 2, Answer: []byte{1, 3, 1, 1}, Marks: []Mark{0, Filled | Changed, 0, 0}, Confidence: []byte{255, 127, 255, 0}, Changed: 1, Wrong: &none, End: true, Halting: &half, Halts: true},
	}
	if diff := cmp.Diff(want, r.Frames); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if b := r.Board; b.Width != 2 || b.Height != 2 || !slices.Equal(b.Puzzle, []byte{1, 2, 1, 1}) || !slices.Equal(b.Solution, []byte{1, 3, 1, 1}) {
		t.Errorf("the board is %+v", b)
	}
	if s := r.Trend().Series[0]; !slices.Equal(s.Y, []float64{1, 0}) {
		t.Errorf("the trend is %v", s.Y)
	}
}

func TestNewReplay_withoutSolution(t *testing.T) {
	p := PaletteOf(v1alpha1.TaskCustom, &dataset.Metadata{SeqLen: 4, VocabSize: 5})
	r, err := NewReplay(&p, "puzzle", []int32{1, 2, 3, 4}, nil, []Thought{{Answer: []int32{1, 1, 1, 4}}})
	if err != nil || r.Board.Solution != nil || r.Frames[0].Wrong != nil || r.Frames[0].Changed != 2 || r.Trend().Title != "changed cells" {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := NewReplay(&p, "puzzle", []int32{1}, nil, nil); err == nil {
		t.Error("a replay of nothing")
	}
	wide := PaletteOf(v1alpha1.TaskCustom, &dataset.Metadata{SeqLen: 4, VocabSize: 300})
	if _, err := NewReplay(&wide, "puzzle", []int32{1}, nil, []Thought{{Answer: []int32{1}}}); err == nil {
		t.Error("more tokens than a byte tells apart")
	}
}
