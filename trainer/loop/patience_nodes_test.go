//go:build gloo && cgo && linux

package loop

import (
	"fmt"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/progress"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// All ranks end after the same step, though only rank 0 has a scorer's scores.
func TestPatience_endsAllRanksTogether(t *testing.T) {
	data := tinyData(t)
	for _, size := range []int{1, 2, 3} {
		t.Run(fmt.Sprintf("%d ranks", size), func(t *testing.T) {
			store, _ := directory(t)
			steps := make([]int64, size)
			early := make([]string, size)
			_, errs := nodes{t: t, spec: impatientJob(t), data: data, store: store, size: size, scorer: constantScorer, shown: func(rank int, r progress.Report) {
				steps[rank], early[rank] = r.Step, r.EndedEarly
			}}.run()
			allDone(t, errs)
			for rank := range size {
				if steps[rank] != impatientEnd || early[rank] == "" {
					t.Errorf("rank %d ends after step %d (%q), want %d", rank, steps[rank], early[rank], impatientEnd)
				}
			}
			if end, err := FindFinished(t.Context(), store, impatientJob(t)); err != nil || end == nil {
				t.Errorf("the end is not found: %v", err)
			}
		})
	}
}

// The scorer of rank 0 gets every rank's answers, each once and under its example's number.
func TestJoint_scoresTheAnswersOfAllRanks(t *testing.T) {
	data := tinyData(t)[0]
	const limit = 9
	want := map[int]float32{}
	for example, s := range predicted(t, undecided(t, data), data, limit, 2) {
		want[example] = s.qHalt
	}
	for _, size := range []int{1, 2, 3} {
		together(t, size, func(group collective.Group) error {
			n := undecided(t, data)
			e, err := NewEvaluator(n, 2, data.SeqLen, 2)
			if err != nil {
				return err
			}
			j := &joint{group: group, evaluator: e, data: data, limit: limit, answers: true}
			scorer := &fixedScorer{scores: []dataset.Score{{Name: "valid", Value: 0.5, Of: limit}}, added: map[int]float32{}}
			if group.Rank() == 0 {
				j.scorer = scorer
			}
			got, whole, err := j.run(t.Context())
			if err != nil || !whole || got.Examples != limit || len(got.Scores) != 1 || got.Scores[0] != scorer.scores[0] {
				return fmt.Errorf("rank %d of %d: %+v, whole %v, %w", group.Rank(), size, got, whole, err)
			}
			if group.Rank() > 0 {
				return nil
			}
			if len(scorer.added) != limit {
				return fmt.Errorf("%d answers are scored, want %d", len(scorer.added), limit)
			}
			for example, q := range want {
				if scorer.added[example] != q {
					return fmt.Errorf("example %d is scored with q %g, want %g", example, scorer.added[example], q)
				}
			}
			return nil
		})
	}
}

// What a rank sends is taken or refused, whatever it is.
func FuzzJoint_take(f *testing.F) {
	d := &dataset.Dataset{}
	d.SeqLen = 2
	f.Add([]byte{2, 1, 0, 0, 0x80, 0x3f, 7, 8}, true)
	f.Add([]byte{2, 1}, false)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, true)
	f.Fuzz(func(t *testing.T, raw []byte, answers bool) {
		scorer := &fixedScorer{added: map[int]float32{}}
		j := &joint{data: d, answers: answers, scorer: scorer}
		var tally Tally
		err := j.take(&tally, raw, 5)
		for example := range scorer.added {
			if example < 5 || example >= 5+len(raw) {
				t.Errorf("example %d of %d bytes", example, len(raw))
			}
		}
		if err == nil && !answers && len(scorer.added) > 0 {
			t.Error("answers where there are none")
		}
	})
}
