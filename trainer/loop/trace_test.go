package loop

import (
	"slices"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// At the end of each segment a trace has the answer and the q of an evaluation with so many segments.
func TestTracer_endsSegmentsAsEvaluationDoes(t *testing.T) {
	d := tinyData(t)[0]
	n := undecided(t, d)
	tracer, err := NewTracer(n, d.SeqLen, model.TraceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer tracer.Close()
	const example, segments = 4, 3
	var ends []Moment
	moments := 0
	err = tracer.Trace(t.Context(), readBatch(d, []dataset.Draw{d.DrawOf(example)}), segments, func(m Moment) error {
		moments++
		if m.End {
			ends = append(ends, m)
		}
		return nil
	})
	if err != nil || len(ends) != segments || moments != segments*len(tracer.trace.Moments) {
		t.Fatalf("%d moments, %d ends, %v", moments, len(ends), err)
	}
	at, _ := passThrough(t, n, 1, Pass{Data: d, Examples: []int32{example}, Counts: []int{1, 2, 3}})
	for i, m := range ends {
		want := at[i][example]
		if m.Segment != i+1 || m.QHalt != want.qHalt || !slices.Equal(m.Answer, want.answer) {
			t.Errorf("segment %d: traced %v with q %g, evaluated %v with q %g", i+1, m.Answer, m.QHalt, want.answer, want.qHalt)
		}
	}
}

func TestConfidences(t *testing.T) {
	logits, answer := []float32{0, 1, -1, 3, 3, 3}, []int32{1, 0}
	for _, row := range []struct {
		loss v1alpha1.Loss
		want []float32
	}{
		// Stablemax weighs 0, 1 and -1 with 1, 2 and 1/2.
		{v1alpha1.LossStablemax, []float32{2 / 3.5, 1. / 3}},
		// Softmax: e / (1 + e + 1/e).
		{v1alpha1.LossSoftmax, []float32{0.66524096, 1. / 3}},
	} {
		if got := confidences(logits, answer, row.loss); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", row.loss, got, row.want)
		}
	}
}
