package sudoku

import "github.com/hrm-operator/hrm-operator/trainer/dataset/seeded"

// What random numbers are for.
const (
	forSplit seeded.Purpose = iota + 1
	forSubsample
	forVariants
	forDisguise
)
