package report

import (
	"fmt"
	"slices"
	"time"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/fieldpath"
	"github.com/hrm-operator/hrm-operator/trainer/progress"
)

// RunData is what is known of a run. What could not be had is said in Missing.
type RunData struct {
	Name string
	// Job has its defaults; nil if nothing says what it was.
	Job         *v1alpha1.HRMTrainingJob
	Records     []progress.Record
	Checkpoints []CheckpointRow
	// Evaluations are tables about the answers to held-out examples.
	Evaluations []Table
	// Analysis are charts of what the model's states do while it reasons.
	Analysis []*Chart
	Missing  []string
	Replays  []Replay
}

// CheckpointRow is a checkpoint that a run has kept.
type CheckpointRow struct {
	Name string
	Step int64
	// Time is zero if it is not known.
	Time       time.Time
	Best, Last bool
}

// NewRunPage arranges what is known of runs.
func NewRunPage(title, made string, runs []RunData) *RunPage {
	p := &RunPage{Title: title, Made: made, Facts: factsOf(runs)}
	for _, r := range runs {
		p.Runs = append(p.Runs, RunSummary{Name: r.Name, Missing: r.Missing, Replays: r.Replays})
		if s := stackOf(r); len(s.Parts) > 0 {
			p.Parts = append(p.Parts, s)
		}
	}
	for _, c := range curves {
		if chart := c.of(runs); !chart.Empty() {
			p.Charts = append(p.Charts, chart)
		}
	}
	if chart := scoresChart(runs); !chart.Empty() {
		p.Charts = append(p.Charts, chart)
	}
	for _, r := range runs {
		for _, chart := range r.Analysis {
			if len(runs) > 1 {
				chart.Title += " of " + r.Name
			}
			p.Analysis = append(p.Analysis, chart)
		}
		p.Tables = append(p.Tables, r.tables(len(runs) > 1)...)
	}
	p.Differing, p.Same = settings(runs)
	return p
}

// curve is a figure of the journal over the steps.
type curve struct {
	title, y string
	percent  bool
	lines    []curveLine
}

type curveLine struct {
	name  string
	value func(*progress.Record) *float64
	// heldOut values are few: each has a dot.
	heldOut bool
}

func positive(x float64) *float64 {
	if x <= 0 {
		return nil
	}
	return &x
}

// curves are in the order in which people look at them.
var curves = []curve{
	{"Examples wholly right", "", true, []curveLine{
		{"training", func(r *progress.Record) *float64 { return r.ExactAccuracy }, false},
		{"held out", func(r *progress.Record) *float64 { return r.EvalExactAccuracy }, true},
	}},
	{"Tokens right", "", true, []curveLine{
		{"training", func(r *progress.Record) *float64 { return r.Accuracy }, false},
		{"held out", func(r *progress.Record) *float64 { return r.EvalAccuracy }, true},
	}},
	{"Loss per example", "", false, []curveLine{
		{"all", func(r *progress.Record) *float64 { return r.Loss }, false},
		{"tokens", func(r *progress.Record) *float64 { return r.LMLoss }, false},
		{"q_halt", func(r *progress.Record) *float64 { return r.QHaltLoss }, false},
		{"q_continue", func(r *progress.Record) *float64 { return r.QContinueLoss }, false},
	}},
	{"Segments until an example halts", "", false, []curveLine{{"training", func(r *progress.Record) *float64 { return r.Steps }, false}}},
	{"Halting rightly judged", "", true, []curveLine{{"training", func(r *progress.Record) *float64 { return r.QHaltAccuracy }, false}}},
	{"Training examples per second", "", false, []curveLine{{"training", func(r *progress.Record) *float64 { return positive(r.SamplesPerSecond) }, false}}},
	{"Learning rate", "", false, []curveLine{{"training", func(r *progress.Record) *float64 { return positive(r.LearningRate) }, false}}},
}

// of draws the curve of each run. One run has a colour for each line, several have a colour each.
func (c curve) of(runs []RunData) *Chart {
	chart := &Chart{Title: c.title, X: "optimizer step", Y: c.y, Percent: c.percent}
	for i, r := range runs {
		for k, l := range c.lines {
			s := Series{Name: l.name, Colour: k, Dots: l.heldOut}
			if len(runs) > 1 {
				s.Name, s.Colour, s.Dash = r.Name+": "+l.name, i, k
			}
			for n := range r.Records {
				if v := l.value(&r.Records[n]); v != nil {
					s.X, s.Y = append(s.X, float64(r.Records[n].Step)), append(s.Y, *v)
				}
			}
			chart.Series = append(chart.Series, s)
		}
	}
	return chart
}

