package analysis

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/loop"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// Place is a low-level step of a segment, all counted from 1.
type Place struct {
	Segment int `json:"segment"`
	Cycle   int `json:"cycle"`
	Step    int `json:"step"`
}

// Participation is the participation ratio of the states of some trajectories. A model of one state has no ZL.
type Participation struct {
	Trajectories int      `json:"trajectories"`
	ZH           float64  `json:"zH"`
	ZL           *float64 `json:"zL,omitempty"`
}

// Update is how far the states move at a place, on average over the trajectories. ZH moves with the last step of a cycle only; a
// model of one state has no ZL.
type Update struct {
	Place
	ZL *float64 `json:"zL,omitempty"`
	ZH *float64 `json:"zH,omitempty"`
}

// Answers is how good the answers are that are decoded at a place.
type Answers struct {
	Place
	// Exact and Tokens are shares of what has labels; Changed is the mean number of cells that differ from the answer before.
	Exact   float64 `json:"exactAccuracy"`
	Tokens  float64 `json:"tokenAccuracy"`
	Changed float64 `json:"changed"`
	// Confidence is the mean probability of the tokens.
	Confidence float64 `json:"confidence"`
}

// Path is where a state wanders in the plane in which it moves most.
type Path struct {
	Places []Place      `json:"places"`
	Points [][2]float64 `json:"points"`
	Shares []float64    `json:"varianceShares"`
}

// Observation is what was seen of a model that reasoned.
type Observation struct {
	Trajectories  int             `json:"trajectories"`
	Participation []Participation `json:"participation"`
	Residuals     []Update        `json:"residuals"`
	Answers       []Answers       `json:"answers"`
	// ZH and ZL are the paths of the first trajectory's states [T*D], from the initial state on, whose place is 0.
	ZH Path `json:"pathZH"`
	ZL Path `json:"pathZL,omitzero"`
	// Attention is that of each layer that was asked for, at the last place of the first trajectory where its module has its turn.
	Attention []Attention `json:"-"`
}

// Examples are what a model is to reason about: count of them, by number.
type Examples struct {
	Count int
	Read  func(i int) (b loop.Batch)
}

// Observe lets a network reason about examples, each for a number of segments, and measures its states: for the participation ratio
// the vectors [D] of every position after every update, zL after each low-level step and zH after each cycle. The paper does not say
// which states it takes; these are all there are. tell, if not nil, hears how many examples are done.
func Observe(ctx context.Context, n *loop.Network, seqLen, segments int, e Examples, attention []model.AttentionLayer, tell func(done int)) (o *Observation, err error) {
	tracer, err := loop.NewTracer(n, seqLen, model.TraceOptions{States: true, Attention: attention})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tracer.Close()) }()
	zH, zL, err := tracer.Initial()
	if err != nil {
		return nil, err
	}
	hidden := int(n.Model.Spec.HiddenSize)
	w := &observer{initialH: zH, initialL: zL, h: NewSpread(hidden), spec: n.Model}
	if len(n.Model.States()) > 1 {
		w.l = NewSpread(hidden)
	}
	w.seen.Attention = make([]Attention, len(attention))
	for i := range e.Count {
		if err := w.reason(ctx, tracer, e.Read(i), segments, i == 0); err != nil {
			return nil, fmt.Errorf("example %d of %d: %w", i+1, e.Count, err)
		}
		if done := i + 1; slices.Contains(counts(e.Count), done) {
			w.seen.Participation = append(w.seen.Participation, w.participation(done))
		}
		if tell != nil {
			tell(i + 1)
		}
	}
	return w.result(e.Count)
}

// counts are the numbers of trajectories at which the participation ratio is taken: 1, 2, 5, 10, 20, 50, …, and all.
func counts(all int) (list []int) {
	for power := 1; power <= all; power *= 10 {
		for _, digit := range []int{1, 2, 5} {
			if n := digit * power; n < all {
				list = append(list, n)
			}
		}
	}
	return append(list, all)
}

// observer sums up.
type observer struct {
	initialH, initialL []float32
	// l is nil of a model of one state.
	h, l *Spread
	spec *model.Model

	seen Observation
	// pathH and pathL are the states of the first trajectory.
	pathH, pathL     [][]float32
	placesH, placesL []Place
}

