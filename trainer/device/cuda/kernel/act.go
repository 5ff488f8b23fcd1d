package kernel

import "math/bits"

const (
	actFile = "act.cu"
	// actSums is SUMS of act.cu.
	actSums = 9
)

// The bookkeeping between segments is proved and not launched by the device yet: the training loop decides on the host.

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

// ActFinite sets Finite to 1 if all losses of the rows are finite, else to 0. Ranks take the minimum of theirs before [ActHalt]
// and the optimizers.
func ActFinite(b ActBuffers, s ActSizes) (Work, error) {
	return single(Launch{File: actFile, Kernel: "act_finite", Grid: grid(1, 1), Block: block(threads), SharedBytes: 4 * threads / warp,
		Args: []Arg{Buffer(b.LossLM), Buffer(b.LossQ), Buffer(b.Finite), Int32(s.Rows)}})
}

// ActHalt decides which rows have halted and adds their metrics to Sums. Every rank does it for its own rows; a record of all
// is the sum over ranks. What a row draws depends on its place in the global batch alone.
func ActHalt(b ActBuffers, s ActSizes) (Work, error) {
	return single(Launch{File: actFile, Kernel: "act_halt", Grid: grid(1, 1), Block: block(threads), SharedBytes: 8 * threads * actSums, Args: []Arg{
		Buffer(b.LossLM), Buffer(b.LossQ), Buffer(b.Q), Buffer(b.Stats), Buffer(b.Steps), Buffer(b.Halted), Buffer(b.Sums), Buffer(b.Finite), Buffer(b.StepCount),
		Uint64(s.Seed), Float64(s.Exploration), Int32(s.Rows), Int32(s.First), Int32(s.MaxSegments),
	}})
}

// Exploration returns what act_halt draws for a row of the global batch in a step: uniform in [0,1) decides whether there is a
// minimum, draw in {0..maxSegments-2} which; see model.ExplorationMinimum.
func Exploration(seed uint64, step int64, row, maxSegments int) (uniform float64, draw int) {
	r := philox(seed, uint64(step), uint32(row))
	high, _ := bits.Mul32(r[1], uint32(max(1, maxSegments-1)))
	return float64(r[0]) / (1 << 32), int(high)
}

// philox is Philox4x32-10 (Salmon et al. 2011) of the counter (step, row, 0).
func philox(seed, step uint64, row uint32) [4]uint32 {
	x := [4]uint32{uint32(step), uint32(step >> 32), row, 0}
	key := [2]uint32{uint32(seed), uint32(seed >> 32)}
	for range 10 {
		high0, low0 := bits.Mul32(0xD2511F53, x[0])
		high1, low1 := bits.Mul32(0xCD9E8D57, x[2])
		x = [4]uint32{high1 ^ x[1] ^ key[0], low1, high0 ^ x[3] ^ key[1], low0}
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
	return x
}
