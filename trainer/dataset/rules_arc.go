package dataset

import (
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/arc"
)

type arcRules struct{}

func (arcRules) Parse(text string) ([]int32, error) {
	g, err := arc.ParseGrid(text)
	if err != nil {
		return nil, fmt.Errorf("grid: %w", err)
	}
	return g.Tokens(), nil
}

func (arcRules) Draw(tokens []int32, colour bool) string { return arc.Draw(tokens, colour) }

// Check knows nothing: what the rule of a task is, is the question.
func (arcRules) Check(_, _ []int32) Verdict { return Verdict{} }
