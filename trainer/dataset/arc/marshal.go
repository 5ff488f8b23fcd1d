package arc

import (
	"encoding/json"
	"io"
)

// WriteTasks writes tasks as one JSON object by their names, which ParseChallenges reads. Unknown outputs are left out.
func WriteTasks(w io.Writer, tasks []Task) error {
	type pair struct {
		Input  [][]int `json:"input"`
		Output [][]int `json:"output,omitempty"`
	}
	type task struct {
		Train []pair `json:"train"`
		Test  []pair `json:"test"`
	}
	pairs := func(from []Pair) []pair {
		to := make([]pair, len(from))
		for i, p := range from {
			to[i].Input = p.Input.lines()
			if p.Output.Known() {
				to[i].Output = p.Output.lines()
			}
		}
		return to
	}
	all := make(map[string]task, len(tasks))
	for _, t := range tasks {
		all[t.ID] = task{pairs(t.Train), pairs(t.Test)}
	}
	return json.NewEncoder(w).Encode(all)
}

// lines returns the rows as they are written in JSON; an empty or unknown grid is the single cell that stands for no answer.
func (g Grid) lines() [][]int {
	if !g.Known() || g.Cols == 0 {
		return [][]int{{0}}
	}
	lines := make([][]int, g.Rows)
	for r := range lines {
		lines[r] = make([]int, g.Cols)
		for c := range lines[r] {
			lines[r][c] = int(g.Cells[r*g.Cols+c])
		}
	}
	return lines
}
