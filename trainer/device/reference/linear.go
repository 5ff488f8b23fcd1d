package reference

// linear: out[n,o] = Σ_i x[n,i] W[o,i]. x [N,in], W [out,in], out [N,out].
func linear(c *call) {
	x, w, out := c.floats(0), c.weights(1, c.in(0).DType), c.result()
	nOut, nIn := c.in(1).Shape[0], c.in(1).Shape[1]
	for n := range len(out) / nOut {
		row := x[n*nIn : (n+1)*nIn]
		for o := range nOut {
			sum := 0.0
			for i, wi := range w[o*nIn : (o+1)*nIn] {
				sum += float64(row[i]) * float64(wi)
			}
			out[n*nOut+o] = sum
		}
	}
	c.store(out)
}

// linearGradInput: dx[n,i] = Σ_o dOut[n,o] W[o,i].
func linearGradInput(c *call) {
	d, w, out := c.floats(0), c.weights(1, c.in(0).DType), c.result()
	nOut, nIn := c.in(1).Shape[0], c.in(1).Shape[1]
	for n := range len(d) / nOut {
		dx := out[n*nIn : (n+1)*nIn]
		for o, g := range d[n*nOut : (n+1)*nOut] {
			for i, wi := range w[o*nIn : (o+1)*nIn] {
				dx[i] += float64(g) * float64(wi)
			}
		}
	}
	c.store(out)
}

// linearGradWeight: dW[o,i] = Σ_n dOut[n,o] x[n,i].
func linearGradWeight(c *call) {
	d, x, out := c.floats(0), c.floats(1), c.result()
	nOut, nIn := c.out().Shape[0], c.out().Shape[1]
	for n := range len(d) / nOut {
		row := x[n*nIn : (n+1)*nIn]
		for o, g := range d[n*nOut : (n+1)*nOut] {
			dw := out[o*nIn : (o+1)*nIn]
			for i, xi := range row {
				dw[i] += float64(g) * float64(xi)
			}
		}
	}
	c.store(out)
}