// scoresChart has the task's own figures.
func scoresChart(runs []RunData) *Chart {
	chart := &Chart{Title: "What the task's rules say, held out", X: "optimizer step", Percent: true}
	for i, r := range runs {
		for k, name := range scoreNames(r.Records) {
			s := Series{Name: name, Colour: k, Dots: true}
			if len(runs) > 1 {
				s.Name, s.Colour, s.Dash = r.Name+": "+name, i, k
			}
			for _, record := range r.Records {
				if v, ok := record.EvalScores[name]; ok {
					s.X, s.Y = append(s.X, float64(record.Step)), append(s.Y, v)
				}
			}
			chart.Series = append(chart.Series, s)
		}
	}
	return chart
}

func scoreNames(records []progress.Record) []string {
	names := map[string]bool{}
	for _, r := range records {
		for name := range r.EvalScores {
			names[name] = true
		}
	}
	return sortedKeys(names)
}

// stackOf sums up the seconds by part of the work.
func stackOf(r RunData) Stack {
	sums, total := map[string]float64{}, 0.0
	for _, record := range r.Records {
		for part, seconds := range record.Seconds {
			sums[part] += seconds
			total += seconds
		}
	}
	s := Stack{Name: r.Name}
	for _, part := range sortedKeys(sums) {
		share := sums[part] / total
		s.Parts = append(s.Parts, Part{part, fmt.Sprintf("%.1f s (%.1f %%)", sums[part], 100*share), share})
	}
	return s
}

// fact is a row of the first table.
type fact struct {
	name string
	of   func(*RunData) string
}

const unknown = "–"

var facts = []fact{
	{"task", func(r *RunData) string {
		if r.Job == nil {
			return unknown
		}
		return string(r.Job.Spec.Dataset.Task)
	}},
	{"last step", func(r *RunData) string {
		if step := r.lastStep(); step > 0 {
			return fmt.Sprint(step)
		}
		return unknown
	}},
	{"held-out examples wholly right, last", func(r *RunData) string { return percentOf(lastOf(r, exactOf)) }},
	{"held-out examples wholly right, best", func(r *RunData) string { return percentOf(bestOf(r, exactOf)) }},
	{"held-out tokens right, last", func(r *RunData) string {
		return percentOf(lastOf(r, func(r *progress.Record) *float64 { return r.EvalAccuracy }))
	}},
	{"loss, last", func(r *RunData) string {
		return plainOf(lastOf(r, func(r *progress.Record) *float64 { return r.Loss }))
	}},
	{"segments until halting, last", func(r *RunData) string {
		return plainOf(lastOf(r, func(r *progress.Record) *float64 { return r.Steps }))
	}},
	{"training examples per second, median", func(r *RunData) string { return plainOf(medianRate(r.Records)) }},
	{"time from first to last line of the journal", func(r *RunData) string {
		if n := len(r.Records); n > 1 {
			return r.Records[n-1].Time.Sub(r.Records[0].Time).Round(time.Second).String()
		}
		return unknown
	}},
	{"checkpoints kept", func(r *RunData) string { return fmt.Sprint(len(r.Checkpoints)) }},
}

func exactOf(r *progress.Record) *float64 { return r.EvalExactAccuracy }

func (r *RunData) lastStep() (step int64) {
	for _, record := range r.Records {
		step = max(step, record.Step)
	}
	for _, c := range r.Checkpoints {
		step = max(step, c.Step)
	}
	return step
}

func lastOf(r *RunData, value func(*progress.Record) *float64) *float64 {
	for i := range slices.Backward(r.Records) {
		if v := value(&r.Records[i]); v != nil {
			return v
		}
	}
	return nil
}

func bestOf(r *RunData, value func(*progress.Record) *float64) (best *float64) {
	for i := range r.Records {
		if v := value(&r.Records[i]); v != nil && (best == nil || *v > *best) {
			best = v
		}
	}
	return best
}

func medianRate(records []progress.Record) *float64 {
	var rates []float64
	for _, r := range records {
		if r.SamplesPerSecond > 0 {
			rates = append(rates, r.SamplesPerSecond)
		}
	}
	if len(rates) == 0 {
		return nil
	}
	slices.Sort(rates)
	return &rates[len(rates)/2]
}

func percentOf(x *float64) string {
	if x == nil {
		return unknown
	}
	return fmt.Sprintf("%.2f %%", 100**x)
}

