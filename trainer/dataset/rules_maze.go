package dataset

import (
	"fmt"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/trainer/dataset/maze"
)

// mazeRules are those of square mazes of a size.
type mazeRules struct{ size int }

func (r mazeRules) Parse(text string) ([]int32, error) {
	g, err := maze.ParseText(text, r.size)
	if err != nil {
		return nil, fmt.Errorf("maze: %w", err)
	}
	return g.Tokens(), nil
}

func (mazeRules) Draw(tokens []int32, colour bool) string {
	g := maze.FromTokens(tokens)
	if colour {
		return g.DrawColour()
	}
	return g.Draw()
}

func (mazeRules) Check(puzzle, answer []int32) Verdict {
	j := maze.Judge(maze.FromTokens(puzzle), maze.FromTokens(answer))
	return Verdict{Known: true, Valid: j.Shortest, Why: j.Why}
}

// mazeScorer counts the answers that are paths, and those that are shortest paths: mazes have several, and the stored one is
// no better than the others.
type mazeScorer struct {
	data                     *Dataset
	answers, valid, shortest int
}

func newMazeScorer(d *Dataset, dir string) (Scorer, error) {
	if maze.SizeOf(d.SeqLen) == 0 || d.VocabSize != maze.VocabSize {
		return nil, fmt.Errorf("%s: not a dataset of mazes: %d tokens of a vocabulary of %d", dir, d.SeqLen, d.VocabSize)
	}
	return &mazeScorer{data: d}, nil
}

// Fresh implements Scorer.
func (s *mazeScorer) Fresh() Scorer { return &mazeScorer{data: s.data} }

// Add implements Scorer.
func (s *mazeScorer) Add(example int, answer []int32, _ float32) {
	puzzle, _ := s.data.Example(example)
	j := maze.Judge(maze.FromTokens(puzzle), maze.FromTokens(answer))
	s.answers++
	if j.Valid {
		s.valid++
	}
	if j.Shortest {
		s.shortest++
	}
}

// Scores implements Scorer.
func (s *mazeScorer) Scores() []Score {
	of := float64(max(1, s.answers))
	return []Score{
		{Name: "shortest_path", Metric: v1alpha1.EvaluationMetricValidAccuracy, Value: float64(s.shortest) / of, Of: s.answers},
		{Name: "valid_path", Value: float64(s.valid) / of, Of: s.answers},
	}
}
