package cuda

import (
	"errors"
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

// stepArrays are the arrays that the bookkeeping of a step reads and writes; table and those of puzzles' rows may be nil.
type stepArrays struct {
	tokens, labels, halted, last, puzzles, segments, lossLM, lossQ, q, stats, table, puzzle, puzzleGradient *array
}

// take checks what the steps consist of.
func (s *stepper) take() (err error) {
	d, steps, ok := s.device, &s.steps, false
	if s.executable, ok = steps.Program.(*executable); !ok || s.executable.device != d {
		return errors.New("the program was compiled by another device")
	}
	if s.parameters, err = d.dense(steps.Parameters); err != nil {
		return err
	}
	if tokens, ok := steps.Bindings["tokens"]; ok {
		s.seqLen = tokens.Len() / steps.Rows
	}
	a, rows, dim := &s.arrays, steps.Rows, steps.TableDim
	type want struct {
		to      **array
		name    string
		x       device.Array
		dtype   device.DType
		n       int
		skipped bool
	}
	list := []want{
		{&a.puzzles, "puzzles", steps.Puzzles, device.Int32, rows, false}, {&a.segments, "segments", steps.Segments, device.Int32, rows, false},
		{&a.table, "puzzle table", steps.Table, device.Float32, dim, dim == 0},
	}
	for _, b := range []want{
		{&a.tokens, "tokens", nil, device.Int32, rows * s.seqLen, false}, {&a.labels, "labels", nil, device.Int32, rows * s.seqLen, false},
		{&a.halted, "halted", nil, device.Int32, rows, false}, {&a.last, "last", nil, device.Int32, rows, steps.Bindings["last"] == nil},
		{&a.lossLM, "loss.lm", nil, device.Float32, rows, false}, {&a.lossQ, "loss.q", nil, device.Float32, 2 * rows, false},
		{&a.q, "q", nil, device.Float32, 2 * rows, false}, {&a.stats, "stats", nil, device.Float32, 2 * rows, false},
		{&a.puzzle, "puzzle", nil, device.Float32, rows * dim, dim == 0}, {&a.puzzleGradient, "grad/puzzle", nil, device.Float32, rows * dim, dim == 0},
	} {
		b.x = steps.Bindings[b.name]
		list = append(list, b)
	}
	for _, w := range list {
		if w.skipped {
			continue
		}
		if *w.to, ok = d.owned(w.x); !ok || (*w.to).dtype != w.dtype || (*w.to).n < w.n {
			return fmt.Errorf("%s: want at least %d elements of %v on this device", w.name, w.n, w.dtype)
		}
	}
	return nil
}

func (s *stepper) sizes() kernel.ActSizes {
	steps := &s.steps
	out := kernel.ActSizes{
		Rows: steps.Rows, First: steps.First, SeqLen: s.seqLen, PuzzleDim: steps.TableDim, MaxSegments: steps.MaxSegments,
		Halting: steps.Halting, Exploration: steps.Exploration, Seed: steps.Seed,
	}
	if s.arrays.table != nil {
		out.PuzzleRows = s.arrays.table.n / steps.TableDim
	}
	return out
}

// The numbers under which the bookkeeping's kernels know their buffers; see stepper.buffers.
const (
	bufferFreshTokens = iota
	bufferFreshLabels
	bufferFreshPuzzles
	bufferTokens
	bufferLabels
	bufferPuzzles
	bufferSegments
	bufferHalted
	bufferLast
	bufferTable
	bufferPuzzle
	bufferLossLM
	bufferLossQ
	bufferQ
	bufferStats
	bufferSums
	bufferFinite
	bufferStep
	bufferSignPuzzles
	bufferSignGradient
	bufferSignScalars
)

var actBuffers = kernel.ActBuffers{
	FreshTokens: bufferFreshTokens, FreshLabels: bufferFreshLabels, FreshPuzzles: bufferFreshPuzzles,
	Tokens: bufferTokens, Labels: bufferLabels, Puzzles: bufferPuzzles, Steps: bufferSegments, Halted: bufferHalted, Last: bufferLast,
	Table: bufferTable, Puzzle: bufferPuzzle, LossLM: bufferLossLM, LossQ: bufferLossQ, Q: bufferQ, Stats: bufferStats,
	Sums: bufferSums, Finite: bufferFinite, StepCount: bufferStep,
}

var signBuffers = kernel.SignBuffers{Table: bufferTable, IDs: bufferSignPuzzles, Gradients: bufferSignGradient, Scalars: bufferSignScalars, Finite: bufferFinite}

// buffers returns where the buffers of the bookkeeping are, with new examples at fresh.
func (s *stepper) buffers(fresh binding.Pointer) func(int) binding.Pointer {
	a, tokens := &s.arrays, binding.Pointer(4*s.steps.Rows*s.seqLen)
	at := map[int]binding.Pointer{
		bufferFreshTokens: fresh, bufferFreshLabels: fresh + tokens, bufferFreshPuzzles: fresh + 2*tokens,
		bufferSums: s.results.at, bufferFinite: s.results.at + binding.Pointer(finiteAt),
		bufferStep: s.scalars.at + stepAt, bufferSignScalars: s.scalars.at + signAt, bufferLast: s.last.at,
	}
	for buffer, x := range map[int]*array{
		bufferTokens: a.tokens, bufferLabels: a.labels, bufferPuzzles: a.puzzles, bufferSegments: a.segments, bufferHalted: a.halted,
		bufferLast: a.last, bufferTable: a.table, bufferPuzzle: a.puzzle, bufferLossLM: a.lossLM, bufferLossQ: a.lossQ, bufferQ: a.q,
		bufferStats: a.stats, bufferSignPuzzles: a.puzzles, bufferSignGradient: a.puzzleGradient,
	} {
		if x != nil {
			at[buffer] = x.data.at
		}
	}
	if x := s.exchange; x != nil && a.table != nil {
		at[bufferSignPuzzles], at[bufferSignGradient] = x.puzzles.all.at, x.gradients.all.at
	}
	return func(buffer int) binding.Pointer { return at[buffer] }
}
