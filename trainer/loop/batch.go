package loop

import (
	"encoding/json"
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// Batch is a number of examples: Inputs and Labels are [rows, S], Puzzles [rows].
type Batch struct {
	Inputs, Labels, Puzzles []int32
}

// Source is where training examples come from, one global batch after the other. Its position is part of a checkpoint.
type Source interface {
	// Next returns a batch that is good until the next call.
	Next() Batch
	Position() ([]byte, error)
	Seek(position []byte) error
}

func newBatch(rows, seqLen int) Batch {
	return Batch{Inputs: make([]int32, rows*seqLen), Labels: make([]int32, rows*seqLen), Puzzles: make([]int32, rows)}
}

// readBatch returns the examples of draws.
func readBatch(d *dataset.Dataset, draws []dataset.Draw) Batch {
	b := newBatch(len(draws), d.SeqLen)
	d.Fill(draws, b.Inputs, b.Labels, b.Puzzles)
	return b
}

// sampled is the source of a dataset's training half.
type sampled struct {
	data    *dataset.Dataset
	sampler *dataset.Sampler
	batch   Batch
}

// Next draws a batch.
func (s *sampled) Next() Batch {
	s.data.Fill(s.sampler.Next(), s.batch.Inputs, s.batch.Labels, s.batch.Puzzles)
	return s.batch
}

// Position encodes where the sampler is.
func (s *sampled) Position() ([]byte, error) { return json.Marshal(s.sampler.Position()) }

// Seek goes to an encoded position.
func (s *sampled) Seek(position []byte) error {
	var p dataset.Position
	if err := json.Unmarshal(position, &p); err != nil {
		return fmt.Errorf("position in the dataset: %w", err)
	}
	return s.sampler.Seek(p)
}
