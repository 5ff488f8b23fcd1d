// Package custom makes datasets of any task whose examples are pairs of grids, or of sequences, of small numbers: it reads
// them from lines of JSON and says how they become tokens.
package custom

import (
	"encoding/binary"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/dataset/seeded"
)

// The bounds of what is read.
const (
	// MaxCells is the most cells of a grid, and of the shape that takes in all grids.
	MaxCells = 16384
	// MaxValue is the largest value of a cell.
	MaxValue = 65533
)

// Grid is a rectangle of values; a sequence is a grid of one row.
type Grid struct {
	Height, Width int
	Values        []uint16 // [Height*Width], row after row
}

// Example is one line of a source.
type Example struct {
	// ID names the puzzle that the example belongs to; empty is none.
	ID            string
	Input, Output Grid
	Line          int
}

// key is the same for examples that ask the same: equal inputs under one ID.
func (e *Example) key() string { return string(append(e.Input.append(nil), e.ID...)) }

// append writes a grid so that its end can be told from what follows.
func (g Grid) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(g.Height))
	b = binary.LittleEndian.AppendUint16(b, uint16(g.Width))
	for _, v := range g.Values {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return b
}

// Deduplicate keeps the first of several equal examples.
func Deduplicate(examples []Example) []Example {
	seen := make(map[string]struct{}, len(examples))
	return slices.DeleteFunc(examples, func(e Example) bool {
		key := string(e.Output.append(nil)) + e.key()
		_, again := seen[key]
		seen[key] = struct{}{}
		return again
	})
}

// Split divides examples into training and test examples: testSize of them for the test, or fewer where examples that ask
// the same, which stay together, don't add up to it. Both keep the order of the source.
func Split(examples []Example, testSize int, seed int64) (train, test []Example) {
	families := make(map[string][]int, len(examples))
	for i := range examples {
		key := examples[i].key()
		families[key] = append(families[key], i)
	}
	inTest := make([]bool, len(examples))
	seen := make([]bool, len(examples))
	room := testSize
	for _, i := range seeded.Stream(seed, forSplit, 0).Perm(len(examples)) {
		if seen[i] {
			continue
		}
		family := families[examples[i].key()]
		held := len(family) <= room
		if held {
			room -= len(family)
		}
		for _, j := range family {
			seen[j], inTest[j] = true, held
		}
	}
	for i, e := range examples {
		if inTest[i] {
			test = append(test, e)
		} else {
			train = append(train, e)
		}
	}
	return train, test
}

// DropAsked removes from train every example that asks what a test example asks: what Split sees to, for sources that come
// already split.
func DropAsked(train, test []Example) []Example {
	asked := make(map[string]struct{}, len(test))
	for i := range test {
		asked[test[i].key()] = struct{}{}
	}
	return slices.DeleteFunc(train, func(e Example) bool {
		_, again := asked[e.key()]
		return again
	})
}

// Subsample draws n examples at random, or all if there are no more than that, in the order of the source.
func Subsample(examples []Example, n int, seed int64) []Example {
	places := make([]int, len(examples))
	for i := range places {
		places[i] = i
	}
	drawn := slices.Sorted(slices.Values(seeded.Subsample(places, n, seed, forSubsample)))
	kept := make([]Example, len(drawn))
	for i, place := range drawn {
		kept[i] = examples[place]
	}
	return kept
}

// What random numbers are for.
const (
	forSplit seeded.Purpose = iota + 1
	forSubsample
)
