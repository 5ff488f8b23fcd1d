package loop

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// joint is an evaluation by all ranks of a group, each of which answers a share of the examples.
type joint struct {
	group     collective.Group
	evaluator *Evaluator
	data      *dataset.Dataset
	// limit is how many of the first examples are answered.
	limit int
	// answers says that ranks tell each other their answers and not only how many tokens are right, because rank 0 has a
	// scorer. All ranks must say the same.
	answers bool
	scorer  dataset.Scorer
}

// run gives every rank the whole result: counts are added in the order of the examples, so that it does not depend on
// the number of ranks. whole is false if the ctx of a rank has ended meanwhile.
func (j *joint) run(ctx context.Context) (result Evaluation, whole bool, err error) {
	// A peer that is lost ends the computing too.
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(j.group.Context(), cancel)()
	var tally Tally
	batch, done := j.evaluator.batch, 0
	sequence := j.data.Sequence(batch*j.group.Size(), j.limit)
	for draws, rows := sequence.Next(); rows > 0; draws, rows = sequence.Next() {
		from := j.group.Rank() * batch
		own, err := j.share(work, draws[from:from+batch], min(max(rows-from, 0), batch))
		stopped := ctx.Err() != nil
		if err != nil && work.Err() == nil {
			return result, false, fmt.Errorf("evaluate the %d examples after %d: %w", rows, done, err)
		}
		all, err := j.group.AllGather(j.group.Context(), append(own, flag(stopped)))
		if err != nil {
			return result, false, err
		}
		for rank, raw := range all {
			end := len(raw) - 1
			stopped = stopped || raw[end] != 0
			if err := j.take(&tally, raw[:end], done+rank*batch); err != nil {
				return result, false, fmt.Errorf("answers of rank %d: %w", rank, err)
			}
		}
		if stopped {
			return result, false, nil
		}
		done += rows
	}
	result = tally.Evaluation()
	result.Scores, err = j.scores()
	return result, err == nil, err
}

// share are the answers to the first rows of a batch, as they travel: of each the labelled and the right tokens and, if
// they are wanted, q_halt and the answer's tokens.
func (j *joint) share(ctx context.Context, draws []dataset.Draw, rows int) ([]byte, error) {
	if rows == 0 || ctx.Err() != nil {
		return nil, nil
	}
	answers, err := j.evaluator.Predict(ctx, readBatch(j.data, draws), rows)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, p := range answers {
		labelled, right := p.Tokens()
		out = binary.AppendUvarint(out, uint64(labelled))
		out = binary.AppendUvarint(out, uint64(right))
		if !j.answers {
			continue
		}
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(p.QHalt))
		for _, token := range p.Answer {
			out = binary.AppendUvarint(out, uint64(token))
		}
	}
	return out, nil
}

var errShare = errors.New("not what this version sends: start all processes from one image")

// take counts the answers of a rank, whose first is to the given example.
func (j *joint) take(tally *Tally, raw []byte, example int) error {
	number := func() int {
		x, n := binary.Uvarint(raw)
		if n <= 0 || x > math.MaxInt32 {
			raw = nil
			return -1
		}
		raw = raw[n:]
		return int(x)
	}
	answer := make([]int32, j.data.SeqLen)
	for ; len(raw) > 0; example++ {
		labelled, right := number(), number()
		if labelled < 0 || right < 0 {
			return errShare
		}
		tally.Add(labelled, right)
		if !j.answers {
			continue
		}
		if len(raw) < 4 {
			return errShare
		}
		q := math.Float32frombits(binary.LittleEndian.Uint32(raw))
		raw = raw[4:]
		for i := range answer {
			token := number()
			if token < 0 {
				return errShare
			}
			answer[i] = int32(token)
		}
		if j.scorer != nil {
			j.scorer.Add(example, answer, q)
		}
	}
	return nil
}

// scores gives every rank what rank 0's scorer says.
func (j *joint) scores() (scores []dataset.Score, err error) {
	if !j.answers {
		return nil, nil
	}
	var raw []byte
	if j.group.Rank() == 0 {
		if raw, err = json.Marshal(j.scorer.Scores()); err != nil {
			return nil, fmt.Errorf("scores: %w", err)
		}
	}
	if raw, err = j.group.Broadcast(j.group.Context(), raw); err != nil {
		return nil, fmt.Errorf("scores: %w", err)
	}
	if err := json.Unmarshal(raw, &scores); err != nil {
		return nil, fmt.Errorf("scores of rank 0: %w", err)
	}
	return scores, nil
}
