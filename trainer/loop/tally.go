package loop

import "github.com/hrm-operator/hrm-operator/trainer/dataset"

// Tally sums up answers.
type Tally struct {
	examples        int
	accuracy, exact float64
}

// Add counts an answer's labelled tokens and those of them that are right; one without labels does not count.
func (t *Tally) Add(labelled, right int) {
	if labelled == 0 {
		return
	}
	t.examples++
	t.accuracy += float64(right) / float64(labelled)
	t.exact += one(right == labelled)
}

// Evaluation returns the means so far.
func (t *Tally) Evaluation() Evaluation {
	v := Evaluation{Examples: t.examples}
	if v.Examples > 0 {
		v.Accuracy, v.Exact = t.accuracy/float64(v.Examples), t.exact/float64(v.Examples)
	}
	return v
}

// Tokens counts a prediction's labelled tokens, and those of them that are right.
func (p Prediction) Tokens() (labelled, right int) {
	for i, label := range p.Labels {
		if label == dataset.IgnoreLabel {
			continue
		}
		labelled++
		if p.Answer[i] == label {
			right++
		}
	}
	return labelled, right
}
