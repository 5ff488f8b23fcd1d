package kernel

const blendFile = "blend.cu"

func multiply(c *call) error {
	complement := Int32(0)
	if c.ins.Attr.Complement {
		complement = 1
	}
	return c.launchEach(blendFile, "multiply_each", Int32(c.each(1, last(c.out()))), complement)
}

func blend(c *call) error {
	return c.launchEach(blendFile, "blend", Int32(c.each(0, last(c.out()))))
}

func blendGradWeight(c *call) error {
	y := c.arg(2)
	out, dim := c.out(), last(c.in(0))
	n := c.count(out)
	if last(out) == dim {
		c.launch(blendFile, "blend_grad_weight", out.DType, grid(n, threads*pack(out.DType)), block(threads), 0, c.arg(0), c.arg(1), y, c.result(), Int64(n))
		return nil
	}
	c.launch(blendFile, "blend_grad_weight_sum", out.DType, grid(n, threads/warp), block(threads), 0, c.arg(0), c.arg(1), y, c.result(), Int64(n), Int32(dim))
	return nil
}

// each is how many neighbours of a value of so many columns share a number of operand k.
func (c *call) each(k, dim int) int { return dim / last(c.in(k)) }
