package dataset

import "github.com/hrm-operator/hrm-operator/api/v1alpha1"

// Scorer judges the answers to a split by more than exact and token accuracy.
type Scorer interface {
	// Add takes the answer [SeqLen] to an example and the model's confidence in it, before the sigmoid. Examples come in any
	// order, each once.
	Add(example int, answer []int32, qHalt float32)
	// Scores returns the figures so far, in the order in which people want to see them: before the first Add all of them,
	// of nothing, so that a job learns which there are.
	Scores() []Score
	// Fresh returns a scorer of the same split that has seen no answer. What there is to know of the split both share.
	Fresh() Scorer
}

// Score is one figure of an evaluation.
type Score struct {
	// Name is for people and machines: lower case, with _.
	Name string
	// Metric is what a job calls this figure; empty if it cannot choose it.
	Metric v1alpha1.EvaluationMetric
	// Value is finite: a share of nothing is 0.
	Value float64
	// Of is how many things were counted: boards, test inputs, tasks.
	Of int
}

// scorers make the scorer of a task for a split that was loaded from dir, which may hold more than the official arrays.
var scorers = map[v1alpha1.Task]func(d *Dataset, dir string) (Scorer, error){
	v1alpha1.TaskMaze: newMazeScorer,
	v1alpha1.TaskARC:  newARCScorer,
}

// NewScorer returns the scorer of a task for a split of the dataset in dir; nil for a task that has none.
func NewScorer(task v1alpha1.Task, d *Dataset, dir string) (Scorer, error) {
	if newScorer, ok := scorers[task]; ok {
		return newScorer(d, dir)
	}
	return nil, nil
}
