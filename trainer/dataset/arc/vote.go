package arc

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
)

// Election collects the answers to the test inputs of tasks, from all their variants, and ranks them by the votes they get.
type Election struct {
	tasks []Task
	// ballots has one for each test input of each task.
	ballots [][]ballot
}

// ballot counts the answers to one test input. Answers are told apart by shape and colours.
type ballot map[string]*candidate

type candidate struct {
	grid Grid
	// halts is sigmoid(q_halt) of each vote, kept one by one so that their order does not matter to the last digit.
	halts []float64
}

// NewElection is for the tests of these tasks.
func NewElection(tasks []Task) *Election {
	e := &Election{tasks, make([][]ballot, len(tasks))}
	for i, t := range tasks {
		e.ballots[i] = make([]ballot, len(t.Test))
	}
	return e
}

// Vote counts a model's answer, tokens [SeqLen], to a variant of a task's test input, and how sure it is, before the sigmoid.
func (e *Election) Vote(task, input int, a *Augmentation, answer []int32, qHalt float32) {
	g := a.Undo(Crop(answer))
	b := &e.ballots[task][input]
	if *b == nil {
		*b = ballot{}
	}
	key := string(append([]byte{uint8(g.Rows), uint8(g.Cols)}, g.Cells...))
	c := (*b)[key]
	if c == nil {
		c = &candidate{grid: g}
		(*b)[key] = c
	}
	c.halts = append(c.halts, sigmoid(float64(qHalt)))
}

// sigmoid of what is no number is 0: nobody should trust it.
func sigmoid(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return 1 / (1 + math.Exp(-x))
}

// ranking returns the answers by their votes and, where those are equal, by the mean of their sigmoid(q_halt), descending.
func (b ballot) ranking() []Grid {
	type ranked struct {
		key   string
		votes int
		mean  float64
	}
	order := make([]ranked, 0, len(b))
	for key, c := range b {
		slices.Sort(c.halts)
		sum := 0.0
		for _, h := range c.halts {
			sum += h
		}
		order = append(order, ranked{key, len(c.halts), sum / float64(len(c.halts))})
	}
	slices.SortFunc(order, func(x, y ranked) int {
		return cmp.Or(cmp.Compare(y.votes, x.votes), cmp.Compare(y.mean, x.mean), cmp.Compare(x.key, y.key))
	})
	grids := make([]Grid, len(order))
	for i, r := range order {
		grids[i] = b[r.key].grid
	}
	return grids
}

// Result is how many tasks are solved, if each test input may be answered K times.
type Result struct {
	K int
	// Prize is the ARC Prize's score: each task counts for the fraction of its test inputs that are right. The mean over tasks.
	Prize float64
	// Whole is the share of tasks that have all test inputs right, which is how HRM's authors count.
	Whole float64
}

// Results returns one for each k, and the number of tasks they are about: those with known answers that got any vote.
func (e *Election) Results(ks []int) ([]Result, int) {
	results := make([]Result, len(ks))
	for i, k := range ks {
		results[i].K = k
	}
	counted := 0
	for i, t := range e.tasks {
		if !solved(&t) || !e.voted(i) {
			continue
		}
		counted++
		right := make([]int, len(ks))
		for j, p := range t.Test {
			place := slices.IndexFunc(e.ballots[i][j].ranking(), p.Output.Equal)
			for n, k := range ks {
				if place >= 0 && place < k {
					right[n]++
				}
			}
		}
		for n := range ks {
			results[n].Prize += float64(right[n]) / float64(len(t.Test))
			if right[n] == len(t.Test) {
				results[n].Whole++
			}
		}
	}
	for i := range results {
		results[i].Prize /= float64(max(1, counted))
		results[i].Whole /= float64(max(1, counted))
	}
	return results, counted
}

func (e *Election) voted(task int) bool {
	return slices.ContainsFunc(e.ballots[task], func(b ballot) bool { return len(b) > 0 })
}

func solved(t *Task) bool {
	return !slices.ContainsFunc(t.Test, func(p Pair) bool { return !p.Output.Known() })
}

// attempts are the two answers to a test input that the ARC Prize takes.
type attempts struct {
	First  [][]int `json:"attempt_1"`
	Second [][]int `json:"attempt_2"`
}

// WriteSubmission writes the two best answers to every test input, in order, in the form of Kaggle's ARC Prize:
// {"task": [{"attempt_1": grid, "attempt_2": grid}, …], …}. What is missing is [[0]].
func (e *Election) WriteSubmission(w io.Writer) error {
	submission := make(map[string][]attempts, len(e.tasks))
	for i, t := range e.tasks {
		answers := make([]attempts, len(t.Test))
		for j := range t.Test {
			ranking := append(e.ballots[i][j].ranking(), Grid{}, Grid{})
			answers[j] = attempts{ranking[0].lines(), ranking[1].lines()}
		}
		submission[t.ID] = answers
	}
	if err := json.NewEncoder(w).Encode(submission); err != nil {
		return fmt.Errorf("write submission: %w", err)
	}
	return nil
}
