package reference

// gate: out = 2(σ(gate)·x + σ(-gate)·y).
func gate(c *call) {
	g, x, y, out := c.floats(0), c.floats(1), c.floats(2), c.result()
	for i := range out {
		s := sigmoid(float64(g[i]))
		out[i] = 2 * (s*float64(x[i]) + (1-s)*float64(y[i]))
	}
	c.store(out)
}

// gateGradGate: dgate = 2·σ·(1-σ)·(x-y)·d, σ = sigmoid(gate).
func gateGradGate(c *call) {
	g, x, y, d, out := c.floats(0), c.floats(1), c.floats(2), c.floats(3), c.result()
	for i := range out {
		s := sigmoid(float64(g[i]))
		out[i] = 2 * s * (1 - s) * (float64(x[i]) - float64(y[i])) * float64(d[i])
	}
	c.store(out)
}

// gateGradInput: dx = 2·σ(scale·gate)·d.
func gateGradInput(c *call) {
	g, d, out := c.floats(0), c.floats(1), c.result()
	for i := range out {
		out[i] = 2 * sigmoid(c.ins.Attr.Scale*float64(g[i])) * float64(d[i])
	}
	c.store(out)
}
