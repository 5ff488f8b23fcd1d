package reference

// weighing returns operand k as a weight of each element of x [N,D]: it is [N,D] itself, or [N,1].
func (c *call) weighing(k, dim int) func(i int) float64 {
	w, each := c.floats(k), 1
	if c.in(k).Last() == 1 {
		each = dim
	}
	return func(i int) float64 { return float64(w[i/each]) }
}

// multiply: out = w·x, or (1-w)·x.
func multiply(c *call) {
	x, out := c.floats(0), c.result()
	w := c.weighing(1, c.out().Last())
	for i := range out {
		out[i] = w(i) * float64(x[i])
		if c.ins.Attr.Complement {
			out[i] = float64(x[i]) - out[i]
		}
	}
	c.store(out)
}

// blend: out = w·x + (1-w)·y.
func blend(c *call) {
	x, y, out := c.floats(1), c.floats(2), c.result()
	w := c.weighing(0, c.out().Last())
	for i := range out {
		out[i] = w(i)*float64(x[i]) + (1-w(i))*float64(y[i])
	}
	c.store(out)
}

// blendGradWeight: dw = (x-y)·d [N,D], or its sum over D [N,1].
func blendGradWeight(c *call) {
	d, x, out := c.floats(0), c.floats(1), c.result()
	y := make([]float32, len(x))
	if c.has(2) {
		y = c.floats(2)
	}
	each := len(d) / len(out)
	for i := range d {
		out[i/each] += (float64(x[i]) - float64(y[i])) * float64(d[i])
	}
	c.store(out)
}
