package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/analysis"
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
	for _, note := range r.Notes {
		fmt.Fprintf(&s, "\n%s\n", note)
	}
	return s.String()
}

func (r *analysisReport) participationRows() [][]string {
	head := append([]string{"trajectories"}, r.states("")...)
	if r.Untrained != nil {
		head = append(head, r.states("untrained ")...)
	}
	rows := [][]string{head}
	for i, p := range r.Trained.Participation {
		row := append([]string{fmt.Sprint(p.Trajectories)}, ratios(p)...)
		if r.Untrained != nil {
			row = append(row, ratios(r.Untrained.Participation[i])...)
		}
		rows = append(rows, row)
	}
	return rows
}

// states are the names of the model's states.
func (r *analysisReport) states(before string) []string {
	if len(r.Trained.ZL.Points) == 0 {
		return []string{before + "z"}
	}
	return []string{before + "zH", before + "zL"}
}

func ratios(p analysis.Participation) []string {
	list := []string{fmt.Sprintf("%.2f", p.ZH)}
	if p.ZL != nil {
		list = append(list, fmt.Sprintf("%.2f", *p.ZL))
	}
	return list
}

func (r *analysisReport) stepRows() [][]string {
	head := []string{"segment", "cycle", "step"}
	names := r.states("")
	for _, name := range slices.Backward(names) {
		head = append(head, "|d"+name+"|")
	}
	rows := [][]string{append(head, "exact", "tokens", "changed", "sure")}
	for i, u := range r.Trained.Residuals {
		a, row := r.Trained.Answers[i], []string{fmt.Sprint(u.Segment), fmt.Sprint(u.Cycle), fmt.Sprint(u.Step)}
		if len(names) > 1 {
			row = append(row, moved(u.ZL))
		}
		rows = append(rows, append(row, moved(u.ZH), percent(a.Exact), percent(a.Tokens), fmt.Sprintf("%.1f", a.Changed), percent(a.Confidence)))
	}
	return rows
}

// moved is how far a state has moved, nothing where it has not had its turn.
func moved(by *float64) string {
	if by == nil {
		return ""
	}
	return fmt.Sprintf("%.3g", *by)
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
	for _, a := range r.Attention {
		for head, bits := range a.Entropies {
			rows = append(rows, []string{a.Layer, fmt.Sprint(head + 1), fmt.Sprintf("%.2f", bits)})
		}
	}
	return rows
}
