package kernel

const recallFile = "recall.cu"

func appendState(c *call) error {
	out := c.out()
	dim := last(out)
	c.launch(recallFile, "append_state", out.DType, c.rowGrid(dim, threads), block(threads), 0,
		c.arg(0), c.result(), Int32(dim), Int32(c.ins.Attr.From), Int64(out.Elements()))
	return nil
}

func recall(c *call) error {
	out, a := c.out(), c.ins.Attr
	c.launch(recallFile, "recall", out.DType, grid(c.rows, 1), block(threads), 16*ceil(a.Count, 4),
		c.arg(0), c.arg(1), c.result(), Int32(last(out)), Int32(a.Count), Int64(c.in(0).Elements()), Float32(a.Scale), Float32(a.Decay))
	return nil
}

func recallGradPast(c *call) error {
	out, a := c.out(), c.ins.Attr
	positions, add := out.Elements()/last(out), Int32(0)
	if a.Accumulate {
		positions, add = a.Count, 1
	}
	c.launch(recallFile, "recall_grad_past", out.DType, c.rowGrid(positions, threads/warp), block(threads), 0,
		c.arg(0), c.arg(1), c.arg(2), c.result(), Int32(last(out)), Int32(a.Count), Int32(positions), Int64(out.Elements()),
		Float32(a.Scale), Float32(a.Decay), add)
	return nil
}
