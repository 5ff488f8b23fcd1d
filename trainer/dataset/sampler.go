package dataset

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Draw is one row of a batch: an example and the puzzle that it belongs to. Blank has neither.
type Draw struct{ Example, Puzzle int32 }

// Blank is a row without an example: padding tokens, no labels, the blank identifier.
var Blank = Draw{-1, -1}

// Fill writes the rows of a batch: inputs and labels are [len(draws), SeqLen], identifiers [len(draws)].
// Positions without a label get IgnoreLabel. A node fills only its own part of a global batch.
func (d *Dataset) Fill(draws []Draw, inputs, labels, identifiers []int32) {
	for i, draw := range draws {
		in, out := inputs[i*d.SeqLen:(i+1)*d.SeqLen], labels[i*d.SeqLen:(i+1)*d.SeqLen]
		if draw.Example < 0 {
			for j := range in {
				in[j], out[j] = d.PadID, IgnoreLabel
			}
			identifiers[i] = d.BlankIdentifierID
			continue
		}
		d.inputs.copyTo(in, int(draw.Example)*d.SeqLen)
		d.labels.copyTo(out, int(draw.Example)*d.SeqLen)
		if d.IgnoreLabelID != nil {
			for j, v := range out {
				if v == *d.IgnoreLabelID {
					out[j] = IgnoreLabel
				}
			}
		}
		identifiers[i] = d.identifiers[draw.Puzzle]
	}
}

// Sampling is how training draws its batches.
type Sampling struct {
	Seed int64
	// BatchSize is the global batch, over all nodes.
	BatchSize int
	// EpochsPerPass is how many epochs follow each other without a break: a batch may begin in one and end in the next.
	// Where a pass ends, a last short batch is dropped. The official code passes from one evaluation to the next.
	EpochsPerPass int
}

// Position is how far a Sampler has come. It holds all there is to know: batches after it depend on nothing else.
type Position struct {
	Epoch int64 `json:"epoch"`
	// Group counts the groups of the epoch, in its order, that are used up.
	Group int `json:"group"`
	// The rest must be the same when training resumes.
	Seed          int64 `json:"seed"`
	EpochsPerPass int   `json:"epochsPerPass"`
	Groups        int   `json:"groups"`
}

// Sampler draws training batches without end. Every epoch visits the groups in an order of its own and takes one variant
// of each, drawn uniformly, and of this variant as many examples as it has or as there is room for.
//
// Epoch, group and seed decide each draw, and nothing is carried from draw to draw, so that a Sampler can be put back
// to any Position.
type Sampler struct {
	data     *Dataset
	sampling Sampling
	epoch    int64
	group    int
	order    []int32 // of the current epoch; empty if not drawn yet
	pcg      *rand.PCG
	rng      *rand.Rand // over pcg

	// The memory of the last draws, which the next ones use again.
	batch    []Draw
	examples []int32
}

// NewSampler begins at the first epoch. The error says that no pass can fill a batch.
func NewSampler(d *Dataset, s Sampling) (*Sampler, error) {
	if s.BatchSize < 1 || s.EpochsPerPass < 1 {
		return nil, fmt.Errorf("sample batches of %d, %d epochs at a time: both must be at least 1", s.BatchSize, s.EpochsPerPass)
	}
	perEpoch := 0
	for g := range d.Groups() {
		most := int32(0)
		for p := d.groups[g]; p < d.groups[g+1]; p++ {
			most = max(most, d.puzzles[p+1]-d.puzzles[p])
		}
		perEpoch += int(most)
	}
	if perEpoch*s.EpochsPerPass < s.BatchSize {
		return nil, fmt.Errorf("%d epochs of %d examples don't fill one batch of %d: lower globalBatchSize, or evaluate less often",
			s.EpochsPerPass, perEpoch, s.BatchSize)
	}
	pcg := rand.NewPCG(0, 0)
	return &Sampler{data: d, sampling: s, pcg: pcg, rng: rand.New(pcg)}, nil
}

