package reference

// topK: out = 1 at the Count largest scores of those that are among, 0 elsewhere; the first of equal scores wins.
// scores, among, out [T,1].
func topK(c *call) {
	scores, out := c.floats(0), c.result()
	taken := func(int) bool { return true }
	if c.has(1) {
		among := c.floats(1)
		taken = func(i int) bool { return among[i] != 0 }
	}
	positions := c.out().Elements()
	for i := range out {
		if !taken(i) {
			continue
		}
		better, first := 0, i-i%positions
		for j := first; j < first+positions; j++ {
			if taken(j) && (scores[j] > scores[i] || scores[j] == scores[i] && j < i) {
				better++
			}
		}
		if better < c.ins.Attr.Count {
			out[i] = 1
		}
	}
	c.store(out)
}
