package kernel

const squaredErrorFile = "squarederror.cu"

func squaredError(c *call) error {
	x := c.in(0)
	c.launch(squaredErrorFile, "squared_error", x.DType, grid(c.rows, 1), block(threads), 4*threads/warp,
		c.arg(0), c.arg(1), c.result(), Int32(x.Elements()))
	return nil
}

func squaredErrorGrad(c *call) error {
	out := c.out()
	c.launch(squaredErrorFile, "squared_error_grad", out.DType, c.rowGrid(out.Elements(), threads), block(threads), 0,
		c.arg(0), c.arg(1), c.arg(2), c.result(), Int32(out.Elements()))
	return nil
}
