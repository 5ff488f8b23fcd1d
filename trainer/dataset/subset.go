package dataset

import (
	"math/rand/v2"
	"slices"
)

// DrawOf returns an example as a row of a batch.
func (d *Dataset) DrawOf(example int) Draw { return Draw{int32(example), d.puzzleOf(example)} }

// WholeGroups returns how many of the first limit examples (all, if limit is 0) are those of whole groups: an original
// that only some variants of are answered can't be scored like the others. A first group that is larger than the limit
// alone is cut.
func (d *Dataset) WholeGroups(limit int) int {
	if limit <= 0 || limit >= d.Examples() {
		return d.Examples()
	}
	whole := 0
	for g := range d.Groups() {
		_, end := d.groupExamples(g)
		if end > limit {
			break
		}
		whole = end
	}
	if whole == 0 {
		return limit
	}
	return whole
}

// groupExamples returns the first example of a group and the one after its last.
func (d *Dataset) groupExamples(g int) (first, end int) {
	return int(d.puzzles[d.groups[g]]), int(d.puzzles[d.groups[g+1]])
}

// First lists the examples that WholeGroups counts.
func (d *Dataset) First(limit int) []int32 {
	list := make([]int32, d.WholeGroups(limit))
	for i := range list {
		list[i] = int32(i)
	}
	return list
}

// Subset lists at most limit examples of groups drawn at random, in ascending order. Groups are drawn until one does not
// fit any more; like WholeGroups it cuts none but a first one that is too large.
func (d *Dataset) Subset(limit int, seed int64) []int32 {
	if limit <= 0 || limit >= d.Examples() {
		return d.First(0)
	}
	const stream = 0x5ab5e7
	var list []int32
	for _, g := range rand.New(rand.NewPCG(uint64(seed), stream)).Perm(d.Groups()) {
		first, end := d.groupExamples(g)
		if len(list)+end-first > limit && len(list) > 0 {
			break
		}
		for i := first; i < end && len(list) < limit; i++ {
			list = append(list, int32(i))
		}
	}
	slices.Sort(list)
	return list
}
