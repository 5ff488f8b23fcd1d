package sudoku

import (
	"bytes"
	"context"
	"sync/atomic"
)

// Canonical returns the form that a full board shares with all boards that a [Symmetry] turns it into, and with no other: the
// smallest of them, read row after row.
func (b *Board) Canonical() Board {
	return smallest(b).board
}

// Canonical returns the form that a puzzle shares with all puzzles that a [Symmetry] turns it into, and with no other: of its
// images under the symmetries that bring its answer into canonical form, the smallest. The puzzle must have its one answer.
func (p *Puzzle) Canonical() Board {
	var form Board
	for i, s := range smallest(&p.Answer).by {
		if image := s.Apply(&p.Question); i == 0 || image.less(&form) {
			form = image
		}
	}
	return form
}

func (b *Board) less(other *Board) bool { return bytes.Compare(b[:], other[:]) < 0 }

// minimum is the smallest image of a full board, and all symmetries that lead there: one, or for a board with symmetries of its
// own as many as those.
type minimum struct {
	board Board
	by    []Symmetry
}

// smallest looks at all choices of a first and a second row, which are of one band, and of an order of columns. The first row
// is 123456789 whatever they are, since digits can be renamed.
func smallest(b *Board) minimum {
	var transposed Board
	for i, d := range b {
		transposed[i%9*9+i/9] = d
	}
	var m minimum
	m.add(b, false)
	m.add(&transposed, true)
	return m
}

// add looks at the images of a board without those of its transposed.
func (m *minimum) add(b *Board, transposed bool) {
	for first := range 9 {
		for step := 1; step <= 2; step++ {
			second := first/3*3 + (first+step)%3
			m.addRows(b, first, second, transposed)
		}
	}
}

// addRows looks at the images with these rows on top. follows[c] is the column in which the first row holds what the second
// holds in column c.
func (m *minimum) addRows(b *Board, first, second int, transposed bool) {
	var at [10]uint8
	for c := range 9 {
		at[b[9*first+c]] = uint8(c)
	}
	var follows [9]uint8
	for c := range 9 {
		follows[c] = at[b[9*second+c]]
	}
	for c0 := range uint8(9) {
		stack := c0 / 3 * 3
		for step := uint8(1); step <= 2; step++ {
			c1, c2 := stack+(c0-stack+step)%3, stack+(c0-stack+3-step)%3
			// The second row begins with 45 if it can, and it always can.
			if follows[c0]/3 == follows[c1]/3 {
				columns := columnOrder(&follows, [3]uint8{c0, c1, c2})
				m.addColumns(b, first, second, &columns, &follows, transposed)
			}
		}
	}
}

// columnOrder completes an order that begins with the columns start so that the second row is the smallest: each of its digits
// becomes the smallest that is left, by the place of its column.
func columnOrder(follows *[9]uint8, start [3]uint8) [9]uint8 {
	columns := [9]uint8{start[0], start[1], start[2], follows[start[0]], follows[start[1]]}
	middle := columns[3] / 3 * 3
	columns[5] = 3*middle + 3 - columns[3] - columns[4] // the third column of that stack
	var placed uint16
	for _, c := range columns[:6] {
		placed |= 1 << c
	}
	n := 6
	for i := 2; n < 9; i++ {
		if c := follows[columns[i]]; placed&(1<<c) == 0 {
			placed |= 1 << c
			columns[n] = c
			n++
		}
	}
	return columns
}

// addColumns looks at the one image with these two rows on top and this order of columns that can be the smallest: the other
// rows are in the order of their first digits.
func (m *minimum) addColumns(b *Board, first, second int, columns, follows *[9]uint8, transposed bool) {
	var digit [10]byte
	for i, c := range columns {
		digit[b[9*first+int(c)]] = byte(i + 1)
	}
	known := len(m.by) > 0
	for i, c := range columns {
		d := digit[b[9*first+int(follows[c])]]
		if known && d > m.board[9+i] {
			return
		}
		known = known && d == m.board[9+i]
	}
	rows := rowOrder(b, first, second, int(columns[0]), &digit)
	var image Board
	for r, row := range rows {
		for i, c := range columns {
			image[9*r+i] = digit[b[9*row+int(c)]]
		}
	}
	if len(m.by) > 0 {
		switch bytes.Compare(image[:], m.board[:]) {
		case 1:
			return
		case -1:
			m.by = m.by[:0]
		}
	}
	m.board = image
	m.by = append(m.by, symmetryOf(&rows, columns, digit, transposed))
}

// rowOrder begins with the rows first and second; the others follow band by band, ordered by the digit in a column.
func rowOrder(b *Board, first, second, column int, digit *[10]byte) [9]int {
	band := first / 3
	rows := [9]int{first, second, 9*band + 3 - first - second}
	leads := func(row int) byte { return digit[b[9*row+column]] }
	rest := rows[3:]
	for i := range rest {
		rest[i] = (3*band + 3 + i) % 9
	}
	for _, three := range [2][]int{rest[:3], rest[3:]} {
		order := func(i, j int) {
			if leads(three[j]) < leads(three[i]) {
				three[i], three[j] = three[j], three[i]
			}
		}
		order(0, 1)
		order(1, 2)
		order(0, 1)
	}
	if leads(rest[3]) < leads(rest[0]) {
		for i := range 3 {
			rest[i], rest[3+i] = rest[3+i], rest[i]
		}
	}
	return rows
}

func symmetryOf(rows *[9]int, columns *[9]uint8, digit [10]byte, transposed bool) Symmetry {
	s := Symmetry{Digit: digit}
	for r, row := range rows {
		for i, c := range columns {
			if transposed {
				s.From[9*r+i] = 9*c + uint8(row)
			} else {
				s.From[9*r+i] = 9*uint8(row) + c
			}
		}
	}
	return s
}

// forms computes a canonical form of each puzzle on all cores.
func forms(ctx context.Context, puzzles []Puzzle, of func(*Puzzle) Board, progress func(done int)) ([]Board, error) {
	all := make([]Board, len(puzzles))
	var done atomic.Int64
	err := eachChunk(ctx, len(puzzles), func(from, to int) error {
		for i := from; i < to; i++ {
			all[i] = of(&puzzles[i])
		}
		progress(int(done.Add(int64(to - from))))
		return nil
	})
	return all, err
}
