package arc

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
)

// answers is an election about two tasks: "one" has a test input with the answer 1, "two" has two, with 1 and 22.
func answers(t testing.TB) *Election {
	input := grid(t, "0")
	return NewElection([]Task{
		{"one", nil, []Pair{{input, grid(t, "1")}}},
		{"two", nil, []Pair{{input, grid(t, "1")}, {input, grid(t, "22")}}},
	})
}

// vote is a grid that the model answers with, and its q_halt.
type vote struct {
	task, input int
	answer      string
	qHalt       float32
}

func TestElection_scores(t *testing.T) {
	for name, c := range map[string]struct {
		votes []vote
		// prize and whole at 1, 2 and 3 answers
		prize, whole [3]float64
		of           int
	}{
		"no votes": {},
		"all right": {
			[]vote{{0, 0, "1", 0}, {1, 0, "1", 0}, {1, 1, "22", 0}},
			[3]float64{1, 1, 1}, [3]float64{1, 1, 1}, 2,
		},
		"one of two inputs right": {
			[]vote{{0, 0, "1", 0}, {1, 0, "1", 0}, {1, 1, "2", 0}},
			[3]float64{0.75, 0.75, 0.75}, [3]float64{0.5, 0.5, 0.5}, 2,
		},
		"an input without any answer": {
			[]vote{{1, 0, "1", 0}},
			[3]float64{0.5, 0.5, 0.5}, [3]float64{}, 1,
		},
		"a task that got no votes is not counted": {
			[]vote{{0, 0, "1", 0}},
			[3]float64{1, 1, 1}, [3]float64{1, 1, 1}, 1,
		},
		"the most votes go first": {
			[]vote{{0, 0, "3", -9}, {0, 0, "1", 9}, {0, 0, "3", -9}},
			[3]float64{0, 1, 1}, [3]float64{0, 1, 1}, 1,
		},
		"of equal votes the surer goes first": {
			[]vote{{0, 0, "3", 1}, {0, 0, "1", 2}},
			[3]float64{1, 1, 1}, [3]float64{1, 1, 1}, 1,
		},
		"sure is the mean of the sigmoids, not of the logits": {
			// 3: (sigmoid(100) + sigmoid(-1)) / 2 = 0.634; 1: sigmoid(1) = 0.731, twice.
			[]vote{{0, 0, "3", 100}, {0, 0, "3", -1}, {0, 0, "1", 1}, {0, 0, "1", 1}},
			[3]float64{1, 1, 1}, [3]float64{1, 1, 1}, 1,
		},
		"third place": {
			[]vote{{0, 0, "3", 3}, {0, 0, "4", 2}, {0, 0, "1", 1}},
			[3]float64{0, 0, 1}, [3]float64{0, 0, 1}, 1,
		},
		"the same colours in another shape are another answer": {
			[]vote{{1, 1, "2 2", 0}, {0, 0, "1", 0}},
			[3]float64{0.5, 0.5, 0.5}, [3]float64{0.5, 0.5, 0.5}, 2,
		},
		"being sure of what is no number is worth nothing": {
			[]vote{{0, 0, "3", float32(math.NaN())}, {0, 0, "1", -5}},
			[3]float64{1, 1, 1}, [3]float64{1, 1, 1}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := answers(t)
			for _, v := range c.votes {
				e.Vote(v.task, v.input, &Identity, grid(t, v.answer).Tokens(), v.qHalt)
			}
			results, of := e.Results([]int{1, 2, 3})
			if of != c.of {
				t.Errorf("%d tasks, want %d", of, c.of)
			}
			for i, r := range results {
				if r.K != i+1 || r.Prize != c.prize[i] || r.Whole != c.whole[i] {
					t.Errorf("%+v, want %g by the prize's rule and %g by HRM's", r, c.prize[i], c.whole[i])
				}
			}
		})
	}
}

func TestElection_variantsVoteForTheOriginalsAnswer(t *testing.T) {
	task := example(t, "evaluation", "00576224")
	e := NewElection([]Task{task})
	plan := Plan(&task, 100, 1)
	for _, a := range plan {
		e.Vote(0, 0, &a, a.Apply(task.Test[0].Output).Tokens(), 0)
	}
	if b := e.ballots[0][0]; len(b) != 1 {
		t.Errorf("%d variants of one answer are %d answers", len(plan), len(b))
	}
	if r, _ := e.Results([]int{1}); r[0].Prize != 1 {
		t.Errorf("%+v", r)
	}
}

func TestElection_orderOfVotesDoesNotMatter(t *testing.T) {
	// Added up in the other order, these three differ in the last digit.
	halts := []float32{0.1, 0.7, -3.3}
	first := func(order ...int) Grid {
		e := answers(t)
		for _, i := range order {
			e.Vote(0, 0, &Identity, grid(t, "1").Tokens(), halts[i])
			e.Vote(0, 0, &Identity, grid(t, "3").Tokens(), halts[len(halts)-1-i])
		}
		return e.ballots[0][0].ranking()[0]
	}
	if a, b := first(0, 1, 2), first(2, 1, 0); !a.Equal(b) {
		t.Errorf("%v or %v", a, b)
	}
}

func TestElection_unknownAnswersDoNotCount(t *testing.T) {
	e := NewElection([]Task{{"secret", nil, []Pair{{grid(t, "0"), Grid{}}}}})
	e.Vote(0, 0, &Identity, make([]int32, SeqLen), 0)
	if r, of := e.Results([]int{1}); of != 0 || r[0].Prize != 0 {
		t.Errorf("%+v of %d", r, of)
	}
}

func TestElection_hostileAnswersAreJustWrong(t *testing.T) {
	e := answers(t)
	for _, token := range []int32{-1, 0, 1, 12, math.MaxInt32, math.MinInt32} {
		answer := make([]int32, SeqLen)
		for i := range answer {
			answer[i] = token
		}
		e.Vote(0, 0, &Augmentation{7, Identity.Colours}, answer, float32(math.Inf(1)))
	}
	if r, of := e.Results([]int{2}); of != 1 || r[0].Prize != 0 {
		t.Errorf("%+v of %d", r, of)
	}
}

func TestElection_writesASubmission(t *testing.T) {
	e := answers(t)
	for _, v := range []vote{{0, 0, "12 34", 1}, {0, 0, "5", 0}, {0, 0, "6", -1}, {1, 1, "7", 0}} {
		e.Vote(v.task, v.input, &Identity, grid(t, v.answer).Tokens(), v.qHalt)
	}
	e.Vote(1, 1, &Identity, make([]int32, SeqLen), -1) // an empty answer
	var b bytes.Buffer
	if err := e.WriteSubmission(&b); err != nil {
		t.Fatal(err)
	}
	want := `{"one":[{"attempt_1":[[1,2],[3,4]],"attempt_2":[[5]]}],` +
		`"two":[{"attempt_1":[[0]],"attempt_2":[[0]]},{"attempt_1":[[7]],"attempt_2":[[0]]}]}` + "\n"
	if b.String() != want {
		t.Errorf("got  %swant %s", b.String(), want)
	}
	if !json.Valid(b.Bytes()) {
		t.Error("no JSON")
	}
}
