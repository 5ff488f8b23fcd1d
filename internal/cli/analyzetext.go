package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/analysis"
	"github.com/hrm-operator/hrm-operator/trainer/report"
)

// text is the report for people.
func (r *analysisReport) text() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s: %s of %s, %s each, hidden size %d, %d positions, in %.1f s\n",
		r.Checkpoint, plural(int32(r.Trained.Trajectories), "puzzle"), r.Split, plural(int32(r.Segments), "segment"), r.HiddenSize, r.Positions, r.Seconds)
	for _, part := range []struct {
		title string
		rows  [][]string
	}{
		{"Participation ratio, by number of trajectories", r.participationRows()},
		{"Forward residual of each update, and the answers decoded after it (means)", r.stepRows()},
		{"Segments used by examples that halt by themselves, by " + r.Difficulty, r.haltingRows()},
		{"Attention of the first trajectory at its last step", r.attentionRows()},
	} {
		if len(part.rows) > 1 {
			fmt.Fprintf(&s, "\n%s\n%s", part.title, table(part.rows))
		}
	}
	for _, note := range r.notes {
		fmt.Fprintf(&s, "\n%s\n", note)
	}
	return s.String()
}

func (r *analysisReport) participationRows() [][]string {
	rows := [][]string{{"trajectories", "zH", "zL"}}
	if r.Untrained != nil {
		rows[0] = append(rows[0], "untrained zH", "untrained zL")
	}
	for i, p := range r.Trained.Participation {
		row := []string{fmt.Sprint(p.Trajectories), fmt.Sprintf("%.2f", p.ZH), fmt.Sprintf("%.2f", p.ZL)}
		if r.Untrained != nil {
			u := r.Untrained.Participation[i]
			row = append(row, fmt.Sprintf("%.2f", u.ZH), fmt.Sprintf("%.2f", u.ZL))
		}
		rows = append(rows, row)
	}
	return rows
}

func (r *analysisReport) stepRows() [][]string {
	rows := [][]string{{"segment", "cycle", "step", "|dzL|", "|dzH|", "exact", "tokens", "changed", "sure"}}
	for i, u := range r.Trained.Residuals {
		a, high := r.Trained.Answers[i], ""
		if u.ZH != nil {
			high = fmt.Sprintf("%.3g", *u.ZH)
		}
		rows = append(rows, []string{
			fmt.Sprint(u.Segment), fmt.Sprint(u.Cycle), fmt.Sprint(u.Step), fmt.Sprintf("%.3g", u.ZL), high,
			percent(a.Exact), percent(a.Tokens), fmt.Sprintf("%.1f", a.Changed), percent(a.Confidence),
		})
	}
	return rows
}

func (r *analysisReport) haltingRows() [][]string {
	rows := [][]string{{r.Difficulty, "examples", "segments", "exact"}}
	for _, b := range r.Halting {
		rows = append(rows, []string{b.name(), fmt.Sprint(b.Examples), fmt.Sprintf("%.2f", b.MeanSegments), percent(b.ExactAccuracy)})
	}
	return rows
}

func (r *analysisReport) attentionRows() [][]string {
	rows := [][]string{{"layer", "head", "entropy, bits"}}
	if r.Attention == nil {
		return rows
	}
	for head, bits := range r.Attention.Entropies {
		rows = append(rows, []string{r.Attention.Layer, fmt.Sprint(head + 1), fmt.Sprintf("%.2f", bits)})
	}
	return rows
}

// draw writes the pictures.
func (r *analysisReport) draw(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usageError{fmt.Errorf("--pictures: %w", err)}
	}
	for name, chart := range r.charts() {
		if chart.Empty() {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name+".svg"), []byte(chart.StandaloneSVG()), 0o644); err != nil {
			return usageError{fmt.Errorf("--pictures: %w", err)}
		}
	}
	if r.Trained.Attention == nil {
		return nil
	}
	f, err := os.Create(filepath.Join(dir, "attention.png"))
	if err != nil {
		return usageError{fmt.Errorf("--pictures: %w", err)}
	}
	defer func() { _ = f.Close() }()
	return report.WriteHeatmaps(f, r.Trained.Attention.Heads, r.Trained.Attention.Positions)
}

// charts are the pictures by the names of their files.
func (r *analysisReport) charts() map[string]*report.Chart {
	list := map[string]*report.Chart{
		"participation": {Title: "Participation ratio", X: "trajectories", Y: "participation ratio"},
		"residual":      {Title: "Forward residual", X: "low-level step", Y: "‖z(t+1) − z(t)‖"},
		"answers":       {Title: "Answers decoded", X: "low-level step", Percent: true},
		"halting":       {Title: "Segments used", X: r.Difficulty, Y: "segments"},
		"path-zh":       pathChart("zH", r.Trained.ZH),
		"path-zl":       pathChart("zL", r.Trained.ZL),
	}
	addParticipation(list["participation"], "trained", r.Trained, 0)
	if r.Untrained != nil {
		addParticipation(list["participation"], "untrained", r.Untrained, 1)
	}
	zL, zH := report.Series{Name: "zL"}, report.Series{Name: "zH", Colour: 1, Dots: true}
	exact, tokens, sure := report.Series{Name: "examples wholly right"}, report.Series{Name: "tokens right", Colour: 1}, report.Series{Name: "confidence", Colour: 2, Dash: 1}
	for i, u := range r.Trained.Residuals {
		x := float64(i + 1)
		add(&zL, x, u.ZL)
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

func addParticipation(c *report.Chart, name string, o *analysis.Observation, dash int) {
	h, l := report.Series{Name: name + " zH", Dash: dash, Colour: 1, Dots: true}, report.Series{Name: name + " zL", Dash: dash, Dots: true}
	for _, p := range o.Participation {
		add(&h, float64(p.Trajectories), p.ZH)
		add(&l, float64(p.Trajectories), p.ZL)
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
