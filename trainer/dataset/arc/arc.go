// Package arc knows the tasks of the Abstraction and Reasoning Corpus: it reads them, makes variants of them, writes their
// grids as tokens, and counts the votes of a model's answers.
package arc

import "slices"

// MaxSide is the most rows and columns that a grid may have.
const MaxSide = 30

// Colours is how many there are. 0 is the background.
const Colours = 10

// Grid is a rectangle of colours, row by row. The zero Grid is an unknown one.
type Grid struct {
	Rows, Cols int
	Cells      []uint8 // [Rows*Cols]
}

// Known is false for an answer that the source does not give.
func (g Grid) Known() bool { return g.Rows > 0 }

// Equal compares shape and colours.
func (g Grid) Equal(h Grid) bool {
	return g.Rows == h.Rows && g.Cols == h.Cols && slices.Equal(g.Cells, h.Cells)
}

// Pair is a demonstration, or a question with its answer.
type Pair struct{ Input, Output Grid }

// Equal compares both grids.
func (p Pair) Equal(q Pair) bool { return p.Input.Equal(q.Input) && p.Output.Equal(q.Output) }

// Task is a rule that its demonstrations show and its test inputs ask for.
type Task struct {
	ID    string
	Train []Pair
	Test  []Pair
}

// Pairs are the demonstrations and, after them, the tests.
func (t *Task) Pairs() []Pair { return slices.Concat(t.Train, t.Test) }
