package reference

// reset: out[t] = halted ? init : z[t]. z [T,D], init [D], halted [].
func reset(c *call) {
	z, init, halted, out := c.floats(0), c.weights(1, c.out().DType), c.ints(2), c.result()
	block, dim := c.out().Elements(), c.out().Last()
	for i := range out {
		if halted[i/block] != 0 {
			out[i] = float64(init[i%dim])
		} else {
			out[i] = float64(z[i])
		}
	}
	c.store(out)
}

// add: out = in[0] + in[1] (+ in[2]).
func add(c *call) {
	out := c.result()
	for k := range c.ins.In {
		for i, x := range c.floats(k) {
			out[i] += float64(x)
		}
	}
	c.store(out)
}

// fill: out = scale.
func fill(c *call) {
	out := c.result()
	for i := range out {
		out[i] = c.ins.Attr.Scale
	}
	c.store(out)
}

// dropPrefix: out[t] = in[prefix+t]. in [T,V], out [S,V].
func dropPrefix(c *call) {
	x, out := c.floats(0), c.result()
	from, to := c.in(0).Elements(), c.out().Elements()
	for i := range out {
		out[i] = float64(x[i/to*from+(from-to)+i%to])
	}
	c.store(out)
}

// dropPrefixGrad: out[prefix+t] = d[t], zero before. d [S,V], out [T,V].
func dropPrefixGrad(c *call) {
	d, out := c.floats(0), c.result()
	from, to := c.in(0).Elements(), c.out().Elements()
	for i, x := range d {
		out[i/from*to+(to-from)+i%from] = float64(x)
	}
	c.store(out)
}