// reason lets the model reason about one example.
func (w *observer) reason(ctx context.Context, tracer *loop.Tracer, b loop.Batch, segments int, first bool) error {
	zH, zL, answer, at := w.initialH, w.initialL, b.Inputs, 0
	if first {
		w.pathH, w.pathL, w.placesH, w.placesL = [][]float32{zH}, [][]float32{zL}, []Place{{}}, []Place{{}}
	}
	return tracer.Trace(ctx, b, segments, func(m loop.Moment) error {
		if at == len(w.seen.Residuals) {
			place := Place{m.Segment, m.Cycle, m.Step}
			w.seen.Residuals = append(w.seen.Residuals, Update{Place: place})
			w.seen.Answers = append(w.seen.Answers, Answers{Place: place})
		}
		update := &w.seen.Residuals[at]
		if w.l != nil {
			add(&update.ZL, Residual(zL, m.ZL))
			w.l.Add(m.ZL)
			zL = m.ZL
			if first {
				w.pathL, w.placesL = append(w.pathL, zL), append(w.placesL, update.Place)
			}
		}
		if m.ZH != nil {
			add(&update.ZH, Residual(zH, m.ZH))
			w.h.Add(m.ZH)
			zH = m.ZH
			if first {
				w.pathH, w.placesH = append(w.pathH, zH), append(w.placesH, update.Place)
			}
		}
		for layer, qkv := range m.QKV {
			if first && qkv != nil {
				w.seen.Attention[layer] = AttentionOf(qkv, w.spec.Positions(), int(w.spec.Spec.NumHeads), w.spec.RoPETheta())
			}
		}
		w.seen.Answers[at].add(b, answer, m)
		answer = m.Answer
		at++
		return nil
	})
}

// add sums up what not every place has.
func add(sum **float64, x float64) {
	if *sum == nil {
		*sum = new(float64)
	}
	**sum += x
}

func (w *observer) participation(trajectories int) Participation {
	p := Participation{Trajectories: trajectories, ZH: w.h.Participation()}
	if w.l != nil {
		p.ZL = new(w.l.Participation())
	}
	return p
}

// add counts the answer of one example.
func (a *Answers) add(b loop.Batch, before []int32, m loop.Moment) {
	labelled, right := loop.Prediction{Labels: b.Labels, Answer: m.Answer}.Tokens()
	if labelled > 0 {
		a.Tokens += float64(right) / float64(labelled)
		if right == labelled {
			a.Exact++
		}
	}
	for i, token := range m.Answer {
		if token != before[i] {
			a.Changed++
		}
	}
	for _, p := range m.Confidence {
		a.Confidence += float64(p) / float64(len(m.Confidence))
	}
}

// result turns sums into means, and projects the paths.
func (w *observer) result(count int) (*Observation, error) {
	o, n := &w.seen, float64(count)
	o.Trajectories = count
	for i := range o.Residuals {
		for _, sum := range []*float64{o.Residuals[i].ZL, o.Residuals[i].ZH} {
			if sum != nil {
				*sum /= n
			}
		}
		a := &o.Answers[i]
		a.Exact, a.Tokens, a.Changed, a.Confidence = a.Exact/n, a.Tokens/n, a.Changed/n, a.Confidence/n
	}
	var err error
	if o.ZH, err = pathOf(w.pathH, w.placesH); err != nil {
		return nil, fmt.Errorf("path of zH: %w", err)
	}
	if w.l == nil {
		return o, nil
	}
	if o.ZL, err = pathOf(w.pathL, w.placesL); err != nil {
		return nil, fmt.Errorf("path of zL: %w", err)
	}
	return o, nil
}

func pathOf(states [][]float32, places []Place) (Path, error) {
	p, err := Project(states, 2)
	if err != nil {
		return Path{}, err
	}
	path := Path{Places: places, Shares: p.Shares}
	for _, point := range p.Points {
		path.Points = append(path.Points, [2]float64{point[0], point[1]})
	}
	return path, nil
}
