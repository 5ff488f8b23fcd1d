package sudoku

import "github.com/hrm-operator/hrm-operator/trainer/dataset/seeded"

// forPuzzles keeps generated puzzles apart from every other use of a seed.
const forPuzzles seeded.Purpose = 0x70757a7a6c6573

// Generate makes a puzzle that has exactly one solution: a solved board in random disguise, from which random cells are
// taken until blanks are missing or no further one can go. It depends on the seed and the number alone.
func Generate(seed int64, number, blanks int) Board {
	rng := seeded.Stream(seed, forPuzzles, number)
	// The diagonal boxes see nothing of each other, so any digits in them can be completed.
	var start Board
	for box := range 3 {
		for cell, digit := range rng.Perm(9) {
			start[(3*box+cell/3)*9+3*box+cell%3] = uint8(digit + 1)
		}
	}
	solved, _ := Solve(start)
	disguise := RandomSymmetry(rng)
	puzzle := disguise.Apply(&solved)
	for _, cell := range rng.Perm(Cells) {
		if puzzle.Blanks() >= blanks {
			break
		}
		digit := puzzle[cell]
		puzzle[cell] = 0
		if _, verdict := Solve(puzzle); verdict != Unique {
			puzzle[cell] = digit
		}
	}
	return puzzle
}
