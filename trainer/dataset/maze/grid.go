// Package maze reads, checks, generates and draws square mazes with one start and one goal, and judges paths through them.
package maze

import (
	"bytes"
	"errors"
	"fmt"
)

// What a cell is, as the model's token; 0 is padding, which no maze needs.
const (
	Wall byte = iota + 1
	Free
	Start
	Goal
	Path
)

// VocabSize counts the tokens, padding included.
const VocabSize = 6

// characters are the cells as the published files write them, by token.
const characters = "?# SGo"

// The sides that a maze may have.
const (
	MinSize = 2
	MaxSize = 64
)

// Grid is a maze, or a maze with a path in it.
type Grid struct {
	Size  int
	Cells []byte // [Size*Size] tokens, row after row
}

// NewGrid returns a grid without walls.
func NewGrid(size int) Grid {
	return Grid{size, bytes.Repeat([]byte{Free}, size*size)}
}

// FromTokens is the grid that tokens, as many as a square has cells, stand for.
func FromTokens(tokens []int32) Grid {
	g := Grid{SizeOf(len(tokens)), make([]byte, len(tokens))}
	for i, t := range tokens {
		if t > 0 && t < VocabSize {
			g.Cells[i] = byte(t)
		}
	}
	return g
}

// Tokens is the opposite of FromTokens.
func (g Grid) Tokens() []int32 {
	tokens := make([]int32, len(g.Cells))
	for i, c := range g.Cells {
		tokens[i] = int32(c)
	}
	return tokens
}

// SizeOf returns the side of a square maze with so many cells; 0 if there is none.
func SizeOf(cells int) int {
	for size := MinSize; size <= MaxSize; size++ {
		if size*size == cells {
			return size
		}
	}
	return 0
}

// ParseGrid reads Size*Size characters of "# SGo", row after row without line ends.
func ParseGrid[S string | []byte](text S) (Grid, error) {
	size := SizeOf(len(text))
	if size == 0 {
		return Grid{}, fmt.Errorf("%d characters: expected a square of %dx%d to %dx%d cells", len(text), MinSize, MinSize, MaxSize, MaxSize)
	}
	g := Grid{size, make([]byte, len(text))}
	for i := range len(text) {
		token := bytes.IndexByte([]byte(characters[1:]), text[i])
		if token < 0 {
			return Grid{}, fmt.Errorf("%s is %q: expected # for a wall, a space, S, G, or o for the path", g.place(i), text[i])
		}
		g.Cells[i] = byte(token) + 1
	}
	return g, nil
}

// String is the grid as ParseGrid reads it.
func (g Grid) String() string {
	text := make([]byte, len(g.Cells))
	for i, c := range g.Cells {
		text[i] = characters[c]
	}
	return string(text)
}

// Ends finds the start and the goal. The error says why the grid is not a maze to be solved.
func (g Grid) Ends() (start, goal int, err error) {
	starts, goals := bytes.Count(g.Cells, []byte{Start}), bytes.Count(g.Cells, []byte{Goal})
	switch {
	case starts != 1:
		return 0, 0, fmt.Errorf("%d starts (S): expected one", starts)
	case goals != 1:
		return 0, 0, fmt.Errorf("%d goals (G): expected one", goals)
	case bytes.IndexByte(g.Cells, Path) >= 0:
		return 0, 0, errors.New("a path (o) is in it already: expected walls, free cells, start and goal")
	}
	return bytes.IndexByte(g.Cells, Start), bytes.IndexByte(g.Cells, Goal), nil
}

// place names a cell for people.
func (g Grid) place(cell int) string {
	return fmt.Sprintf("row %d column %d", cell/g.Size+1, cell%g.Size+1)
}
