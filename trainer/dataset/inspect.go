package dataset

import (
	"fmt"
	"strings"
)

// Report describes a dataset for people.
type Report struct {
	Dir         string
	Train, Test *Dataset
}

// Inspect loads and checks both splits of the dataset in a directory.
func Inspect(dir string) (Report, error) {
	train, err := Load(dir, Train)
	if err != nil {
		return Report{}, err
	}
	test, err := Load(dir, Test)
	return Report{dir, train, test}, err
}

// String lists counts, vocabulary and lengths, and draws the first training example.
func (r Report) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s\n\n%-6s %10s %10s %10s %8s %6s %12s\n", r.Dir, "split", "groups", "puzzles", "examples", "length", "vocab", "identifiers")
	for _, split := range []struct {
		name string
		d    *Dataset
	}{{Train, r.Train}, {Test, r.Test}} {
		d := split.d
		fmt.Fprintf(&s, "%-6s %10d %10d %10d %8d %6d %12d\n",
			split.name, d.Groups(), d.Puzzles(), d.Examples(), d.SeqLen, d.VocabSize, d.NumPuzzleIdentifiers)
	}
	if d := r.Train; d.Examples() > 0 {
		inputs, labels := d.Example(0)
		rules := rulesFor(&d.Metadata)
		fmt.Fprintf(&s, "\nfirst training example\n%s\nits labels\n%s", rules.Draw(inputs, false), rules.Draw(labels, false))
	}
	return s.String()
}
