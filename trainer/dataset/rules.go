package dataset

import (
	"errors"
	"fmt"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/arc"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/custom"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/maze"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
)

// Rules are what a task knows of its examples beyond their tokens. Rows of tokens are [SeqLen].
type Rules interface {
	// Parse reads a puzzle as a user writes it.
	Parse(text string) ([]int32, error)
	// Draw draws a row for people, in lines that all end with a newline; colour allows terminal colours.
	Draw(tokens []int32, colour bool) string
	// Check judges an answer by the puzzle alone, without a stored solution.
	Check(puzzle, answer []int32) Verdict
}

// Verdict is what the rules of a task say of an answer.
type Verdict struct {
	// Known is false where the puzzle alone does not decide.
	Known bool
	Valid bool
	// Why says it for people, in a sentence.
	Why string
}

// RulesOf returns the rules of a task for the dataset with this metadata.
func RulesOf(task v1alpha1.Task, m *Metadata) Rules {
	if task == v1alpha1.TaskSudoku && m.SeqLen == sudoku.Cells && m.VocabSize == sudoku.VocabSize {
		return sudokuRules{}
	}
	if size := maze.SizeOf(m.SeqLen); task == v1alpha1.TaskMaze && size > 0 && m.VocabSize == maze.VocabSize {
		return mazeRules{size}
	}
	if task == v1alpha1.TaskARC && m.SeqLen == arc.SeqLen && m.VocabSize == arc.VocabSize {
		return arcRules{}
	}
	if task == v1alpha1.TaskCustom && m.GridHeight > 0 {
		return customRules{custom.Shape{Height: m.GridHeight, Width: m.GridWidth, VocabSize: m.VocabSize}}
	}
	return tokenRules{}
}

type sudokuRules struct{}

func (sudokuRules) Parse(text string) ([]int32, error) {
	board, err := sudoku.ParseBoard(text)
	if err != nil {
		return nil, fmt.Errorf("puzzle: %w", err)
	}
	return board.Tokens(), nil
}

func (sudokuRules) Draw(tokens []int32, _ bool) string { return sudoku.FromTokens(tokens).Draw() }

func (sudokuRules) Check(puzzle, answer []int32) Verdict {
	p, a := sudoku.FromTokens(puzzle), sudoku.FromTokens(answer)
	if a.IsSolutionOf(p) {
		return Verdict{true, true, fmt.Sprintf("all %d blanks are right; rows, columns and boxes hold every digit once", p.Blanks())}
	}
	solution, kind := sudoku.Solve(p)
	if kind != sudoku.Unique {
		return Verdict{true, false, "the puzzle does not have exactly one solution"}
	}
	wrong := 0
	for i := range a {
		if a[i] != solution[i] {
			wrong++
		}
	}
	return Verdict{true, false, fmt.Sprintf("%d of %d cells are wrong", wrong, sudoku.Cells)}
}

// tokenRules are those of a task of which nothing is known but its tokens.
type tokenRules struct{}

func (tokenRules) Parse(string) ([]int32, error) {
	return nil, errors.New("puzzles of this task cannot be written by hand: name one of a dataset by its index")
}

func (tokenRules) Draw(tokens []int32, _ bool) string { return fmt.Sprintln(tokens) }

func (tokenRules) Check(_, _ []int32) Verdict { return Verdict{} }
