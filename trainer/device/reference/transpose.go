package reference

// transpose: out[b,i,j] = x[b,j,i]. x [B,T,D], out [B,D,T].
func transpose(c *call) {
	x, out := c.floats(0), c.result()
	d, t := last(c.in(0)), last(c.out())
	for i := range x {
		row, at := i/(t*d), i%(t*d)
		out[row*t*d+at%d*t+at/d] = float64(x[i])
	}
	c.store(out)
}
