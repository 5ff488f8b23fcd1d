package loop

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// undecided is an untrained model whose rows halt by themselves after various numbers of segments.
func undecided(t *testing.T, d *dataset.Dataset) *Network {
	t.Helper()
	spec := tinyJob(t)
	m, err := model.Build(spec.Model, ShapeOf(&d.Metadata), spec.Training.Precision, 1)
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNetwork(reference.New(), m, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	if err := n.Initialize(3); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(15, 6))
	weight := make([]float32, n.parameters["q_head.weight"].Len())
	for i := range weight {
		weight[i] = float32(random.NormFloat64())
	}
	if err := device.WriteFloats(n.parameters["q_head.weight"], 0, weight); err != nil {
		t.Fatal(err)
	}
	return n
}

// seen is a reading, kept.
type seen struct {
	segments int
	answer   []int32
	qHalt    float32
}

// passThrough returns the readings of a pass: at[count][example], and those with which the network halted.
func passThrough(t *testing.T, n *Network, batch int, p Pass) (at []map[int]seen, halted map[int]seen) {
	t.Helper()
	e, err := NewEvaluator(n, batch, p.Data.SeqLen, 1)
	if err != nil {
		t.Fatal(err)
	}
	at, halted = make([]map[int]seen, len(p.Counts)), map[int]seen{}
	for i := range at {
		at[i] = map[int]seen{}
	}
	p.Visit = func(r Reading) error {
		kept := seen{r.Segments, slices.Clone(r.Answer), r.QHalt}
		if r.Halted {
			halted[r.Example] = kept
		}
		if r.Count >= 0 {
			at[r.Count][r.Example] = kept
		}
		return nil
	}
	if err := e.Pass(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return at, halted
}

func equalReadings(t *testing.T, what string, got, want map[int]seen) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d examples are read, want %d", what, len(got), len(want))
	}
	for example, w := range want {
		if g := got[example]; g.segments != w.segments || g.qHalt != w.qHalt || !slices.Equal(g.answer, w.answer) {
			t.Errorf("%s: example %d is read as %v, want %v", what, example, g, w)
		}
	}
}

// Reading answers off on the way gives what separate evaluations with fewer segments give, and what Predict gives.
func TestPass_readsEveryCountAsASeparateEvaluationDoes(t *testing.T) {
	d := tinyData(t)[0]
	n := undecided(t, d)
	counts := []int{1, 2, 5}
	together, _ := passThrough(t, n, 5, Pass{Data: d, Examples: d.First(12), Counts: counts})
	for i, count := range counts {
		alone, _ := passThrough(t, n, 5, Pass{Data: d, Examples: d.First(12), Counts: []int{count}})
		equalReadings(t, "a pass of its own", together[i], alone[0])
		equalReadings(t, "Predict", together[i], predicted(t, n, d, 12, count))
	}
}

// predicted answers the first examples batch by batch.
func predicted(t *testing.T, n *Network, d *dataset.Dataset, limit, segments int) map[int]seen {
	t.Helper()
	e, err := NewEvaluator(n, 5, d.SeqLen, segments)
	if err != nil {
		t.Fatal(err)
	}
	all, example := map[int]seen{}, 0
	sequence := d.Sequence(5, limit)
	for draws, rows := sequence.Next(); rows > 0; draws, rows = sequence.Next() {
		answers, err := e.Predict(t.Context(), readBatch(d, draws), rows)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range answers {
			all[example] = seen{segments, p.Answer, p.QHalt}
			example++
		}
	}
	return all
}

// Rows that halt make room at once; the answers are those of a pass in which everybody stays to the end.
func TestPass_givesTheSameAnswersWhenHaltedRowsMakeRoom(t *testing.T) {
	d := tinyData(t)[0]
	n := undecided(t, d)
	const limit = 5
	examples := d.First(18)
	_, stay := passThrough(t, n, len(examples), Pass{Data: d, Examples: examples, Counts: []int{limit}, ACT: limit})
	different := map[int]bool{}
	for _, s := range stay {
		different[s.segments] = true
	}
	if len(different) < 3 {
		t.Fatalf("the examples halt after %v segments: the test wants them to differ", different)
	}
	for _, batch := range []int{1, 4, 7, len(examples) + 3} {
		segments := 0
		_, leave := passThrough(t, n, batch, Pass{Data: d, Examples: examples, ACT: limit, Segment: func(int, int) { segments++ }})
		equalReadings(t, "making room", leave, stay)
		if full := limit * (len(examples) + batch - 1) / batch; batch < len(examples) && segments >= full {
			t.Errorf("batch %d: %d segments, as many as without halting", batch, segments)
		}
	}
}

func TestPass_answersWhatIsAskedInThatOrder(t *testing.T) {
	d := tinyData(t)[0]
	n := undecided(t, d)
	var order []int
	e, err := NewEvaluator(n, 2, d.SeqLen, 1)
	if err != nil {
		t.Fatal(err)
	}
	visit := func(r Reading) error { order = append(order, r.Example); return nil }
	if err := e.Pass(t.Context(), Pass{Data: d, Examples: []int32{9, 3, 4}, Counts: []int{1}, Visit: visit}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(order, []int{9, 3, 4}) {
		t.Errorf("answers %v", order)
	}
	if err := e.Pass(t.Context(), Pass{Data: d, Counts: []int{1}, Visit: visit}); err != nil || len(order) != 3 {
		t.Errorf("no examples: %v, %v", err, order)
	}
}

// Enough ends a pass with whole examples only, and ctx at once.
func TestPass_stops(t *testing.T) {
	d := tinyData(t)[0]
	n := undecided(t, d)
	e, err := NewEvaluator(n, 4, d.SeqLen, 1)
	if err != nil {
		t.Fatal(err)
	}
	var last []int
	p := Pass{Data: d, Examples: d.First(0), Counts: []int{1, 3}, Visit: func(r Reading) error {
		if r.Count == 1 {
			last = append(last, r.Example)
		}
		return nil
	}}
	asked := 0
	p.Enough = func() bool { asked++; return asked > 2 }
	if err := e.Pass(t.Context(), p); err != nil || !slices.Equal(last, []int{0, 1, 2, 3, 4, 5, 6, 7}) {
		t.Errorf("enough after two batches: %v, examples %v", err, last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	last, p.Enough = nil, nil
	p.Segment = func(done, _ int) {
		if done == 4 {
			cancel()
		}
	}
	if err := e.Pass(ctx, p); !errors.Is(err, context.Canceled) || !slices.Equal(last, []int{0, 1, 2, 3}) {
		t.Errorf("cancelled after a batch: %v, examples %v", err, last)
	}
	wrong := errors.New("full")
	p.Segment, p.Visit = nil, func(Reading) error { return wrong }
	if err := e.Pass(t.Context(), p); !errors.Is(err, wrong) {
		t.Errorf("a visitor's error: got %v", err)
	}
}
