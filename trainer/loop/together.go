package loop

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// evaluateTogether evaluates the first limit examples of a dataset (all of them if limit is 0), each rank a share of them,
// and gives every rank the whole result: counts are added in the order of the examples, so that it does not depend on the
// number of ranks. whole is false if the ctx of a rank has ended meanwhile.
func evaluateTogether(ctx context.Context, group collective.Group, e *Evaluator, d *dataset.Dataset, limit int) (result Evaluation, whole bool, err error) {
	// A peer that is lost ends the computing too.
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(group.Context(), cancel)()
	sequence := d.Sequence(e.batch*group.Size(), limit)
	for draws, rows := sequence.Next(); rows > 0; draws, rows = sequence.Next() {
		from := group.Rank() * e.batch
		own, err := e.counts(work, d, draws[from:from+e.batch], min(max(rows-from, 0), e.batch))
		stopped := ctx.Err() != nil
		if err != nil && work.Err() == nil {
			return result, false, fmt.Errorf("evaluate the %d examples after %d: %w", rows, result.Examples, err)
		}
		all, err := group.AllGather(group.Context(), append(own, flag(stopped)))
		if err != nil {
			return result, false, err
		}
		for _, raw := range all {
			end := len(raw) - 1
			stopped = stopped || raw[end] != 0
			result.addCounts(raw[:end])
		}
		if stopped {
			return result, false, nil
		}
	}
	result.average()
	return result, true, nil
}

// counts are the labelled and the right tokens of the first rows of a batch, 4 bytes each.
func (e *Evaluator) counts(ctx context.Context, d *dataset.Dataset, draws []dataset.Draw, rows int) ([]byte, error) {
	if rows == 0 || ctx.Err() != nil {
		return nil, nil
	}
	answers, err := e.Predict(ctx, readBatch(d, draws), rows)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, p := range answers {
		labelled, right := p.tokens()
		out = binary.LittleEndian.AppendUint32(out, uint32(labelled))
		out = binary.LittleEndian.AppendUint32(out, uint32(right))
	}
	return out, nil
}

func (v *Evaluation) addCounts(raw []byte) {
	for ; len(raw) >= 8; raw = raw[8:] {
		v.add(int(binary.LittleEndian.Uint32(raw)), int(binary.LittleEndian.Uint32(raw[4:])))
	}
}
