package reference

// qHead: out[k] = Σ_d W[k,d] z[0,d] + b[k]. z [T,D], W [2,D], b [2], out [2].
func qHead(c *call) {
	z, w, b, out := c.floats(0), c.floats(1), c.floats(2), c.result()
	block, dim := c.in(0).Elements(), c.in(0).Last()
	for i := range out {
		r, k := i/2, i%2
		out[i] = float64(b[k])
		for d := range dim {
			out[i] += float64(w[k*dim+d]) * float64(z[r*block+d])
		}
	}
	c.store(out)
}

// qHeadGradInput: dz[0,d] = Σ_k dQ[k] W[k,d], zero at the other positions.
func qHeadGradInput(c *call) {
	dq, w, out := c.floats(0), c.floats(1), c.result()
	block, dim := c.out().Elements(), c.out().Last()
	for i, g := range dq {
		r, k := i/2, i%2
		for d := range dim {
			out[r*block+d] += float64(g) * float64(w[k*dim+d])
		}
	}
	c.store(out)
}

// qHeadGradWeight: dW[k,d] = Σ_rows dQ[k] z[0,d].
func qHeadGradWeight(c *call) {
	dq, z, out := c.floats(0), c.floats(1), c.result()
	block, dim := c.in(1).Elements(), c.in(1).Last()
	for i, g := range dq {
		r, k := i/2, i%2
		for d := range dim {
			out[k*dim+d] += float64(g) * float64(z[r*block+d])
		}
	}
	c.store(out)
}

// qHeadGradBias: db[k] = Σ_rows dQ[k].
func qHeadGradBias(c *call) {
	dq, out := c.floats(0), c.result()
	for i, g := range dq {
		out[i%2] += float64(g)
	}
	c.store(out)
}
