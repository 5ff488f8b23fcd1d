package kernel

import "fmt"

const elementwiseFile = "elementwise.cu"

// rowGrid is a grid with a row of blocks for every row of the batch.
func (c *call) rowGrid(size, per int) [3]uint32 {
	return [3]uint32{uint32(ceil(size, per)), uint32(c.rows), 1}
}

func reset(c *call) error {
	out := c.out()
	size, dim, n := out.Elements(), last(out), pack(out.DType)
	name := "reset"
	if dim%n != 0 {
		name, n = "reset_odd", 1
	}
	c.launch(elementwiseFile, name, out.DType, c.rowGrid(size, threads*n), block(threads), 0,
		c.arg(0), c.arg(1), c.arg(2), c.result(), Int32(size), Int32(dim))
	return nil
}

func add(c *call) error {
	out := c.out()
	n := c.count(out)
	c.launch(elementwiseFile, "add", out.DType, grid(n, threads*pack(out.DType)), block(threads), 0,
		c.arg(0), c.arg(1), c.arg(2), c.result(), Int64(n))
	return nil
}

func dropPrefix(c *call) error {
	out := c.out()
	size := out.Elements()
	c.launch(elementwiseFile, "drop_prefix", out.DType, c.rowGrid(size, threads), block(threads), 0,
		c.arg(0), c.result(), Int32(size), Int32(c.in(0).Elements()-size))
	return nil
}

func dropPrefixGrad(c *call) error {
	out := c.out()
	size := out.Elements()
	c.launch(elementwiseFile, "drop_prefix_grad", out.DType, c.rowGrid(size, threads), block(threads), 0,
		c.arg(0), c.result(), Int32(size), Int32(size-c.in(0).Elements()))
	return nil
}

func fill(c *call) error {
	out := c.out()
	if out.DType.Size() != 4 {
		return fmt.Errorf("the result is %v, want F32", out.DType)
	}
	n := c.count(out)
	c.launch(elementwiseFile, "fill", out.DType, grid(n, threads), block(threads), 0,
		c.result(), Int64(n), Float32(c.ins.Attr.Scale))
	return nil
}

// Round returns a launch that writes n float32 numbers of buffer from to buffer to in bfloat16. Products read parameters in this
// form; [AdamATan2] keeps it up to date, after other changes of a parameter it is to be made anew.
func Round(from, to, n int) (Work, error) {
	return single(Launch{File: elementwiseFile, Kernel: "round_all", Grid: grid(n, threads*8), Block: block(threads),
		Args: []Arg{Buffer(from), Buffer(to), Int64(n)}})
}