// Next draws the global batch, which is good until the next call.
func (s *Sampler) Next() []Draw {
	s.batch = s.batch[:0]
	for len(s.batch) < s.sampling.BatchSize {
		if s.group == s.data.Groups() {
			s.epoch, s.group, s.order = s.epoch+1, 0, s.order[:0]
			if s.epoch%int64(s.sampling.EpochsPerPass) == 0 {
				s.batch = s.batch[:0]
			}
		}
		s.drawGroup()
	}
	return s.batch
}

// drawGroup adds the examples of the next group to the batch.
func (s *Sampler) drawGroup() {
	d := s.data
	if len(s.order) == 0 {
		s.order = permutation(s.order, s.random(-1), d.Groups())
	}
	rng := s.random(s.group)
	g := s.order[s.group]
	s.group++
	p := d.groups[g] + rng.Int32N(d.groups[g+1]-d.groups[g])
	first, size := d.puzzles[p], d.puzzles[p+1]-d.puzzles[p]
	take := min(int(size), s.sampling.BatchSize-len(s.batch))
	if size == 1 {
		s.batch = append(s.batch, Draw{first, p})
		return
	}
	s.examples = permutation(s.examples, rng, int(size))
	for _, i := range s.examples[:take] {
		s.batch = append(s.batch, Draw{first + i, p})
	}
}

// random is the source for one group of the current epoch, or with -1 for the order of the epoch. It is good until the
// next call.
func (s *Sampler) random(group int) *rand.Rand {
	const odd = 0x9e3779b97f4a7c15
	s.pcg.Seed(uint64(s.sampling.Seed)*odd+uint64(s.epoch), uint64(group+2)*odd)
	return s.rng
}

// permutation shuffles the numbers below n, in the memory of p as far as that suffices.
func permutation(p []int32, rng *rand.Rand, n int) []int32 {
	p = slices.Grow(p[:0], n)[:n]
	for i := range p {
		j := rng.IntN(i + 1)
		p[i] = p[j]
		p[j] = int32(i)
	}
	return p
}

// Position is where the next batch begins.
func (s *Sampler) Position() Position {
	return Position{s.epoch, s.group, s.sampling.Seed, s.sampling.EpochsPerPass, s.data.Groups()}
}

// Seek goes to a position that another Sampler over the same data gave.
func (s *Sampler) Seek(p Position) error {
	want := s.Position()
	want.Epoch, want.Group = p.Epoch, p.Group
	if p != want || p.Epoch < 0 || p.Group < 0 || p.Group > p.Groups {
		return fmt.Errorf("resume sampling: the position %+v is not one of %+v: the dataset or the recipe has changed", p, want)
	}
	s.epoch, s.group, s.order = p.Epoch, p.Group, s.order[:0]
	return nil
}

// Epoch is how many epochs have been drawn, with the part of the current one.
func (s *Sampler) Epoch() float64 {
	return float64(s.epoch) + float64(s.group)/float64(max(1, s.data.Groups()))
}

// Steps is the number of training steps that so many epochs are worth, counted as the official code does.
func (m *Metadata) Steps(epochs int64, batchSize int) int64 {
	return int64(float64(epochs) * float64(m.TotalGroups) * m.MeanPuzzleExamples / float64(batchSize))
}

// Sequence goes through the examples in order, for evaluation.
type Sequence struct {
	data            *Dataset
	next, end, size int
}

// Sequence returns the first limit examples (all, if limit is 0) in batches of size.
func (d *Dataset) Sequence(size, limit int) *Sequence {
	end := d.Examples()
	if limit > 0 {
		end = min(end, limit)
	}
	return &Sequence{d, 0, end, size}
}

// Next returns a batch and how many of its rows are examples. The last batch is filled up with Blank; after it comes nil.
func (s *Sequence) Next() ([]Draw, int) {
	n := min(s.size, s.end-s.next)
	if n <= 0 {
		return nil, 0
	}
	batch := make([]Draw, s.size)
	for i := range batch {
		batch[i] = Blank
		if i < n {
			batch[i] = Draw{int32(s.next + i), s.data.puzzleOf(s.next + i)}
		}
	}
	s.next += n
	return batch, n
}
