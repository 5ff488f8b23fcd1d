package cli

import (
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/dataset"
	"github.com/hrm-operator/hrm-operator/trainer/loop"
)

// figures are what answers come to, all together and by rating.
type figures struct {
	tally  loop.Tally
	scorer dataset.Scorer
	rating func(example int) (int32, bool)
	bands  []loop.Tally // as many as bandEdges
	rated  bool
}

// bandEdges are where the bands of ratings begin: for guesses of a Sudoku solver and for lengths of paths alike.
var bandEdges = []int32{0, 1, 10, 20, 50, 100, 150, 200, 300, 500}

// newFigures returns figures of no answers; scorer is one of the data, nil if its task has none.
func newFigures(data evalData, scorer dataset.Scorer) *figures {
	f := &figures{rating: data.Rating, bands: make([]loop.Tally, len(bandEdges))}
	if scorer != nil {
		f.scorer = scorer.Fresh()
	}
	return f
}

func (f *figures) add(r loop.Reading) {
	labelled, right := r.Tokens()
	f.tally.Add(labelled, right)
	if f.scorer != nil {
		f.scorer.Add(r.Example, r.Answer, r.QHalt)
	}
	if rating, ok := f.rating(r.Example); ok {
		f.rated = true
		f.bands[band(rating)].Add(labelled, right)
	}
}

// band is the last band that begins at or below a rating; ratings below the first belong to it.
func band(rating int32) int {
	n := 0
	for i, edge := range bandEdges {
		if rating >= edge {
			n = i
		}
	}
	return n
}

// bandReport is the part of a report about examples that are rated alike.
type bandReport struct {
	From int32 `json:"from"`
	// To is the largest rating of the band, nil for the last.
	To            *int32  `json:"to,omitempty"`
	Examples      int     `json:"examples"`
	ExactAccuracy float64 `json:"exactAccuracy"`
	TokenAccuracy float64 `json:"tokenAccuracy"`
}

// name is the band as people read it.
func (b bandReport) name() string {
	switch {
	case b.To == nil:
		return fmt.Sprintf("%d+", b.From)
	case *b.To == b.From:
		return fmt.Sprint(b.From)
	}
	return fmt.Sprintf("%d-%d", b.From, *b.To)
}

// byRating lists the bands that have examples.
func (f *figures) byRating() []bandReport {
	if !f.rated {
		return nil
	}
	var list []bandReport
	for i := range f.bands {
		v := f.bands[i].Evaluation()
		if v.Examples == 0 {
			continue
		}
		b := bandReport{From: bandEdges[i], Examples: v.Examples, ExactAccuracy: v.Exact, TokenAccuracy: v.Accuracy}
		if i+1 < len(bandEdges) {
			to := bandEdges[i+1] - 1
			b.To = &to
		}
		list = append(list, b)
	}
	return list
}

// scoreReport is one of the task's own figures.
type scoreReport struct {
	Name   string  `json:"name"`
	Metric string  `json:"metric,omitempty"`
	Value  float64 `json:"value"`
	Of     int     `json:"of"`
}

func (f *figures) scores() []scoreReport {
	if f.scorer == nil {
		return nil
	}
	var list []scoreReport
	for _, s := range f.scorer.Scores() {
		list = append(list, scoreReport{s.Name, string(s.Metric), s.Value, s.Of})
	}
	return list
}
