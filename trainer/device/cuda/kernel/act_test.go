package kernel_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// act is a batch between two segments.
type act struct {
	kernel.ActSizes
	buffers kernel.ActBuffers
	memory  [][]byte
}

// newAct returns a batch in which rows of all kinds meet: some have halted, some are at their last segment, some have no
// labels, some are exact.
func newAct(s kernel.ActSizes, step int64) *act {
	a := &act{ActSizes: s}
	random := rand.New(rand.NewPCG(9, uint64(s.Rows)))
	add := func(raw []byte) int {
		a.memory = append(a.memory, raw)
		return len(a.memory) - 1
	}
	ints := func(n, below int) int {
		x := make([]int32, n)
		for i := range x {
			x[i] = random.Int32N(int32(below))
		}
		return add(raw(x...))
	}
	reals := func(n int) int { return add(raw(normal(random, n)...)) }
	tokens := s.Rows * s.SeqLen
	a.buffers = kernel.ActBuffers{
		FreshTokens: ints(tokens, 11), FreshLabels: ints(tokens, 11), FreshPuzzles: ints(s.Rows, s.PuzzleRows),
		Tokens: ints(tokens, 11), Labels: ints(tokens, 11), Puzzles: ints(s.Rows, s.PuzzleRows),
		Steps: ints(s.Rows, s.MaxSegments), Halted: ints(s.Rows, 2), Last: ints(s.Rows, 2),
		Table: reals(s.PuzzleRows * s.PuzzleDim), Puzzle: reals(s.Rows * s.PuzzleDim),
		LossLM: reals(s.Rows), LossQ: reals(2 * s.Rows), Q: reals(2 * s.Rows), Sums: add(make([]byte, 9*8)), Finite: add(raw(int32(1))),
		StepCount: add(binary.LittleEndian.AppendUint64(nil, uint64(step))),
	}
	stats := make([]float32, 2*s.Rows)
	for i := range s.Rows {
		stats[2*i+1] = float32(random.IntN(4))
		stats[2*i] = float32(random.IntN(int(stats[2*i+1]) + 1))
	}
	a.buffers.Stats = add(raw(stats...))
	return a
}

// do runs one of the kernels.
func (a *act) do(t *testing.T, describe func(kernel.ActBuffers, kernel.ActSizes) (kernel.Work, error)) {
	t.Helper()
	work, err := describe(a.buffers, a.ActSizes)
	if err != nil {
		t.Fatal(err)
	}
	a.memory = run(t, a.memory, work)
}

