package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
)

// evalReport is all that an evaluation found out.
type evalReport struct {
	Checkpoint string `json:"checkpoint"`
	Task       string `json:"task"`
	Split      string `json:"split"`
	// Examples are those that were measured, Of those that were asked for.
	Examples int `json:"examples"`
	Of       int `json:"of"`
	// Stopped says why Examples are fewer than Of: "time budget" or "interrupted".
	Stopped           string  `json:"stopped,omitempty"`
	Seconds           float64 `json:"seconds"`
	ExamplesPerSecond float64 `json:"examplesPerSecond"`

	// The main figures are those of the largest number of segments or, with ACT, of the answers that examples halted with.
	evalPart
	ByRating []bandReport `json:"byRating,omitempty"`
	ACT      *actReport   `json:"act,omitempty"`
	// Scaling has a part for each number of segments, if there were several.
	Scaling []evalPart `json:"scaling,omitempty"`
}

// evalPart is what the answers after a number of segments come to. Segments is a mean where examples halt by themselves.
type evalPart struct {
	Segments float64 `json:"segments"`
	// Measured is the number of examples: where an evaluation was stopped, fewer came to many segments than to few.
	Measured      int           `json:"measured"`
	ExactAccuracy float64       `json:"exactAccuracy"`
	TokenAccuracy float64       `json:"tokenAccuracy"`
	Scores        []scoreReport `json:"scores,omitempty"`
}

// actReport says how examples halted.
type actReport struct {
	MaxSegments  int     `json:"maxSegments"`
	MeanSegments float64 `json:"meanSegments"`
	// Halted counts the examples that halted after 1, 2, … segments.
	Halted []int64 `json:"halted"`
}

func (f *figures) part(segments float64) evalPart {
	v := f.tally.Evaluation()
	return evalPart{segments, v.Examples, v.Exact, v.Accuracy, f.scores()}
}

// report sums up what has been measured.
func (v *evalRun) report(interrupted bool) evalReport {
	main := v.main()
	r := evalReport{
		Checkpoint: v.model.ref, Task: string(v.data.task), Split: v.flags.split,
		Examples: main.tally.Evaluation().Examples, Of: len(v.examples), Seconds: round(v.took.Seconds(), 1000), ByRating: main.byRating(),
	}
	switch {
	case interrupted:
		r.Stopped = "interrupted"
	case v.progress.done < len(v.examples):
		r.Stopped = "time budget"
	}
	if s := v.took.Seconds(); s > 0 {
		r.ExamplesPerSecond = round(float64(r.Examples)/s, 100)
	}
	for i, count := range v.counts {
		r.Scaling = append(r.Scaling, v.at[i].part(float64(count)))
	}
	if v.act > 0 {
		r.ACT = v.actReport()
		r.evalPart = main.part(r.ACT.MeanSegments)
	} else {
		r.evalPart = r.Scaling[len(r.Scaling)-1]
	}
	if len(r.Scaling) == 1 {
		r.Scaling = nil
	}
	return r
}

func (v *evalRun) actReport() *actReport {
	r := &actReport{MaxSegments: v.act, Halted: v.used[1:]}
	var examples, segments int64
	for n, count := range v.used {
		examples, segments = examples+count, segments+int64(n)*count
	}
	if examples > 0 {
		r.MeanSegments = round(float64(segments)/float64(examples), 1e4)
	}
	return r
}

// text is the report for people.
func (r evalReport) text() string {
	var s strings.Builder
	kind := "held-out"
	if r.Split == dataset.Train {
		kind = "training"
	}
	segments := fmt.Sprintf("%g segments", r.Segments)
	if r.ACT != nil {
		segments = fmt.Sprintf("%.2f segments on average, at most %d", r.ACT.MeanSegments, r.ACT.MaxSegments)
	}
	fmt.Fprintf(&s, "%s: exact %.2f %%, tokens %.2f %%, of %d %s examples, %s, in %.1f s\n",
		r.Checkpoint, 100*r.ExactAccuracy, 100*r.TokenAccuracy, r.Examples, kind, segments, r.Seconds)
	s.WriteString(r.stopText())
	for _, score := range r.Scores {
		fmt.Fprintf(&s, "%s %.2f %% of %d\n", score.Name, 100*score.Value, score.Of)
	}
	s.WriteString(r.bandTable())
	s.WriteString(r.scalingTable())
	return s.String()
}

// stopText says over what the figures are if not over all examples.
func (r evalReport) stopText() string {
	switch {
	case r.Stopped == "":
		return ""
	case r.Stopped == "interrupted" && r.ACT != nil:
		return fmt.Sprintf("interrupted: %d of %d examples; those in work are left out, the ones that take longest among them\n", r.Examples, r.Of)
	}
	return fmt.Sprintf("stopped (%s): %d of %d examples\n", r.Stopped, r.Examples, r.Of)
}

// table aligns rows of cells to the right, under their headings.
func table(rows [][]string) string {
	var s strings.Builder
	w := tabwriter.NewWriter(&s, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		// Errors of a strings.Builder do not exist.
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
	}
	_ = w.Flush()
	return s.String()
}

func percent(x float64) string { return fmt.Sprintf("%.2f %%", 100*x) }

func (r evalReport) bandTable() string {
	rows := r.bandRows()
	if len(rows) == 0 {
		return ""
	}
	return "\n" + table(rows)
}

// bandRows are the figures by rating under their headings; none if nothing is rated.
func (r evalReport) bandRows() [][]string {
	if len(r.ByRating) == 0 {
		return nil
	}
	rows := [][]string{{"rating", "examples", "exact", "tokens"}}
	for _, b := range r.ByRating {
		rows = append(rows, []string{b.name(), fmt.Sprint(b.Examples), percent(b.ExactAccuracy), percent(b.TokenAccuracy)})
	}
	return rows
}

func (r evalReport) scalingTable() string {
	if len(r.Scaling) == 0 {
		return ""
	}
	head := []string{"segments", "examples", "exact", "tokens"}
	for _, score := range r.Scaling[0].Scores {
		head = append(head, score.Name)
	}
	rows := [][]string{head}
	line := func(name string, p evalPart) {
		row := []string{name, fmt.Sprint(p.Measured), percent(p.ExactAccuracy), percent(p.TokenAccuracy)}
		for _, score := range p.Scores {
			row = append(row, percent(score.Value))
		}
		rows = append(rows, row)
	}
	for _, p := range r.Scaling {
		line(fmt.Sprintf("%g", p.Segments), p)
	}
	if r.ACT != nil {
		line(fmt.Sprintf("halting, %.2f", r.ACT.MeanSegments), r.evalPart)
	}
	return "\n" + table(rows)
}

// clockTime renders a duration for people, to the second.
func clockTime(d time.Duration) string { return d.Round(time.Second).String() }
