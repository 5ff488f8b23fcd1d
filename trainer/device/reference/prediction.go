package reference

import (
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// argmax is the index of the largest number, the first one of equals.
func argmax(x []float32) int {
	best := 0
	for i := range x {
		if x[i] > x[best] {
			best = i
		}
	}
	return best
}

// unpredicted: out[prefix+s] = s == 0 || argmax(logits[s-1]) != token[s]; 1 at the prefix. logits [S,V], tokens [S], out [T,1].
func unpredicted(c *call) {
	logits, tokens, out := c.floats(0), c.ints(1), c.result()
	s, v, positions := c.in(0).Shape[0], c.in(0).Shape[1], c.out().Elements()
	for i := range out {
		row, at := i/positions, i%positions-c.ins.Attr.Prefix
		if at > 0 {
			before := row*s + at - 1
			if argmax(logits[before*v:][:v]) == int(tokens[before+1]) {
				continue
			}
		}
		out[i] = 1
	}
	c.store(out)
}

// nextTokens: out[s] = s+1 < S && wanted[prefix+s+1] != 0 ? token[s+1] : -100. tokens, out [S], wanted [T,1].
func nextTokens(c *call) {
	tokens := c.ints(0)
	out := make([]int32, len(tokens))
	s, prefix := c.out().Elements(), c.ins.Attr.Prefix
	var wanted []float32
	if c.has(1) {
		wanted = c.floats(1)
	}
	for i := range out {
		row, at := i/s, i%s
		out[i] = ignored
		if at+1 < s && (wanted == nil || wanted[row*(prefix+s)+prefix+at+1] != 0) {
			out[i] = tokens[i+1]
		}
	}
	c.writeInts(out)
}

// writeInts stores the result of an instruction whose Out is Int32.
func (c *call) writeInts(x []int32) {
	if c.err != nil {
		return
	}
	if err := device.WriteInts(c.arrays[c.ins.Out], 0, x); err != nil {
		c.fail(fmt.Errorf("write %s: %w", c.out().Name, err))
	}
}
