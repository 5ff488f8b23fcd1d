package reference

import "math"

// addRMSNorm: u = x+y; r = 1/sqrt(mean(u²)+eps); out = u*r. x, y, out [T,D], r [T]. Of a longer x or y the first T positions count.
func addRMSNorm(c *call) {
	x, y, out := c.floats(0), c.floats(1), c.result()
	dim, block := c.out().Last(), c.out().Elements()
	longerX, longerY := c.in(0).Elements()-block, c.in(1).Elements()-block
	r := make([]float64, len(out)/dim)
	for n := range r {
		squares, row := 0.0, n*dim/block
		for i := n * dim; i < (n+1)*dim; i++ {
			out[i] = float64(x[i+row*longerX]) + float64(y[i+row*longerY])
			squares += out[i] * out[i]
		}
		r[n] = 1 / math.Sqrt(squares/float64(dim)+c.ins.Attr.Epsilon)
		for i := n * dim; i < (n+1)*dim; i++ {
			out[i] *= r[n]
		}
	}
	c.store(out)
	c.storeAux(r)
}

// addRMSNormGrad: du = r (dOut - out * mean(dOut*out)).
func addRMSNormGrad(c *call) {
	out, d, r, du := c.floats(0), c.floats(1), c.aux(), c.result()
	dim := c.out().Last()
	for n := range len(du) / dim {
		mean := 0.0
		for i := n * dim; i < (n+1)*dim; i++ {
			mean += float64(d[i]) * float64(out[i]) / float64(dim)
		}
		for i := n * dim; i < (n+1)*dim; i++ {
			du[i] = float64(r[n]) * (float64(d[i]) - float64(out[i])*mean)
		}
	}
	c.store(du)
}
