package maze

import "github.com/hrm-operator/hrm-operator/trainer/dataset/seeded"

// What random numbers are for.
const (
	forGrids seeded.Purpose = iota + 1
	forSplit
	forSubsample
)
