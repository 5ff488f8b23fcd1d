package reference

// squaredError: out = Σ(x-y)²/elements.
func squaredError(c *call) {
	x, y, out := c.floats(0), c.floats(1), c.result()
	n := c.in(0).Elements()
	for i := range x {
		d := float64(x[i]) - float64(y[i])
		out[i/n] += d * d / float64(n)
	}
	c.store(out)
}

// squaredErrorGrad: dx = 2·dLoss·(x-y)/elements.
func squaredErrorGrad(c *call) {
	x, y, d, out := c.floats(0), c.floats(1), c.floats(2), c.result()
	n := c.out().Elements()
	for i := range out {
		out[i] = 2 * float64(d[i/n]) * (float64(x[i]) - float64(y[i])) / float64(n)
	}
	c.store(out)
}
