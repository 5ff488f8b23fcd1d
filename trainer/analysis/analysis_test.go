package analysis

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
	"github.com/hrm-operator/hrm-operator/trainer/graph"
)

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func TestParticipation(t *testing.T) {
	for name, row := range map[string]struct {
		dim     int
		vectors []float32
		want    float64
	}{
		// Two eigenvalues of 1/2.
		"a circle": {2, []float32{1, 0, -1, 0, 0, 1, 0, -1}, 2},
		// The mean is no variance.
		"a circle elsewhere": {2, []float32{11, 7, 9, 7, 10, 8, 10, 6}, 2},
		"a line":             {3, []float32{1, 2, 3, 2, 4, 6, -1, -2, -3}, 1},
		// Eigenvalues 2 and 1/2: (5/2)² / (4 + 1/4) = 25/17.
		"an ellipse": {2, []float32{2, 0, -2, 0, 0, 1, 0, -1}, 25. / 17},
		"a point":    {2, []float32{3, 4, 3, 4}, 0},
		"nothing":    {2, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSpread(row.dim)
			half := len(row.vectors) / row.dim / 2 * row.dim
			s.Add(row.vectors[:half])
			s.Add(row.vectors[half:])
			if got := s.Participation(); !near(got, row.want, 1e-9) {
				t.Errorf("got %g, want %g", got, row.want)
			}
		})
	}
}

func TestResidual(t *testing.T) {
	if got := Residual([]float32{1, 1, 1}, []float32{1, 4, 5}); got != 5 {
		t.Errorf("got %g, want 5", got)
	}
}

// Points on a line of length 10 in 5 dimensions, with a bend of 1 to the side: centred, (-5,-1/2), (0,1), (5,-1/2).
func TestProject(t *testing.T) {
	p, err := Project([][]float32{{0, 0, 0, 0, 7}, {3, 4, 1.5, 0, 7}, {6, 8, 0, 0, 7}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	// Along the line 25 + 0 + 25, across it 1/4 + 1 + 1/4.
	if !near(p.Shares[0], 50/51.5, 1e-9) || !near(p.Shares[1], 1.5/51.5, 1e-9) {
		t.Errorf("shares %v", p.Shares)
	}
	for i, want := range [][2]float64{{-5, 0.5}, {0, -1}, {5, 0.5}} {
		if !near(p.Points[i][0], want[0], 1e-9) || !near(p.Points[i][1], want[1], 1e-9) {
			t.Errorf("point %d is %v, want %v", i, p.Points[i], want)
		}
	}
	if p, err := Project([][]float32{{1, 2}, {1, 2}}, 2); err != nil || p.Shares[0] != 0 {
		t.Errorf("of one place: %+v, %v", p, err)
	}
	if _, err := Project([][]float32{{1, 2}}, 2); err == nil {
		t.Error("one point has directions")
	}
}

func TestCounts(t *testing.T) {
	for all, want := range map[int][]int{1: {1}, 2: {1, 2}, 7: {1, 2, 5, 7}, 100: {1, 2, 5, 10, 20, 50, 100}} {
		if got := counts(all); !slices.Equal(got, want) {
			t.Errorf("up to %d: %v, want %v", all, got, want)
		}
	}
}

// The weights, times the values, are what a device computes without them.
func TestAttentionOf_isWhatDevicesCompute(t *testing.T) {
	const positions, hidden, heads = 5, 8, 2
	for _, theta := range []float64{0, 10000} {
		g := graph.New(1)
		out := g.Attention(g.Input("qkv", graph.Activation, positions, 3*hidden), heads, theta)
		program, err := g.Compile("attention", device.Float32, []graph.Result{{Name: "out", Node: out}})
		if err != nil {
			t.Fatal(err)
		}
		qkv := make([]float32, positions*3*hidden)
		for i := range qkv {
			qkv[i] = float32(math.Sin(float64(3 * i)))
		}
		want := runAttention(t, program, qkv)
		a := AttentionOf(qkv, positions, heads, theta)
		for at := range positions {
			for d := range hidden {
				sum, row := 0.0, a.Heads[d/(hidden/heads)][at*positions:(at+1)*positions]
				for k, w := range row {
					sum += float64(w) * float64(qkv[k*3*hidden+2*hidden+d])
				}
				if !near(sum, float64(want[at*hidden+d]), 1e-5) {
					t.Fatalf("theta %g: position %d, element %d: %g, the device says %g", theta, at, d, sum, want[at*hidden+d])
				}
			}
		}
	}
}

func runAttention(t *testing.T, p *device.Program, qkv []float32) []float32 {
	t.Helper()
	d := reference.New()
	defer d.Close()
	arrays := map[string]device.Array{}
	for _, v := range p.Values {
		if v.Role == device.Temporary {
			continue
		}
		a, err := d.NewArray(v.DType, v.Elements())
		if err != nil {
			t.Fatal(err)
		}
		arrays[v.Name] = a
	}
	if err := device.WriteFloats(arrays["qkv"], 0, qkv); err != nil {
		t.Fatal(err)
	}
	x, err := d.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Run(t.Context(), 1, arrays); err != nil {
		t.Fatal(err)
	}
	out, err := device.ReadFloats(arrays["out"], 0, arrays["out"].Len())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAttention_sumsUp(t *testing.T) {
	a := Attention{Positions: 2, Heads: [][]float32{{1, 0, 0, 1}, {0.5, 0.5, 0.5, 0.5}}}
	if a.Entropy(0) != 0 || a.Entropy(1) != 1 {
		t.Errorf("entropies %g and %g, want 0 and 1", a.Entropy(0), a.Entropy(1))
	}
	if diff := cmp.Diff([]float32{0.75, 0.25, 0.25, 0.75}, a.Mean()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
