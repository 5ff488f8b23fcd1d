package kernel

const chooseFile = "choose.cu"

func topK(c *call) error {
	out := c.out()
	size := out.Elements()
	c.launch(chooseFile, "top_k", out.DType, c.rowGrid(size, threads), block(threads), 0,
		c.arg(0), c.arg(1), c.result(), Int32(size), Int32(c.ins.Attr.Count))
	return nil
}

func unpredicted(c *call) error {
	logits, out := c.in(0), c.out()
	c.launch(chooseFile, "unpredicted", out.DType, c.rowGrid(out.Elements(), threads), block(threads), 0,
		c.arg(0), c.arg(1), c.result(), Int32(logits.Shape[0]), Int32(last(logits)), Int32(c.ins.Attr.Prefix))
	return nil
}

func nextTokens(c *call) error {
	size, t := c.out().Elements(), c.in(0).DType
	if c.has(1) {
		t = c.in(1).DType
	}
	c.launch(chooseFile, "next_tokens", t, c.rowGrid(size, threads), block(threads), 0,
		c.arg(0), c.arg(1), c.result(), Int32(size), Int32(c.ins.Attr.Prefix))
	return nil
}
