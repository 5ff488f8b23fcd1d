package cli

import (
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/sudoku"
)

// boards draws a puzzle and its answer side by side.
func boards(puzzle, answer sudoku.Board) string {
	left := strings.Split(strings.TrimSuffix(puzzle.Draw(), "\n"), "\n")
	right := strings.Split(strings.TrimSuffix(answer.Draw(), "\n"), "\n")
	var s strings.Builder
	for i := range left {
		middle := "     "
		if i == len(left)/2 {
			middle = " --> "
		}
		s.WriteString(left[i] + middle + right[i] + "\n")
	}
	return s.String()
}
