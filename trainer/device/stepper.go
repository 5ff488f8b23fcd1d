package device

import "context"

// StepDevice is what a device may be besides: one that makes whole training steps by itself. What a step decides (which rows
// have halted, what the update is) stays on it, so that the host need not wait for one step before it hands over the next.
type StepDevice interface {
	// NewStepper prepares the steps. The arrays may be read and written whenever Wait has returned.
	NewStepper(s Steps) (Stepper, error)
}

// Halting is a rule by which training is done with a row's example. All rules do so after the last of its segments.
type Halting uint8

// The rules of halting.
const (
	// HaltAboveContinue also halts where q_halt is above q_continue.
	HaltAboveContinue Halting = iota
	// HaltAboveZero also halts where q_halt is above 0.
	HaltAboveZero
	// HaltAtLast halts after the last segment only.
	HaltAtLast
)

// Steps says what training steps consist of, for the rows [First, First+Rows) of the global batch. In each, rows that have
// halted take the example that was handed over for them; the program runs a segment; it is decided which rows have halted,
// as model.Halted and model.ExplorationMinimum do; the figures of the rows are summed up; parameters and the rows of the
// puzzle table that were used are updated. If there is a link, gradients are those of all ranks, and one whose loss is not
// finite keeps all from their update; sums are of the own rows alone.
type Steps struct {
	// Program is compiled by this device, Bindings are what it runs with: the values "tokens" and "labels" I32 [rows, S],
	// "halted" and "last" I32 [rows], "puzzle" and "grad/puzzle" F32 [rows, dim], "loss.lm" F32 [rows], "loss.q", "q" and
	// "stats" F32 [rows, 2]. Without a puzzle table there is no puzzle, and where an example has a single segment no last.
	Program  Executable
	Bindings map[string]Array
	// Puzzles and Segments I32 [rows] are the puzzle identifier of each row's example, and how many segments it has had.
	Puzzles, Segments Array
	Parameters        []Dense
	// Table F32 [identifiers, TableDim] is the puzzle table; nil is none.
	Table    Array
	TableDim int

	// Link is the connection to the other ranks, nil without any. Batch is the global batch, of which every rank has as many
	// rows as collective.Share gives it. The stepper is closed before the link.
	Link  Link
	Batch int

	Rows, First int
	MaxSegments int
	Halting     Halting
	// Exploration is the probability of a least number of segments, drawn under Seed.
	Exploration float64
	Seed        uint64
}

// StepInput is what a step needs of the host. Nothing of it is read after Step has returned.
type StepInput struct {
	// Step counts from 1.
	Step int64
	// Tokens and Labels [rows, S] and Puzzles [rows] are the examples that halted rows take.
	Tokens, Labels, Puzzles []int32
	Adam                    AdamATan2Step
	// PuzzleLearningRate and PuzzleWeightDecay are those of SignSGD.
	PuzzleLearningRate, PuzzleWeightDecay float64
}

// StepSums are figures summed over the rows of a step: rows, token loss, loss of q_halt, loss of q_continue, and of the rows that
// halted and have labels their number, token accuracy, exactness, accuracy of q_halt, segments.
type StepSums [9]float64

// StepResult is what became of a step.
type StepResult struct {
	Step int64
	// Finite says that no loss was NaN or infinite, in this step and all before. From the first on that is not, nothing is
	// changed any more.
	Finite bool
	Sums   StepSums
}

// Stepper makes training steps, one after the other. It is used from one goroutine, that of its device.
type Stepper interface {
	// Step hands over a step and returns before it is done. If as many are under way as there is room for, it waits for the
	// oldest. It returns the results of steps that it has waited for, in order; which these are depends on the number of
	// calls alone. They are good until the next call.
	Step(ctx context.Context, in StepInput) ([]StepResult, error)
	// Wait waits for all steps, and returns the results that are left.
	Wait() ([]StepResult, error)
	// Close frees the stepper's memory.
	Close() error
}
