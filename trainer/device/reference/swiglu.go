package reference

import "math"

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// swiGLU: out[n,i] = gate*sigmoid(gate)*up, gate = x[n,i], up = x[n,F+i]. x [N,2F], out [N,F].
func swiGLU(c *call) {
	x, out := c.floats(0), c.result()
	f := c.out().Last()
	for i := range out {
		at := i/f*2*f + i%f
		gate, up := float64(x[at]), float64(x[at+f])
		out[i] = gate * sigmoid(gate) * up
	}
	c.store(out)
}

// swiGLUGrad: dgate = d*up*σ*(1+gate*(1-σ)); dup = d*gate*σ, σ = sigmoid(gate).
func swiGLUGrad(c *call) {
	x, d, out := c.floats(0), c.floats(1), c.result()
	f := c.in(1).Last()
	for i := range d {
		at := i/f*2*f + i%f
		g, gate, up := float64(d[i]), float64(x[at]), float64(x[at+f])
		s := sigmoid(gate)
		out[at] = g * up * s * (1 + gate*(1-s))
		out[at+f] = g * gate * s
	}
	c.store(out)
}