func plainOf(x *float64) string {
	if x == nil {
		return unknown
	}
	return fmt.Sprintf("%.4g", *x)
}

func factsOf(runs []RunData) Table {
	t := Table{Title: "Where the runs have come to", Head: append([]string{"figure"}, names(runs)...)}
	if len(runs) == 1 {
		t.Title = "Where the run has come to"
	}
	for _, f := range facts {
		row := []string{f.name}
		for i := range runs {
			row = append(row, f.of(&runs[i]))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func names(runs []RunData) []string {
	list := make([]string, len(runs))
	for i, r := range runs {
		list[i] = r.Name
	}
	return list
}

// tables are those of a run's evaluations and checkpoints; named says that their titles must tell whose they are.
func (r *RunData) tables(named bool) []Table {
	var list []Table
	evaluations := r.evaluationTable()
	if len(evaluations.Rows) > 0 {
		list = append(list, evaluations)
	}
	list = append(list, r.Evaluations...)
	if len(r.Checkpoints) > 0 {
		t := Table{Title: "Checkpoints that are kept", Head: []string{"checkpoint", "step", "saved", ""}}
		for _, c := range r.Checkpoints {
			t.Rows = append(t.Rows, []string{c.Name, fmt.Sprint(c.Step), timeOf(c.Time), c.mark()})
		}
		list = append(list, t)
	}
	for i := range list {
		if named {
			list[i].Title += " of " + r.Name
		}
	}
	return list
}

func timeOf(t time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return Day(t)
}

func (c CheckpointRow) mark() string {
	switch {
	case c.Best && c.Last:
		return "best and last"
	case c.Best:
		return "best"
	case c.Last:
		return "last"
	}
	return ""
}

// maxEvaluationRows bounds the table of a long run; the curve has all.
const maxEvaluationRows = 40

// evaluationTable lists the evaluations during training.
func (r *RunData) evaluationTable() Table {
	t := Table{Title: "Evaluations during training", Head: []string{"step", "epoch", "examples", "exact", "tokens"}}
	scores := scoreNames(r.Records)
	t.Head = append(t.Head, scores...)
	for _, record := range r.Records {
		if record.EvalExactAccuracy == nil {
			continue
		}
		row := []string{fmt.Sprint(record.Step), fmt.Sprintf("%.4g", record.Epoch), fmt.Sprint(record.EvalExamples), percentOf(record.EvalExactAccuracy), percentOf(record.EvalAccuracy)}
		for _, name := range scores {
			cell := unknown
			if v, ok := record.EvalScores[name]; ok {
				cell = percentOf(&v)
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	if n := len(t.Rows); n > maxEvaluationRows {
		t.Title += fmt.Sprintf(", the last %d of %d", maxEvaluationRows, n)
		t.Rows = t.Rows[n-maxEvaluationRows:]
	}
	return t
}

// settings compares what the runs' jobs were told: the settings that differ, and the others.
func settings(runs []RunData) (differing, same Table) {
	differing = Table{Title: "Settings that differ", Head: append([]string{"setting"}, names(runs)...)}
	same = Table{Title: "All settings", Head: []string{"setting", "value"}}
	if len(runs) > 1 {
		same.Title = "Settings that all runs share"
	}
	list, all := make([]map[string]string, len(runs)), map[string]bool{}
	for i, r := range runs {
		list[i] = settingsOf(r.Job)
		for name := range list[i] {
			all[name] = true
		}
	}
	for _, name := range sortedKeys(all) {
		row, equal := []string{name}, true
		for i := range list {
			value, ok := list[i][name]
			if !ok {
				value = unknown
			}
			row = append(row, value)
			equal = equal && value == row[1]
		}
		if equal {
			same.Rows = append(same.Rows, row[:2])
		} else {
			differing.Rows = append(differing.Rows, row)
		}
	}
	return differing, same
}

// settingsOf lists what decides what a job computes, by the names of its fields. Where it runs and keeps its files is for
// whoever runs it to know, not for whoever is shown a report.
func settingsOf(job *v1alpha1.HRMTrainingJob) map[string]string {
	list := map[string]string{}
	if job == nil {
		return list
	}
	s := &job.Spec
	for name, part := range map[string]any{"model": s.Model, "dataset": s.Dataset, "training": s.Training, "evaluation": s.Evaluation, "checkpoint": s.Checkpoint} {
		for path, value := range fieldpath.Flatten(part) {
			list[name+"."+path] = value
		}
	}
	list["nodes"] = fmt.Sprint(s.Nodes)
	return list
}
