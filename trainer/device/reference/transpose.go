package reference

// transpose: out[b,i,j] = x[b,j,i]. x [B,T,D], out [B,D,T].
func transpose(c *call) {
	x, out := c.floats(0), c.result()
	d, t := c.in(0).Last(), c.out().Last()
	for i := range x {
		row, at := i/(t*d), i%(t*d)
		out[row*t*d+at%d*t+at/d] = float64(x[i])
	}
	c.store(out)
}
