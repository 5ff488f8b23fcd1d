package suite

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/report"
)

const unknown = "–"

// column is a figure of the table. Columns in which no run has a value are left out.
type column struct {
	head string
	// cell is empty where a run has no value.
	cell func(*Result) string
}

// Table has a row for every run.
func (s *Suite) Table(results []Result) report.Table {
	t := report.Table{Title: s.Title(), Head: s.Axes()}
	t.Rows = make([][]string, len(results))
	for i, r := range results {
		for _, axis := range s.Axes() {
			t.Rows[i] = append(t.Rows[i], r.Values[axis])
		}
	}
	for _, c := range s.columns(results) {
		cells, known := make([]string, len(results)), false
		for i := range results {
			cells[i] = c.cell(&results[i])
			known = known || cells[i] != ""
			if cells[i] == "" {
				cells[i] = unknown
			}
		}
		if !known {
			continue
		}
		t.Head = append(t.Head, c.head)
		for i := range results {
			t.Rows[i] = append(t.Rows[i], cells[i])
		}
	}
	return t
}

// Title is the suite's heading.
func (s *Suite) Title() string {
	if s.Spec.Title != "" {
		return s.Spec.Title
	}
	return s.Metadata.Name
}

// columns are all that a table may have.
func (s *Suite) columns(results []Result) []column {
	list := []column{
		{"state", (*Result).stateCell},
		{"parameters", func(r *Result) string { return count(r.Parameters) }},
		{"steps", func(r *Result) string { return count(r.Steps) }},
		{"samples/s", func(r *Result) string { return figure("%.0f", r.SamplesPerSecond) }},
		{"loss", func(r *Result) string { return figure("%.3f", r.Loss) }},
		{"halted after", func(r *Result) string { return figure("%.2f", r.HaltedAfter) }},
		{"exact", func(r *Result) string { return share(r.ExactAccuracy) }},
		{"tokens", func(r *Result) string { return share(r.TokenAccuracy) }},
	}
	m := s.measure(results)
	for _, score := range []string{"shortest_path", "pass_at_1", "pass_at_2"} {
		list = append(list, column{score, func(r *Result) string {
			if v, ok := r.Scores[score]; ok {
				return share(&v)
			}
			return ""
		}})
	}
	for _, n := range s.segments(results) {
		list = append(list, column{fmt.Sprintf("%s @%d", m.name, n), func(r *Result) string { return share(m.after(r, n)) }})
	}
	return list
}

// segments are the numbers of segments that are asked for, in order.
func (s *Suite) segments(results []Result) []int {
	if !slices.ContainsFunc(results, func(r Result) bool { return r.Evaluation != nil }) {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(s.Spec.Evaluate.Segments)))
}

// stateCell says how far a run is; nothing if it has finished.
func (r *Result) stateCell() string {
	if r.State == Finished {
		return ""
	}
	return r.stateText()
}

// stateText says in words how far a run is.
func (r *Result) stateText() string {
	switch r.State {
	case NotStarted:
		return "not started"
	case Failed:
		return "failed"
	case Other:
		return "another job"
	case Unfinished:
		if r.TotalSteps > 0 {
			return fmt.Sprintf("step %d of %d", r.Steps, r.TotalSteps)
		}
		return fmt.Sprintf("step %d, not finished", r.Steps)
	}
	return "finished"
}

// Notes says of each run that has something to explain what that is.
func Notes(results []Result) []string {
	var list []string
	for i := range results {
		if r := &results[i]; r.Why != "" {
			list = append(list, fmt.Sprintf("%s, %s: %s", r.Run, r.stateText(), strings.Join(strings.Fields(r.Why), " ")))
		}
	}
	return list
}

func count(n int64) string {
	if n == 0 {
		return ""
	}
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func figure(format string, x *float64) string {
	if x == nil {
		return ""
	}
	return fmt.Sprintf(format, *x)
}

func share(x *float64) string {
	if x == nil {
		return ""
	}
	return fmt.Sprintf("%.1f %%", 100**x)
}

// Markdown is a section about the suite: the question, the claim, the commands that made it, the table and the picture, which
// is left out if it has no name.
func (s *Suite) Markdown(results []Result, commands []string, picture string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n", s.Title())
	for _, paragraph := range []string{s.Spec.Question, s.Spec.Claim} {
		if paragraph != "" {
			fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(paragraph))
		}
	}
	b.WriteString("\n")
	for _, command := range commands {
		fmt.Fprintf(&b, "    %s\n", command)
	}
	t := s.Table(results)
	b.WriteString("\n" + markdownRow(t.Head) + "|" + strings.Repeat("---|", len(s.Axes())) + strings.Repeat("---:|", len(t.Head)-len(s.Axes())) + "\n")
	for _, row := range t.Rows {
		b.WriteString(markdownRow(row))
	}
	for i, note := range Notes(results) {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "- %s\n", note)
	}
	if picture != "" {
		fmt.Fprintf(&b, "\n![%s](%s)\n", s.Title(), picture)
	}
	return b.String()
}

func markdownRow(cells []string) string {
	var b strings.Builder
	for _, cell := range cells {
		b.WriteString("| " + strings.ReplaceAll(cell, "|", `\|`) + " ")
	}
	return b.String() + "|\n"
}
