package reference

// appendState: out[From] = state; the other positions stay. state [1,D], out [T,D].
func appendState(c *call) {
	state := c.floats(0)
	out := widen(c.read(c.ins.Out))
	dim, block := c.out().Last(), c.out().Elements()
	for i, x := range state {
		out[i/dim*block+c.ins.Attr.From*dim+i%dim] = float64(x)
	}
	c.store(out)
}

// remembered calls do for each of the Count positions of a row's past, latest first, with its place among the rows' states and its weight.
func (c *call) remembered(row int, do func(at int, weight float64)) {
	weight := c.ins.Attr.Scale
	for i := c.ins.Attr.Count - 1; i >= 0; i-- {
		do(row*c.in(0).Elements()+i*c.in(0).Last(), weight)
		weight *= c.ins.Attr.Decay
	}
}

// recall: out = Σ_i weight_i·past_i·(past_i·query). past [T,D], query, out [1,D].
func recall(c *call) {
	past, queries, out := widen(c.floats(0)), widen(c.floats(1)), c.result()
	dim := c.out().Last()
	for row := range c.rows {
		query, sum := queries[row*dim:][:dim], out[row*dim:][:dim]
		c.remembered(row, func(at int, weight float64) {
			state := past[at : at+dim]
			match := weight * dot(state, query)
			for d := range sum {
				sum[d] += match * state[d]
			}
		})
	}
	c.store(out)
}

// recallGradPast: dpast_i = weight_i·((past_i·query)·dout + (past_i·dout)·query). past, dpast [T,D], query, dout [1,D].
func recallGradPast(c *call) {
	past, queries, grads, out := widen(c.floats(0)), widen(c.floats(1)), widen(c.floats(2)), c.result()
	dim := c.out().Last()
	for row := range c.rows {
		query, grad := queries[row*dim:][:dim], grads[row*dim:][:dim]
		c.remembered(row, func(at int, weight float64) {
			state := past[at : at+dim]
			byQuery, byGrad := weight*dot(state, query), weight*dot(state, grad)
			for d := range dim {
				out[at+d] = byQuery*grad[d] + byGrad*query[d]
			}
		})
	}
	c.store(out)
}
