package report

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTicks(t *testing.T) {
	for name, row := range map[string]struct {
		lo, hi float64
		n      int
		want   []float64
	}{
		"shares":         {0, 1, 5, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		"odd ends":       {3, 47, 5, []float64{0, 10, 20, 30, 40, 50}},
		"below zero":     {-1, 1, 4, []float64{-1, -0.5, 0, 0.5, 1}},
		"steps":          {0, 26041, 6, []float64{0, 5000, 10000, 15000, 20000, 25000, 30000}},
		"nothing at all": {0, 0, 2, []float64{-1e-9, 0, 1e-9}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ticks(row.lo, row.hi, row.n)
			if !slices.EqualFunc(got, row.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func TestSeries_thin(t *testing.T) {
	s := Series{X: []float64{0, 1, 2, 3, 4}, Y: []float64{0, 2, 4, 6, 8}}
	if got := s.thin(2); !slices.Equal(got.X, []float64{0.5, 3}) || !slices.Equal(got.Y, []float64{1, 6}) {
		t.Errorf("got %v, %v", got.X, got.Y)
	}
	if got := s.thin(5); !slices.Equal(got.X, s.X) {
		t.Errorf("few points become %v", got.X)
	}
}

func TestCompact(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.1 + 0.2: "0.3", 999: "999", 1000: "1k", 1500: "1500", 26041: "26.04k", 2e6: "2M", 1e-4: "0.0001"} {
		if got := compact(v); got != want {
			t.Errorf("%g is %q, want %q", v, got, want)
		}
	}
}

// Whatever the curves are, the chart is well-formed, and it says in words what it shows.
func TestChart_drawsAnything(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	long := Series{Name: "long"}
	for i := range 10_000 {
		long.X, long.Y = append(long.X, float64(i)), append(long.Y, math.Sin(float64(i)/100))
	}
	for name, series := range map[string][]Series{
		"none": nil, "empty": {{Name: "a"}}, "a point": {{Name: "a", X: []float64{3}, Y: []float64{4}}},
		"a constant": {{Name: "a", X: []float64{1, 2}, Y: []float64{0, 0}}}, "gaps": {{Name: "a", X: []float64{1, 2, 3, 4}, Y: []float64{1, nan, inf, 2}}},
		"names that are markup": {{Name: `<b>&"`, X: []float64{1}, Y: []float64{1}}, {Name: "</svg>", X: []float64{1}, Y: []float64{1}}},
		"many":                  {long, long, long, long, long, long, long, long}, "more values than places": {{Name: "a", X: []float64{1}, Y: []float64{1, 2, 3}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := Chart{Title: "T & T", X: "step", Y: "loss", Series: series}
			svg := c.StandaloneSVG()
			wellFormed(t, svg)
			if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || len(svg) > 200_000 {
				t.Errorf("%d bytes: %.2000s", len(svg), svg)
			}
		})
	}
}

func TestChart_tellsItselfInWordsAndNumbers(t *testing.T) {
	c := Chart{Title: "Exact", X: "step", Percent: true, Series: []Series{
		{Name: "training", X: []float64{10, 20, 30}, Y: []float64{0.25, 0.75, 0.5}}, {Name: "held out", X: []float64{30}, Y: []float64{0.125}}, {Name: "none"},
	}}
	const want = "Exact, over step. training: from 25.00 % at 10 to 50.00 % at 30, between 25.00 % and 75.00 %. held out: from 12.50 % at 30 to 12.50 % at 30, between 12.50 % and 12.50 %."
	if got := c.Describe(); got != want {
		t.Errorf("got %q", got)
	}
	table := Table{Title: "Exact", Head: []string{"step", "training", "held out"}, Rows: [][]string{{"10", "25.00 %", "–"}, {"30", "50.00 %", "12.50 %"}}}
	if diff := cmp.Diff(table, c.Table(2)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
