package custom

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ParseGrid reads a grid as JSON writes it: a list of rows of one length, or a list of numbers, which is a sequence.
func ParseGrid(text []byte) (Grid, error) {
	if !json.Valid(text) {
		return Grid{}, errors.New("not JSON: expected a list of rows, such as [[0,1],[2,3]], or of numbers")
	}
	s := scanner{rest: text}
	if !s.take('[') {
		return Grid{}, fmt.Errorf("is %s: expected a list of rows, such as [[0,1],[2,3]], or of numbers", s.shown())
	}
	var g Grid
	var err error
	switch {
	case s.take('['):
		err = s.rows(&g)
	case s.take(']'):
		err = errors.New("is empty: expected at least one cell")
	default:
		g.Height = 1
		g.Width, err = s.row(&g, "")
	}
	return g, err
}

// scanner goes through JSON that is known to be valid.
type scanner struct{ rest []byte }

// take skips spaces, and the character c if it comes next.
func (s *scanner) take(c byte) bool {
	for len(s.rest) > 0 && strings.IndexByte(" \t\r\n", s.rest[0]) >= 0 {
		s.rest = s.rest[1:]
	}
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// shown is the beginning of the rest, for messages.
func (s *scanner) shown() string {
	const most = 20
	if len(s.rest) > most {
		return fmt.Sprintf("%q…", s.rest[:most])
	}
	return fmt.Sprintf("%q", s.rest)
}

// rows reads the rows of a grid, of which the first bracket is taken.
func (s *scanner) rows(g *Grid) error {
	for {
		g.Height++
		place := fmt.Sprintf("row %d ", g.Height)
		width, err := s.row(g, place)
		if err != nil {
			return err
		}
		if g.Height > 1 && width != g.Width {
			return fmt.Errorf("%shas %d cells, row 1 has %d: expected a rectangle", place, width, g.Width)
		}
		g.Width = width
		if !s.take(',') {
			return nil
		}
		if !s.take('[') {
			return fmt.Errorf("row %d is %s: expected a list, as the rows before it", g.Height+1, s.shown())
		}
	}
}

// row reads the numbers of a row, of which the bracket is taken.
func (s *scanner) row(g *Grid, place string) (width int, err error) {
	if s.take(']') {
		return 0, fmt.Errorf("%sis empty: expected at least one cell", place)
	}
	for {
		width++
		if len(g.Values) == MaxCells {
			return 0, fmt.Errorf("has more than %d cells: split it, or take smaller ones", MaxCells)
		}
		v, ok := s.number()
		if !ok {
			return 0, fmt.Errorf("%scolumn %d is %s: expected a whole number from 0 to %d", place, width, s.shown(), MaxValue)
		}
		g.Values = append(g.Values, v)
		if s.take(']') {
			return width, nil
		}
		s.take(',')
	}
}

// number reads a number without fraction or exponent.
func (s *scanner) number() (uint16, bool) {
	s.take(0) // spaces
	v, n := 0, 0
	for ; n < len(s.rest) && s.rest[n] >= '0' && s.rest[n] <= '9'; n++ {
		if v = 10*v + int(s.rest[n]-'0'); v > MaxValue {
			return 0, false
		}
	}
	if n == 0 || n == len(s.rest) || strings.IndexByte(",] \t\r\n", s.rest[n]) < 0 {
		return 0, false
	}
	s.rest = s.rest[n:]
	return uint16(v), true
}
