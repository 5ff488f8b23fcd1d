package report

import (
	"errors"
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// The sizes of a strip, in the units of its view box.
const (
	stripBoard   = 128 // about how wide a board is
	stripAnswers = 6   // how many answers are shown at most
	stripGap     = 18
	stripLine    = 15
)

const stripStyle = `.strip text{font:11px system-ui,sans-serif;text-anchor:middle}.strip .wrong{fill:#d23c3c;fill-opacity:.3}` +
	`.strip .cross{stroke:#b3261e;stroke-width:1.6;fill:none}`

// stripPicture is a board with the lines below it.
type stripPicture struct {
	board   Board
	caption []string
}

// Strip draws a puzzle and some of what a model would have answered on the way to its last answer side by side, as an SVG file that
// suits light and dark. Cells that differ from the solution are crossed out. Shown are the puzzle and the answers that change something,
// at even distances if there are many, the first and the last among them. labels may be nil.
func (p *Palette) Strip(title string, puzzle, labels []int32, thoughts []Thought) (string, error) {
	if len(thoughts) == 0 {
		return "", errors.New("there is no answer to show")
	}
	window := p.window(puzzle, labels, thoughts)
	pictures := []stripPicture{{window.board(puzzle, nil), []string{"puzzle"}}}
	before := puzzle
	for _, i := range telling(puzzle, thoughts) {
		t := thoughts[i]
		marks := Compare(puzzle, before, t.Answer, labels)
		pictures = append(pictures, stripPicture{window.board(t.Answer, marks), t.caption(marks, labels != nil)})
		before = t.Answer
	}
	return p.drawStrip(title, pictures), nil
}

// telling are the answers that a strip shows.
func telling(puzzle []int32, thoughts []Thought) []int {
	var list []int
	before := puzzle
	for i, t := range thoughts {
		if !slices.Equal(before, t.Answer) {
			list = append(list, i)
		}
		before = t.Answer
	}
	if len(list) == 0 {
		return []int{len(thoughts) - 1}
	}
	if len(list) <= stripAnswers {
		return list
	}
	chosen := make([]int, stripAnswers)
	for k := range chosen {
		chosen[k] = list[k*(len(list)-1)/(stripAnswers-1)]
	}
	return chosen
}

// caption says where an answer was read off, and how many cells are wrong or, without a solution, have changed.
func (t Thought) caption(marks []Mark, known bool) []string {
	counted, word := Changed, "changed"
	if known {
		counted, word = Wrong, "wrong"
	}
	n := 0
	for _, m := range marks {
		if m&counted != 0 {
			n++
		}
	}
	count := fmt.Sprintf("%d cells %s", n, word)
	switch {
	case n == 1:
		count = "1 cell " + word
	case n == 0 && known:
		count = "solved"
	}
	return []string{fmt.Sprintf("segment %d", t.Segment), fmt.Sprintf("cycle %d, step %d", t.Cycle, t.Step), count}
}

// board cuts tokens to the window.
func (w window) board(tokens []int32, marks []Mark) Board {
	b := Board{Width: w.width, Height: w.height, Tokens: cut(w, tokens, -1)}
	if marks != nil {
		b.Marks = cut(w, marks, 0)
	}
	return b
}

func (p *Palette) drawStrip(title string, pictures []stripPicture) string {
	first := pictures[0].board
	cell := max(minCell, stripBoard/max(1, first.Width))
	step, below := first.Width*cell+stripGap, first.Height*cell+stripGap
	width, height := len(pictures)*step+stripGap, below+3*stripLine+stripGap/2
	words := []string{title}
	var boards strings.Builder
	for i, one := range pictures {
		x := stripGap + i*step
		fmt.Fprintf(&boards, `<g transform="translate(%d %d)">%s%s</g>`, x, stripGap/2, p.svg(one.board, cell), crossedOut(one.board, cell))
		for k, line := range one.caption {
			fmt.Fprintf(&boards, `<text class="axis" x="%d" y="%d">%s</text>`, x+first.Width*cell/2, below+(k+1)*stripLine-stripGap/2+2, line)
		}
		words = append(words, strings.Join(one.caption, ", "))
	}
	return fmt.Sprintf(`<svg class="chart strip" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" role="img" aria-label="%s"><style>%s%s</style>%s%s</svg>`+"\n",
		width, height, width, template.HTMLEscapeString(strings.Join(words, "; ")), chartStyle, stripStyle, background, boards.String())
}

// crossedOut draws crosses over the wrong cells of a board.
func crossedOut(b Board, cell int) string {
	var squares, crosses strings.Builder
	inset := cell / 4
	for i := range b.Tokens {
		if b.mark(i)&Wrong == 0 {
			continue
		}
		x, y := i%b.Width*cell, i/b.Width*cell
		fmt.Fprintf(&squares, "M%d %dh%dv%dh-%dz", x, y, cell, cell, cell)
		fmt.Fprintf(&crosses, "M%d %dl%d %dm0 -%[4]dl-%[3]d %[4]d", x+inset, y+inset, cell-2*inset, cell-2*inset)
	}
	return fmt.Sprintf(`<path class="wrong" d="%s"/><path class="cross" d="%s"/>`, &squares, &crosses)
}
