package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/analysis"
	"github.com/hrm-operator/hrm-operator/trainer/report"
)

// pictures draws everything: the contents of files by their names.
func (r *analysisReport) pictures() (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, chart := range r.charts() {
		if !chart.Empty() {
			files[name+".svg"] = []byte(chart.StandaloneSVG())
		}
	}
	for i, seen := range r.Trained.Attention {
		var picture bytes.Buffer
		if err := report.WriteHeatmaps(&picture, seen.Heads, seen.Positions); err != nil {
			return nil, fmt.Errorf("draw the attention of %s: %w", r.Attention[i].Layer, err)
		}
		files["attention-"+strings.ToLower(r.Attention[i].Layer)+".png"] = picture.Bytes()
	}
	return files, nil
}

// charts are the pictures by the names of their files.
func (r *analysisReport) charts() map[string]*report.Chart {
	list := map[string]*report.Chart{
		"participation": {Title: "Participation ratio", X: "trajectories", Y: "participation ratio"},
		"residual":      {Title: "Forward residual", X: "low-level step", Y: "‖z(t+1) − z(t)‖"},
		"answers":       {Title: "Answers decoded", X: "low-level step", Percent: true},
		"halting":       {Title: "Segments used", X: r.Difficulty, Y: "segments"},
		"path-zh":       pathChart(r.states("")[0], r.Trained.ZH),
		"path-zl":       pathChart("zL", r.Trained.ZL),
	}
	addParticipation(list["participation"], r.states("trained "), r.Trained, 0)
	if r.Untrained != nil {
		addParticipation(list["participation"], r.states("untrained "), r.Untrained, 1)
	}
	names := r.states("")
	zL, zH := report.Series{Name: "zL"}, report.Series{Name: names[0], Colour: 1, Dots: true}
	exact, tokens, sure := report.Series{Name: "examples wholly right"}, report.Series{Name: "tokens right", Colour: 1}, report.Series{Name: "confidence", Colour: 2, Dash: 1}
	for i, u := range r.Trained.Residuals {
		x := float64(i + 1)
		if u.ZL != nil {
			add(&zL, x, *u.ZL)
		}
		if u.ZH != nil {
			add(&zH, x, *u.ZH)
		}
		a := r.Trained.Answers[i]
		add(&exact, x, a.Exact)
		add(&tokens, x, a.Tokens)
		add(&sure, x, a.Confidence)
	}
	list["residual"].Series = []report.Series{zL, zH}
	list["answers"].Series = []report.Series{exact, tokens, sure}
	used := report.Series{Name: "segments used", Dots: true}
	for _, b := range r.Halting {
		add(&used, float64(b.From), b.MeanSegments)
	}
	list["halting"].Series = []report.Series{used}
	return list
}

func add(s *report.Series, x, y float64) { s.X, s.Y = append(s.X, x), append(s.Y, y) }

func addParticipation(c *report.Chart, names []string, o *analysis.Observation, dash int) {
	h, l := report.Series{Name: names[0], Dash: dash, Colour: 1, Dots: true}, report.Series{Name: names[len(names)-1], Dash: dash, Dots: true}
	for _, p := range o.Participation {
		add(&h, float64(p.Trajectories), p.ZH)
		if p.ZL != nil {
			add(&l, float64(p.Trajectories), *p.ZL)
		}
	}
	c.Series = append(c.Series, h, l)
}

// pathChart draws a state's way, a colour for each segment, each beginning where the one before ended.
func pathChart(name string, p analysis.Path) *report.Chart {
	c := &report.Chart{Title: "Path of " + name, Y: "second component", X: "first component"}
	if len(p.Shares) > 1 {
		c.X = fmt.Sprintf("first component (%.0f %% of the variance)", 100*p.Shares[0])
		c.Y = fmt.Sprintf("second (%.0f %%)", 100*p.Shares[1])
	}
	for i := 1; i < len(p.Points); i++ {
		segment := p.Places[i].Segment
		if segment > len(c.Series) {
			s := report.Series{Name: fmt.Sprintf("segment %d", segment), Colour: segment - 1, Dots: true}
			add(&s, p.Points[i-1][0], p.Points[i-1][1])
			c.Series = append(c.Series, s)
		}
		add(&c.Series[segment-1], p.Points[i][0], p.Points[i][1])
	}
	return c
}
