package report

import (
	"errors"
	"fmt"
	"image/color"
	"strings"
)

// Replay is a puzzle and what a model would have answered at every step of its reasoning, for a page where a reader goes
// through them.
type Replay struct {
	// Title names the puzzle, Outcome says in a sentence what came of it.
	Title, Outcome string
	// Board is what the page draws; Frames are in the order of the reasoning.
	Board  BoardData
	Frames []Frame
}

// BoardData is what all steps of a replay share. Tokens are bytes, row after row, so that JSON has them as base64.
type BoardData struct {
	Width  int        `json:"width"`
	Height int        `json:"height"`
	Box    int        `json:"box,omitempty"`
	Cells  []CellData `json:"cells"`
	Puzzle []byte     `json:"puzzle"`
	// Solution is nil if none is known.
	Solution []byte `json:"solution,omitempty"`
}

// CellData is what a token looks like on a page. One without a fill has the colour of paper.
type CellData struct {
	Fill string `json:"fill,omitempty"`
	Text string `json:"text,omitempty"`
	Ink  string `json:"ink,omitempty"`
}

// Frame is an intermediate answer.
type Frame struct {
	Segment int    `json:"segment"`
	Cycle   int    `json:"cycle"`
	Step    int    `json:"step"`
	Answer  []byte `json:"answer"`
	Marks   []Mark `json:"marks"`
	// Confidence is the probability of each token, 255 for certainty.
	Confidence []byte `json:"confidence"`
	// Changed counts the cells that differ from the frame before, Wrong those that differ from the solution.
	Changed int  `json:"changed"`
	Wrong   *int `json:"wrong,omitempty"`
	// End says that a segment ends here; Halting is then the probability that the model gives its answer, and Halts that it
	// would stop by itself.
	End     bool     `json:"end,omitempty"`
	Halting *float64 `json:"halting,omitempty"`
	Halts   bool     `json:"halts,omitempty"`
}

// Thought is an intermediate answer as a model gives it.
type Thought struct {
	Segment, Cycle, Step int
	// Answer [S] and the probabilities [S] of its tokens.
	Answer     []int32
	Confidence []float32
	// End, Halting and Halts are those of Frame.
	End     bool
	Halting float64
	Halts   bool
}

// noToken stands for a position without a label.
const noToken = 255

// NewReplay arranges a puzzle's thoughts on its board. labels may be nil. All boards are cut to what any of them fills.
func NewReplay(p *Palette, title string, puzzle, labels []int32, thoughts []Thought) (Replay, error) {
	if len(p.Cells) >= noToken {
		return Replay{}, fmt.Errorf("a page can show %d different tokens, the task has %d", noToken-1, len(p.Cells))
	}
	if len(thoughts) == 0 {
		return Replay{}, errors.New("there is no answer to show")
	}
	window := p.window(puzzle, labels, thoughts)
	r := Replay{Title: title, Board: BoardData{Width: window.width, Height: window.height, Box: p.Box, Puzzle: window.bytes(puzzle)}}
	for _, c := range p.Cells {
		r.Board.Cells = append(r.Board.Cells, cellData(c))
	}
	if labels != nil {
		r.Board.Solution = window.bytes(labels)
	}
	before := puzzle
	for _, t := range thoughts {
		marks := Compare(puzzle, before, t.Answer, labels)
		r.Frames = append(r.Frames, window.frame(t, marks, labels != nil))
		before = t.Answer
	}
	return r, nil
}

func cellData(c Cell) CellData {
	d := CellData{Text: strings.TrimSpace(c.Text), Fill: hex(c.Fill), Ink: hex(c.Ink)}
	if c.Fill == (color.RGBA{0xff, 0xff, 0xff, 0xff}) && c.Text != "?" {
		d.Fill, d.Ink = "", ""
	}
	return d
}

// window is the part of a plane that is shown.
type window struct {
	plane, left, top, width, height int
}

// window is what any board of a replay fills.
func (p *Palette) window(puzzle, labels []int32, thoughts []Thought) window {
	plane := max(1, min(p.Width, len(puzzle)))
	w := window{plane: plane, width: plane, height: (len(puzzle) + plane - 1) / plane}
	if p.Pad < 0 {
		return w
	}
	union := make([]int32, len(puzzle))
	for i := range union {
		union[i] = p.Pad
	}
	add := func(tokens []int32) {
		for i, token := range tokens {
			if token != p.Pad && token >= 0 {
				union[i] = token
			}
		}
	}
	add(puzzle)
	add(labels)
	for _, t := range thoughts {
		add(t.Answer)
	}
	left, top, right, bottom := bounds(union, plane, p.Pad)
	if right <= left {
		return w
	}
	return window{plane, left, top, right - left, bottom - top}
}

// cut returns the values of the window; those beyond the last are rest.
func cut[T any](w window, values []T, rest T) []T {
	out := make([]T, 0, w.width*w.height)
	for y := range w.height {
		for x := range w.width {
			v := rest
			if i := (w.top+y)*w.plane + w.left + x; i < len(values) {
				v = values[i]
			}
			out = append(out, v)
		}
	}
	return out
}

func (w window) bytes(tokens []int32) []byte {
	out := make([]byte, w.width*w.height)
	for i, token := range cut(w, tokens, -1) {
		out[i] = noToken
		if token >= 0 && token < noToken {
			out[i] = byte(token)
		}
	}
	return out
}

func (w window) frame(t Thought, marks []Mark, known bool) Frame {
	f := Frame{Segment: t.Segment, Cycle: t.Cycle, Step: t.Step, Answer: w.bytes(t.Answer), Marks: cut(w, marks, 0), End: t.End, Halts: t.Halts}
	wrong := 0
	for _, m := range marks {
		if m&Changed != 0 {
			f.Changed++
		}
		if m&Wrong != 0 {
			wrong++
		}
	}
	if known {
		f.Wrong = &wrong
	}
	if t.End {
		f.Halting = &t.Halting
	}
	for _, p := range cut(w, t.Confidence, 0) {
		f.Confidence = append(f.Confidence, byte(min(1, max(0, p))*255))
	}
	return f
}

// Trend is a chart of the cells that are wrong or, where no solution is known, of those that change, step by step.
func (r Replay) Trend() *Chart {
	s := Series{Name: "wrong cells"}
	for i, f := range r.Frames {
		n := f.Changed
		if f.Wrong != nil {
			n = *f.Wrong
		} else {
			s.Name = "changed cells"
		}
		s.X, s.Y = append(s.X, float64(i+1)), append(s.Y, float64(n))
	}
	return &Chart{Title: s.Name, X: "step of reasoning", Y: s.Name, Series: []Series{s}}
}
