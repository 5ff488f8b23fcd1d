package dataset

import "github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"

// Solver is what the rules of a task can be beside Rules: those that find the one solution of a puzzle.
type Solver interface {
	// Solution returns the solution as labels, if there is exactly one.
	Solution(puzzle []int32) (labels []int32, ok bool)
}

// Solution solves a Sudoku.
func (sudokuRules) Solution(puzzle []int32) ([]int32, bool) {
	solution, kind := sudoku.Solve(sudoku.FromTokens(puzzle))
	return solution.Tokens(), kind == sudoku.Unique
}
