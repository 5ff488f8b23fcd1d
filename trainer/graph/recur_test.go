package graph

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

const rows, positions, width, vocabulary = 2, 4, 3, 5

// recurrent is a network whose state h [B,1,D] at a position is made by step of that at the position before, and of x [B,1,D]. It returns
// a program of the loss and of the gradients of its weights, which are [D,D] but for "gate" [1,D].
func recurrent(t *testing.T, length int, step func(g *Graph, weight func(string) *gorgonia.Node, h, x *gorgonia.Node) *gorgonia.Node) *device.Program {
	t.Helper()
	g := New(1)
	weights := map[string]*gorgonia.Node{}
	weight := func(name string) *gorgonia.Node {
		if weights[name] == nil {
			out := width
			if name == "gate" {
				out = 1
			}
			weights[name] = g.Parameter(name, out, width)
		}
		return weights[name]
	}
	z := g.Input("z", Activation, length, width)
	x := g.Linear(z, weight("input"))
	h := g.Slice(z, Positions, length-1, 1)
	states := make([]*gorgonia.Node, length)
	for i := range states {
		h = step(g, weight, h, g.Slice(x, Positions, i, 1))
		states[i] = h
	}
	y := g.Join(Positions, states...)
	logits, labels := g.Linear(y, g.Parameter("head", vocabulary, width)), g.Input("labels", Int, length)
	lm := g.LMLoss(logits, labels, device.Softmax)
	q := g.QLoss(g.QHead(y, g.Parameter("q", 2, width), g.Parameter("bias", 2)), g.TokenStats(logits, labels), nil)
	var leaves []*gorgonia.Node
	for _, w := range weights {
		leaves = append(leaves, w)
	}
	results, err := g.Gradients(g.Cost(lm, q, 1), leaves...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Compile("recurrent", device.Float32, append(results, Result{"loss", lm}, Result{"loss.q", q}))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// bind gives random contents to all that a program is bound to.
func bind(t *testing.T, p *device.Program) map[string]device.Array {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	arrays := map[string]device.Array{}
	for _, v := range p.Values {
		if v.Role == device.Temporary {
			continue
		}
		a := device.NewHostArray(v.DType, v.Count(rows))
		for i := range a.Len() {
			var err error
			if v.DType == device.Int32 {
				err = device.WriteInts(a, i, []int32{random.Int32N(vocabulary)})
			} else {
				err = device.WriteFloats(a, i, []float32{float32(random.NormFloat64())})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		arrays[v.Name] = a
	}
	return arrays
}

func read(t *testing.T, a device.Array) []float32 {
	t.Helper()
	x, err := device.ReadFloats(a, 0, a.Len())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// cost runs the program and returns what Cost is of its losses.
func cost(t *testing.T, x device.Executable, arrays map[string]device.Array) float64 {
	t.Helper()
	if err := x.Run(t.Context(), rows, arrays); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, l := range read(t, arrays["loss"]) {
		q := read(t, arrays["loss.q"])[2*i : 2*i+2]
		sum += float64(l) + float64(q[0]+q[1])/2
	}
	if other, ok := arrays["loss.other"]; ok {
		for _, l := range read(t, other) {
			sum += float64(l)
		}
	}
	return sum
}

type stepFunction = func(g *Graph, weight func(string) *gorgonia.Node, h, x *gorgonia.Node) *gorgonia.Node

var recurrences = map[string]stepFunction{
	"tanh": func(g *Graph, w func(string) *gorgonia.Node, h, x *gorgonia.Node) *gorgonia.Node {
		return g.Activate(device.Tanh, g.Add(x, g.Linear(h, w("state"))))
	},
	"a state that is added to a product of it": func(g *Graph, w func(string) *gorgonia.Node, h, x *gorgonia.Node) *gorgonia.Node {
		return g.Add(h, g.Linear(h, w("state")), x)
	},
	"a state twice in a sum of products": func(g *Graph, w func(string) *gorgonia.Node, h, x *gorgonia.Node) *gorgonia.Node {
		y := g.Add(h, x)
		return g.Add(g.Linear(y, w("state")), g.Add(y, g.Linear(y, w("other"))))
	},
	"gates": func(g *Graph, w func(string) *gorgonia.Node, h, x *gorgonia.Node) *gorgonia.Node {
		s := g.Activate(device.Sigmoid, g.Linear(h, w("forget")))
		return g.Add(g.Multiply(h, s), g.Multiply(x, g.Activate(device.Tanh, x)))
	},
	"a blend": func(g *Graph, w func(string) *gorgonia.Node, h, x *gorgonia.Node) *gorgonia.Node {
		return g.Blend(g.Activate(device.Sigmoid, g.Linear(h, w("state"))), x, h)
	},
	"a blend by one number": func(g *Graph, w func(string) *gorgonia.Node, h, x *gorgonia.Node) *gorgonia.Node {
		return g.Blend(g.Activate(device.Sigmoid, g.Linear(x, w("gate"))), h, x)
	},
	"a product by one number": func(g *Graph, w func(string) *gorgonia.Node, h, x *gorgonia.Node) *gorgonia.Node {
		gate := g.Activate(device.Sigmoid, g.Linear(h, w("gate")))
		return g.Add(g.Multiply(x, gate), g.Multiply(h, gate))
	},
	"columns of their own": func(g *Graph, w func(string) *gorgonia.Node, h, x *gorgonia.Node) *gorgonia.Node {
		fast := g.Activate(device.Tanh, g.Add(g.Slice(x, Columns, 0, 1), g.Linear(h, w("gate"))))
		return g.Join(Columns, fast, g.Slice(h, Columns, 1, 1), g.Slice(g.Linear(h, w("state")), Columns, 2, 1))
	},
}

// checkGradients compares a program's gradients with differences of its cost.
func checkGradients(t *testing.T, p *device.Program) {
	t.Helper()
	arrays := bind(t, p)
	x, err := reference.New().Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	cost(t, x, arrays)
	for _, v := range p.Values {
		if v.Role != device.Gradient {
			continue
		}
		weight, gradient := arrays[v.Name[len("grad/"):]], read(t, arrays[v.Name])
		for i, w := range read(t, weight) {
			const step = 1e-2
			at := func(value float32) float64 {
				if err := device.WriteFloats(weight, i, []float32{value}); err != nil {
					t.Fatal(err)
				}
				return cost(t, x, arrays)
			}
			want := (at(w+step) - at(w-step)) / (2 * step)
			at(w)
			if math.Abs(float64(gradient[i])-want) > 5e-3*(1+math.Abs(want)) {
				t.Errorf("%s[%d] is %g, differences say %g", v.Name, i, gradient[i], want)
			}
		}
	}
}

// The gradient of a recurrence through all positions is what differences of the cost say.
func TestGradients_goBackThroughPositions(t *testing.T) {
	for name, step := range recurrences {
		t.Run(name, func(t *testing.T) { checkGradients(t, recurrent(t, positions, step)) })
	}
}

// recalling is a recurrence whose state sees all states before it so many times.
func recalling(length, times int) stepFunction {
	var past *gorgonia.Node
	i := 0
	return func(g *Graph, w func(string) *gorgonia.Node, h, x *gorgonia.Node) *gorgonia.Node {
		slow := g.Add(x, g.Linear(h, w("state")))
		next := g.Activate(device.Tanh, slow)
		for range times {
			if i > 0 {
				next = g.Activate(device.Tanh, g.Add(slow, g.Recall(past, next, i, 0.5, 0.75)))
			}
		}
		past = g.Append(past, next, i, length)
		i++
		return next
	}
}

func TestGradients_goBackToWhatIsRecalled(t *testing.T) {
	for _, times := range []int{1, 2} {
		checkGradients(t, recurrent(t, positions, recalling(positions, times)))
	}
}

// However long the past is, it is one value, and so is its gradient.
func TestCompile_keepsThePastInOnePlace(t *testing.T) {
	const length = 50
	pasts, gradients := map[int]bool{}, map[int]bool{}
	added := 0
	for _, ins := range recurrent(t, length, recalling(length, 1)).Instructions {
		switch ins.Op {
		case device.OpAppend:
			pasts[ins.Out] = true
		case device.OpRecallGradPast:
			gradients[ins.Out] = true
			if ins.Attr.Accumulate {
				added++
			}
		}
	}
	if len(pasts) != 1 || len(gradients) != 1 || added != length-2 {
		t.Errorf("the past is %d values, its gradient %d, to which %d recalls add, want 1, 1 and %d", len(pasts), len(gradients), added, length-2)
	}
}

// What is minimized besides counts as much as the loss of the tokens, whose place one of them takes here.
func TestCost_countsOtherLosses(t *testing.T) {
	for name, order := range map[string]func(a, b *gorgonia.Node) (first, other *gorgonia.Node){
		"the error":      func(a, b *gorgonia.Node) (first, other *gorgonia.Node) { return a, b },
		"the prediction": func(a, b *gorgonia.Node) (first, other *gorgonia.Node) { return b, a },
	} {
		t.Run(name, func(t *testing.T) {
			g := New(1)
			x, w := g.Input("x", Activation, positions, width), g.Parameter("w", width, width)
			y := g.Linear(x, w)
			logits, tokens := g.Linear(y, g.Parameter("head", vocabulary, width)), g.Input("labels", Int, positions)
			q := g.QLoss(g.QHead(y, g.Parameter("q", 2, width), g.Parameter("bias", 2)), g.TokenStats(logits, tokens), nil)
			first, other := order(g.SquaredError(y, x), g.LMLoss(logits, g.NextTokens(tokens, nil, 0), device.Softmax))
			results, err := g.Gradients(g.Cost(first, q, 1, other), w)
			if err != nil {
				t.Fatal(err)
			}
			p, err := g.Compile("costs", device.Float32, append(results, Result{"loss", first}, Result{"loss.q", q}, Result{"loss.other", other}))
			if err != nil {
				t.Fatal(err)
			}
			checkGradients(t, p)
		})
	}
}

// However many slices a value has, its gradient is made in one place, to which each of them adds its part.
func TestCompile_addsGradientsOfSlicesInPlace(t *testing.T) {
	const length = 50
	count := func(length int) (whole, parts, sums int) {
		for _, ins := range recurrent(t, length, recurrences["tanh"]).Instructions {
			switch {
			case ins.Op == device.OpSliceGrad && ins.Attr.Accumulate:
				parts++
			case ins.Op == device.OpSliceGrad:
				whole++
			case ins.Op == device.OpAdd:
				sums++
			}
		}
		return whole, parts, sums
	}
	whole, parts, sums := count(length)
	if whole != 1 || parts != length-1 {
		t.Errorf("%d gradients of slices are values of their own and %d add to another one, want 1 and %d", whole, parts, length-1)
	}
	// The sums are those of the recurrence itself.
	if sums != length {
		t.Errorf("there are %d sums, want %d", sums, length)
	}
}

func TestSliceAndJoin_refuseWhatDoesNotFit(t *testing.T) {
	for name, build := range map[string]func(g *Graph, x *gorgonia.Node) *gorgonia.Node{
		"a slice beyond the end":       func(g *Graph, x *gorgonia.Node) *gorgonia.Node { return g.Slice(x, Positions, 3, 2) },
		"a slice before the beginning": func(g *Graph, x *gorgonia.Node) *gorgonia.Node { return g.Slice(x, Columns, -1, 2) },
		"a slice of nothing":           func(g *Graph, x *gorgonia.Node) *gorgonia.Node { return g.Slice(x, Columns, 1, 0) },
		"positions of different widths": func(g *Graph, x *gorgonia.Node) *gorgonia.Node {
			return g.Join(Positions, x, g.Slice(x, Columns, 0, 2))
		},
		"a weight of some of the columns":   func(g *Graph, x *gorgonia.Node) *gorgonia.Node { return g.Multiply(x, g.Slice(x, Columns, 0, 2)) },
		"a weight of some of the positions": func(g *Graph, x *gorgonia.Node) *gorgonia.Node { return g.Blend(g.Slice(x, Positions, 0, 2), x, x) },
	} {
		g := New(1)
		if build(g, g.Input("x", Activation, positions, width)); g.Err() == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

// Gorgonia takes two sums for one if their hashes are equal. Here one is said to have another term than it has.
func TestGradients_noticeASumOfOtherTerms(t *testing.T) {
	g := New(1)
	x := g.Input("x", Activation, positions, width)
	y := g.Add(g.Activate(device.Tanh, x), g.Activate(device.Sigmoid, x), x)
	logits, labels := g.Linear(y, g.Parameter("head", vocabulary, width)), g.Input("labels", Int, positions)
	q := g.QLoss(g.QHead(y, g.Parameter("q", 2, width), g.Parameter("bias", 2)), g.TokenStats(logits, labels), nil)
	if _, err := g.Gradients(g.Cost(g.LMLoss(logits, labels, device.Softmax), q, 1), x); err != nil {
		t.Fatal(err)
	}
	for i, term := range g.terms[x] {
		g.terms[x][i] = x
		if err := g.checkSums(); !errors.Is(err, ErrMerged) {
			t.Errorf("another term %d is no error", i)
		}
		g.terms[x][i] = term
	}
	if err := g.checkSums(); err != nil {
		t.Error(err)
	}
}
