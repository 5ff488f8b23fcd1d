package reference

import (
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// halfRoot is 1/sqrt(2) as the official code writes it: learned positions and tokens share the variance.
const halfRoot = 0.707106781

// embedScale is the factor on tokens, puzzle and positions.
func embedScale(a device.Attributes, learned bool) float64 {
	if learned {
		return a.Scale * halfRoot
	}
	return a.Scale
}

// token checks a token against the vocabulary.
func (c *call) token(t int32, vocabulary int) int {
	if t < 0 || int(t) >= vocabulary {
		c.fail(fmt.Errorf("token %d is outside of the vocabulary of %d", t, vocabulary))
		return 0
	}
	return int(t)
}

// embed: out[t] = scale * (t < prefix ? puzzle[t*D:(t+1)*D] : W[token[t-prefix]]) (+ scale * positions[t]).
// tokens [S], W [V,D], puzzle [puzzleDim], positions [T,D], out [T,D].
func embed(c *call) {
	act := c.out().DType
	tokens, w, out := c.ints(0), c.weights(1, act), c.result()
	prefix, dim, vocabulary := c.ins.Attr.Prefix, c.out().Last(), c.in(1).Shape[0]
	s := c.in(0).Elements()
	t := prefix + s
	scale := embedScale(c.ins.Attr, c.has(3))
	var puzzle, positions []float32
	puzzleDim := 0
	if c.has(2) && prefix > 0 {
		puzzle, puzzleDim = c.weights(2, act), c.in(2).Elements()
	}
	if c.has(3) {
		positions = c.weights(3, act)
	}
	for r := range c.rows {
		o := out[r*t*dim:]
		for i := range min(puzzleDim, prefix*dim) {
			o[i] = scale * float64(puzzle[r*puzzleDim+i])
		}
		for j := range s {
			from := w[c.token(tokens[r*s+j], vocabulary)*dim:]
			for d := range dim {
				o[(prefix+j)*dim+d] = scale * float64(from[d])
			}
		}
		for i := range positions {
			o[i] += scale * float64(positions[i])
		}
	}
	c.store(out)
}

// embedGradWeight: dW[token[t]] += scale * dOut[prefix+t].
func embedGradWeight(c *call) {
	tokens, d, out := c.ints(0), c.floats(1), c.result()
	vocabulary, dim, prefix := c.out().Shape[0], c.out().Shape[1], c.ins.Attr.Prefix
	s := c.in(0).Elements()
	scale := embedScale(c.ins.Attr, c.ins.Attr.LearnedPositions)
	for r := range c.rows {
		for j := range s {
			to := out[c.token(tokens[r*s+j], vocabulary)*dim:]
			from := d[(r*(prefix+s)+prefix+j)*dim:]
			for i := range dim {
				to[i] += scale * float64(from[i])
			}
		}
	}
	c.store(out)
}

// embedGradPuzzle: dPuzzle[i] = scale * dOut[i / D][i % D].
func embedGradPuzzle(c *call) {
	d, out := c.floats(0), c.result()
	n, block := c.out().Elements(), c.in(0).Elements()
	scale := embedScale(c.ins.Attr, c.ins.Attr.LearnedPositions)
	used := min(n, c.ins.Attr.Prefix*c.in(0).Last())
	for r := range c.rows {
		for i := range used {
			out[r*n+i] = scale * float64(d[r*block+i])
		}
	}
	c.store(out)
}

// embedGradPositions: dPositions = sum over rows of scale * dOut.
func embedGradPositions(c *call) {
	d, out := c.floats(0), c.result()
	scale := embedScale(c.ins.Attr, true)
	for i, x := range d {
		out[i%len(out)] += scale * float64(x)
	}
	c.store(out)
}