func (a *act) ints(t *testing.T, buffer int) []int32 {
	t.Helper()
	x, err := device.ReadInts(device.HostArrayOver(device.Int32, a.memory[buffer]), 0, len(a.memory[buffer])/4)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (a *act) floats(t *testing.T, buffer int) []float32 {
	t.Helper()
	return floats(t, device.Float32, a.memory[buffer])
}

// actSizes are a batch larger than a block, one of a single row, one without puzzle embeddings, training with a single segment
// and one for every other rule of halting.
var actSizes = []kernel.ActSizes{
	{Rows: 300, First: 5, SeqLen: 3, PuzzleDim: 7, PuzzleRows: 4, MaxSegments: 16, Exploration: 0.5, Seed: 1<<40 + 3},
	{Rows: 1, SeqLen: 5, PuzzleDim: 2, PuzzleRows: 1, MaxSegments: 2, Exploration: 1, Seed: 2},
	{Rows: 4, SeqLen: 2, PuzzleRows: 1, MaxSegments: 3, Exploration: 0, Seed: 4},
	{Rows: 9, SeqLen: 2, PuzzleDim: 1, PuzzleRows: 2, MaxSegments: 1, Exploration: 0.1, Seed: 3},
	{Rows: 40, SeqLen: 2, PuzzleDim: 1, PuzzleRows: 2, MaxSegments: 3, Exploration: 0.5, Seed: 3, Halting: device.HaltAtLast},
	{Rows: 70, SeqLen: 2, PuzzleDim: 1, PuzzleRows: 2, MaxSegments: 4, Exploration: 0.3, Seed: 5, Halting: device.HaltAboveZero},
}

func TestActAdmit_givesHaltedRowsTheNewBatch(t *testing.T) {
	for _, s := range actSizes {
		a := newAct(s, 1)
		b := a.buffers
		tokens, labels, puzzles, steps, halted := a.ints(t, b.Tokens), a.ints(t, b.Labels), a.ints(t, b.Puzzles), a.ints(t, b.Steps), a.ints(t, b.Halted)
		table, last, puzzle := a.floats(t, b.Table), make([]int32, s.Rows), []float32(nil)
		for i := range s.Rows {
			if halted[i] != 0 {
				copy(tokens[i*s.SeqLen:(i+1)*s.SeqLen], a.ints(t, b.FreshTokens)[i*s.SeqLen:])
				copy(labels[i*s.SeqLen:(i+1)*s.SeqLen], a.ints(t, b.FreshLabels)[i*s.SeqLen:])
				puzzles[i], steps[i] = a.ints(t, b.FreshPuzzles)[i], 0
			}
			steps[i]++
			if int(steps[i]) >= s.MaxSegments {
				last[i] = 1
			}
			puzzle = append(puzzle, table[int(puzzles[i])*s.PuzzleDim:][:s.PuzzleDim]...)
		}
		a.do(t, kernel.ActAdmit)
		for name, c := range map[string]struct {
			buffer int
			want   []int32
		}{
			"tokens": {b.Tokens, tokens}, "labels": {b.Labels, labels}, "puzzles": {b.Puzzles, puzzles}, "steps": {b.Steps, steps},
			"halted": {b.Halted, halted}, "last": {b.Last, last},
		} {
			if diff := cmp.Diff(c.want, a.ints(t, c.buffer)); diff != "" {
				t.Errorf("%d rows: %s: %s", s.Rows, name, diff)
			}
		}
		if !slices.Equal(a.floats(t, b.Puzzle), puzzle) {
			t.Errorf("%d rows: the puzzles' rows are not those of the table", s.Rows)
		}
	}
}

func TestActHalt_decidesAndSumsAsTheLoopDoes(t *testing.T) {
	const step = 1<<33 + 12
	for _, s := range actSizes {
		a := newAct(s, step)
		b := a.buffers
		lm, lossQ, q, stats, steps := a.floats(t, b.LossLM), a.floats(t, b.LossQ), a.floats(t, b.Q), a.floats(t, b.Stats), a.ints(t, b.Steps)
		halted, sums := make([]int32, s.Rows), make([]float64, 9)
		for i := range s.Rows {
			minimum := model.ExplorationMinimum(s.Seed, step, s.First+i, int32(s.MaxSegments), s.Exploration)
			halts := model.Halted(s.Halting, steps[i], int32(s.MaxSegments), q[2*i], q[2*i+1], minimum)
			correct, labelled := stats[2*i], stats[2*i+1]
			exact, terms := correct == labelled, []float64{1, float64(lm[i]), float64(lossQ[2*i]), float64(lossQ[2*i+1])}
			if halts {
				halted[i] = 1
			}
			if halts && labelled != 0 {
				terms = append(terms, 1, float64(correct/labelled), one(exact), one((q[2*i] >= 0) == exact), float64(steps[i]))
			}
			for k, x := range terms {
				sums[k] += x
			}
		}
		a.do(t, kernel.ActFinite)
		a.do(t, kernel.ActHalt)
		if diff := cmp.Diff(halted, a.ints(t, b.Halted)); diff != "" {
			t.Errorf("%d rows: halted: %s", s.Rows, diff)
		}
		for k, want := range sums {
			if got := math.Float64frombits(binary.LittleEndian.Uint64(a.memory[b.Sums][8*k:])); got != want {
				t.Errorf("%d rows: sum %d is %v, want %v", s.Rows, k, got, want)
			}
		}
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func TestActHalt_changesNothingAfterALossThatIsNotFinite(t *testing.T) {
	for _, loss := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		a := newAct(actSizes[0], 1)
		copy(a.memory[a.buffers.LossQ][8*299:], raw(float32(loss)))
		before := a.ints(t, a.buffers.Halted)
		a.do(t, kernel.ActFinite)
		a.do(t, kernel.ActHalt)
		if a.ints(t, a.buffers.Finite)[0] != 0 || !slices.Equal(before, a.ints(t, a.buffers.Halted)) || slices.ContainsFunc(a.memory[a.buffers.Sums], func(b byte) bool { return b != 0 }) {
			t.Errorf("a loss of %v counts as finite", loss)
		}
		copy(a.memory[a.buffers.LossQ][8*299:], raw(float32(1)))
		a.do(t, kernel.ActFinite)
		if a.ints(t, a.buffers.Finite)[0] != 0 {
			t.Errorf("a loss of %v is forgotten by the next step", loss)
		}
	}
}
