package kernel

import "github.com/hrm-operator/hrm-operator/trainer/device"

const (
	actFile = "act.cu"
	// actSums is SUMS of act.cu.
	actSums = 9
)

// ActBuffers are the buffers of the bookkeeping between segments, as act.cu describes them. Table and Puzzle are not used if
// PuzzleDim is 0. Sums is float64 [9] in the order of loop.Window; Finite int32; Step int64, counted from 1; all
// other whole numbers are int32.
type ActBuffers struct {
	FreshTokens, FreshLabels, FreshPuzzles           int
	Tokens, Labels, Puzzles, Steps, Halted, Last     int
	Table, Puzzle                                    int
	LossLM, LossQ, Q, Stats, Sums, Finite, StepCount int
}

// ActSizes are the numbers that the bookkeeping depends on. First is the place of the first row in the global batch.
type ActSizes struct {
	Rows, First, SeqLen, PuzzleDim, PuzzleRows, MaxSegments int
	Exploration                                             float64
	Seed                                                    uint64
	Halting                                                 device.Halting
}

// ActAdmit gives rows that have halted their new example, counts the coming segment, and copies the puzzles' rows.
func ActAdmit(b ActBuffers, s ActSizes) (Work, error) {
	table, puzzle := Arg(Null{}), Arg(Null{})
	if s.PuzzleDim > 0 {
		table, puzzle = Buffer(b.Table), Buffer(b.Puzzle)
	}
	return single(Launch{File: actFile, Kernel: "act_admit", Grid: grid(s.Rows, 1), Block: block(threads), Args: []Arg{
		Buffer(b.FreshTokens), Buffer(b.FreshLabels), Buffer(b.FreshPuzzles), Buffer(b.Tokens), Buffer(b.Labels), Buffer(b.Puzzles),
		Buffer(b.Steps), Buffer(b.Halted), Buffer(b.Last), table, puzzle, Fault{},
		Int32(s.SeqLen), Int32(s.PuzzleDim), Int32(s.PuzzleRows), Int32(s.MaxSegments),
	}})
}

// ActFinite sets Finite to 0 if a loss of the rows is not finite, and else leaves it: after such a step no other one changes
// anything. Ranks take the minimum of theirs before [ActHalt] and the optimizers.
func ActFinite(b ActBuffers, s ActSizes) (Work, error) {
	return single(Launch{File: actFile, Kernel: "act_finite", Grid: grid(1, 1), Block: block(threads), SharedBytes: 4 * threads / warp,
		Args: []Arg{Buffer(b.LossLM), Buffer(b.LossQ), Buffer(b.Finite), Int32(s.Rows)}})
}

// ActHalt decides which rows have halted and sums up their metrics. Every rank does it for its own rows; a record of all
// is the sum over ranks. What a row draws is [model.ExplorationMinimum] of its place in the global batch.
func ActHalt(b ActBuffers, s ActSizes) (Work, error) {
	return single(Launch{File: actFile, Kernel: "act_halt", Grid: grid(1, 1), Block: block(threads), SharedBytes: 8 * threads * actSums, Args: []Arg{
		Buffer(b.LossLM), Buffer(b.LossQ), Buffer(b.Q), Buffer(b.Stats), Buffer(b.Steps), Buffer(b.Halted), Buffer(b.Sums), Buffer(b.Finite), Buffer(b.StepCount),
		Uint64(s.Seed), Float64(s.Exploration), Int32(s.Rows), Int32(s.First), Int32(s.MaxSegments), Int32(s.Halting),
	}})
}
