package maze

import "fmt"

// Judgement is what an answer to a maze is worth.
type Judgement struct {
	// Valid answers keep the maze and mark one path from start to goal, and nothing else. A path may be longer than need be,
	// but not touch itself: where it does, nobody can say which way it takes.
	Valid    bool
	Shortest bool
	// Why says it for people.
	Why string
}

// Judge judges an answer by the maze alone.
func Judge(maze, answer Grid) Judgement {
	start, goal, err := maze.Ends()
	switch {
	case err != nil:
		return Judgement{Why: "the maze has " + err.Error()}
	case answer.Size != maze.Size:
		return Judgement{Why: fmt.Sprintf("the answer has %d cells, the maze %d", len(answer.Cells), len(maze.Cells))}
	}
	if why := changes(maze, answer); why != "" {
		return Judgement{Why: why}
	}
	cells, why := follow(answer, start, goal)
	shortest := PathLength(maze)
	switch {
	case shortest == 0:
		return Judgement{Why: "no way leads from start to goal"}
	case why != "":
		return Judgement{Why: why}
	case cells > shortest:
		return Judgement{Valid: true, Why: fmt.Sprintf("the path is %d cells longer than the shortest, which has %d", cells-shortest, shortest)}
	}
	return Judgement{true, true, fmt.Sprintf("the path of %d cells is a shortest one", cells)}
}

// changes says how an answer differs from its maze by more than a path; empty if it does not.
func changes(maze, answer Grid) string {
	first, n := -1, 0
	for i, was := range maze.Cells {
		if is := answer.Cells[i]; is != was && !(was == Free && is == Path) {
			if n++; first < 0 {
				first = i
			}
		}
	}
	switch {
	case n == 0:
		return ""
	case answer.Cells[first] == Path && maze.Cells[first] == Wall:
		return fmt.Sprintf("the path goes through a wall at %s; %d cells of the maze are changed", maze.place(first), n)
	}
	return fmt.Sprintf("%d cells of the maze are changed, the first at %s: %q became %q",
		n, maze.place(first), characters[maze.Cells[first]], characters[answer.Cells[first]])
}

// follow walks from the start along the marked cells and counts them, start and goal included. It says where they are not
// one path to the goal.
func follow(answer Grid, start, goal int) (cells int, why string) {
	f := newField(answer.Size)
	marked := 0
	for cell, c := range answer.Cells {
		if c == Start || c == Goal || c == Path {
			f.open[f.place(cell)] = true
			marked++
		}
	}
	at, end := f.place(start), f.place(goal)
	for cells = 1; at != end; cells++ {
		f.open[at] = false
		ways, next := 0, 0
		for _, step := range f.steps() {
			if f.open[at+step] {
				ways, next = ways+1, at+step
			}
		}
		switch {
		case ways == 0:
			return 0, "the path has a gap after " + answer.place(f.cell(at))
		case ways > 1:
			return 0, "the path forks, or touches itself, at " + answer.place(f.cell(at))
		}
		at = next
	}
	f.open[at] = false
	for cell := range answer.Cells {
		if f.open[f.place(cell)] {
			return 0, fmt.Sprintf("%d marked cells are not on the path, the first at %s", marked-cells, answer.place(cell))
		}
	}
	return cells, ""
}
