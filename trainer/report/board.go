package report

import "strings"

// Mark says what is special about a cell.
type Mark uint8

// The marks, of which a cell can have several.
const (
	// Filled cells are those that a puzzle leaves open.
	Filled Mark = 1 << iota
	// Changed cells differ from the answer before.
	Changed
	// Wrong cells differ from the solution.
	Wrong
)

// Board is tokens on the plane, row after row.
type Board struct {
	Width, Height int
	Tokens        []int32
	// Marks has an element for each token, or none at all.
	Marks []Mark
}

// Board arranges a row of tokens; padding around the board is cut away. marks may be nil.
func (p *Palette) Board(tokens []int32, marks []Mark) Board {
	b := Board{Width: max(1, min(p.Width, len(tokens)))}
	b.Height = (len(tokens) + b.Width - 1) / b.Width
	b.Tokens = make([]int32, b.Width*b.Height)
	for i := range b.Tokens {
		b.Tokens[i] = -1
	}
	copy(b.Tokens, tokens)
	if marks != nil {
		b.Marks = make([]Mark, len(b.Tokens))
		copy(b.Marks, marks)
	}
	if p.Pad >= 0 {
		b = b.crop(p.Pad)
	}
	return b
}

// crop cuts rows and columns off that are nothing but padding or without labels.
func (b Board) crop(pad int32) Board {
	left, top, right, bottom := bounds(b.Tokens, b.Width, pad)
	if right <= left {
		return b
	}
	out := Board{Width: right - left, Height: bottom - top}
	for y := top; y < bottom; y++ {
		out.Tokens = append(out.Tokens, b.Tokens[y*b.Width+left:y*b.Width+right]...)
		if b.Marks != nil {
			out.Marks = append(out.Marks, b.Marks[y*b.Width+left:y*b.Width+right]...)
		}
	}
	return out
}

// bounds are the columns [left, right) and rows [top, bottom) of a plane that hold more than padding and positions without
// labels; right is 0 if there are none.
func bounds(tokens []int32, width int, pad int32) (left, top, right, bottom int) {
	left, top = width, len(tokens)
	for i, token := range tokens {
		if token == pad || token < 0 {
			continue
		}
		x, y := i%width, i/width
		left, right, top, bottom = min(left, x), max(right, x+1), min(top, y), max(bottom, y+1)
	}
	return left, top, right, bottom
}

func (b *Board) mark(i int) Mark {
	if b.Marks == nil {
		return 0
	}
	return b.Marks[i]
}

// Compare marks what is to be seen of an answer: the positions that the puzzle leaves open, those that differ from the
// answer before (nil for none), and those that differ from the labels, where there are any.
func Compare(puzzle, before, answer, labels []int32) []Mark {
	marks := make([]Mark, len(answer))
	for i, token := range answer {
		if i < len(puzzle) && puzzle[i] != token {
			marks[i] |= Filled
		}
		if i < len(before) && before[i] != token {
			marks[i] |= Changed
		}
		if i < len(labels) && labels[i] >= 0 && labels[i] != token {
			marks[i] |= Wrong
		}
	}
	return marks
}

// Text draws a board for a terminal, a character and a mark for each cell: without colour * stands behind a cell that has
// changed and ! behind one that is wrong; with colour wrong cells are red, right ones that were filled in green, and
// changed ones reversed.
func (p *Palette) Text(b Board, colour bool) string {
	var s strings.Builder
	for i, token := range b.Tokens {
		x, y := i%b.Width, i/b.Width
		if p.Box > 0 && x == 0 && y > 0 && y%p.Box == 0 {
			s.WriteString(p.rule(b.Width))
		}
		if p.Box > 0 && x > 0 && x%p.Box == 0 {
			s.WriteString("| ")
		}
		s.WriteString(textCell(p.cell(token).Glyph, b.mark(i), colour))
		if x == b.Width-1 {
			s.WriteByte('\n')
		}
	}
	// No line ends with the room for a mark.
	return strings.ReplaceAll(s.String(), " \n", "\n")
}

func textCell(glyph rune, m Mark, colour bool) string {
	switch {
	case !colour && m&Wrong != 0:
		return string(glyph) + "!"
	case !colour && m&Changed != 0:
		return string(glyph) + "*"
	case !colour || m == 0:
		return string(glyph) + " "
	}
	style := "32"
	if m&Wrong != 0 {
		style = "31"
	}
	if m&Changed != 0 {
		style += ";7"
	}
	return "\x1b[" + style + "m" + string(glyph) + "\x1b[0m "
}

// rule is the line between boxes.
func (p *Palette) rule(width int) string {
	var s strings.Builder
	for x := range width {
		if x > 0 && x%p.Box == 0 {
			s.WriteString("+-")
		}
		s.WriteString("--")
	}
	return s.String() + "\n"
}
