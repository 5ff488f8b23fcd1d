package dataset

import "context"

// Statistics describe a split's examples.
type Statistics struct {
	Groups, Puzzles, Examples int
	// Length is how many tokens of an input are no padding.
	Length Spread
	// PuzzlesPerGroup counts an original's variants, itself included.
	PuzzlesPerGroup, ExamplesPerPuzzle Spread
	// Inputs and Labels count each token [VocabSize]; positions without a label are left out.
	Inputs, Labels []int64
}

// Spread is the range of a figure, and its mean.
type Spread struct {
	Min, Max int
	Mean     float64
}

// spread collects a Spread.
type spread struct {
	Spread
	n int
}

func (s *spread) add(x int) {
	if s.n == 0 {
		s.Min, s.Max = x, x
	}
	s.n++
	s.Min, s.Max = min(s.Min, x), max(s.Max, x)
	s.Mean += (float64(x) - s.Mean) / float64(s.n)
}

// Describe counts through a split.
func (d *Dataset) Describe(ctx context.Context) (Statistics, error) {
	s := Statistics{
		Groups: d.Groups(), Puzzles: d.Puzzles(), Examples: d.Examples(),
		Inputs: make([]int64, d.VocabSize), Labels: make([]int64, d.VocabSize),
	}
	var perGroup, perPuzzle, length spread
	for g := range d.Groups() {
		perGroup.add(int(d.groups[g+1] - d.groups[g]))
	}
	for p := range d.Puzzles() {
		perPuzzle.add(int(d.puzzles[p+1] - d.puzzles[p]))
	}
	inputs, labels, identifier := make([]int32, d.SeqLen), make([]int32, d.SeqLen), make([]int32, 1)
	for i := range d.Examples() {
		if i%1024 == 0 && ctx.Err() != nil {
			return s, ctx.Err()
		}
		d.Fill([]Draw{d.DrawOf(i)}, inputs, labels, identifier)
		n := 0
		for j, token := range inputs {
			s.Inputs[token]++
			if token != d.PadID {
				n++
			}
			if labels[j] >= 0 {
				s.Labels[labels[j]]++
			}
		}
		length.add(n)
	}
	s.PuzzlesPerGroup, s.ExamplesPerPuzzle, s.Length = perGroup.Spread, perPuzzle.Spread, length.Spread
	return s, nil
}
