package kernel

import "github.com/hrm-operator/hrm-operator/trainer/device"

const (
	embedFile = "embed.cu"
	// halfRoot is 1/sqrt(2) as the official code writes it: learned positions and tokens share the variance.
	halfRoot = 0.707106781
	// embedColumns is the columns of a block of embed_grad_weight_parts, and maxParts the most parts of a batch.
	embedColumns, maxParts = 64, 256
	// embedShared is the shared memory that its sums may take: with it several blocks run on a multiprocessor.
	embedShared = 48 << 10
)

// embedScale is the factor on tokens, puzzle and positions.
func embedScale(a device.Attributes, learned bool) Float32 {
	if learned {
		return Float32(a.Scale * halfRoot)
	}
	return Float32(a.Scale)
}

func embedTokens(c *call) error {
	out, prefix := c.out(), c.ins.Attr.Prefix
	dim, n, puzzleDim := last(out), pack(out.DType), 0
	if c.has(2) && prefix > 0 {
		puzzleDim = c.in(2).Elements()
	}
	name := "embed"
	if dim%n != 0 {
		name, n = "embed_odd", 1
	}
	c.launch(embedFile, name, out.DType, c.rowGrid(out.Elements(), threads*n), block(threads), 0,
		c.arg(0), c.arg(1), c.arg(2), c.arg(3), c.result(), Fault{},
		Int32(c.in(0).Elements()), Int32(prefix), Int32(dim), Int32(c.in(1).Shape[0]), Int32(puzzleDim), embedScale(c.ins.Attr, c.has(3)))
	return nil
}

func embedGradWeight(c *call) error {
	d, prefix := c.in(1), c.ins.Attr.Prefix
	vocabulary, dim, s := c.out().Shape[0], c.out().Shape[1], c.in(0).Elements()
	tokens, scale := c.rows*s, embedScale(c.ins.Attr, c.ins.Attr.LearnedPositions)
	shared := 4 * vocabulary * embedColumns
	if shared > embedShared {
		c.launch(embedFile, "embed_grad_weight_large", d.DType, [3]uint32{uint32(ceil(dim, threads)), uint32(vocabulary), 1}, block(threads), 0,
			c.arg(0), c.arg(1), c.result(), Fault{}, Int64(tokens), Int32(s), Int32(prefix), Int32(dim), Int32(vocabulary), scale)
		return nil
	}
	each := max(64, ceil(tokens, maxParts))
	parts, n := ceil(tokens, each), vocabulary*dim
	c.work.Scratch = 4 * parts * n
	c.launch(embedFile, "embed_grad_weight_parts", d.DType, [3]uint32{uint32(parts), uint32(ceil(dim, embedColumns)), 1}, block(embedColumns), shared,
		c.arg(0), c.arg(1), Scratch(0), Fault{}, Int64(tokens), Int32(each), Int32(s), Int32(prefix), Int32(dim), Int32(vocabulary))
	c.launch(embedFile, "embed_grad_weight", d.DType, grid(n, threads), block(threads), 0,
		Scratch(0), c.result(), Int32(parts), Int64(n), scale)
	return nil
}

func embedGradPuzzle(c *call) error {
	d, n := c.in(0), c.out().Elements()
	used := min(n, c.ins.Attr.Prefix*last(d))
	c.launch(embedFile, "embed_grad_puzzle", d.DType, c.rowGrid(n, threads), block(threads), 0,
		c.arg(0), c.result(), Int32(n), Int32(used), Int64(d.Elements()), embedScale(c.ins.Attr, c.ins.Attr.LearnedPositions))
	return nil
}

func embedGradPositions(c *call) error {
	d := c.in(0)
	c.launch(embedFile, "embed_grad_positions", d.DType, grid(d.Elements(), threads), block(threads), 0,
		c.arg(0), c.result(), Int32(c.rows), Int32(d.Elements()), embedScale(c.ins.Attr, true))
	return nil
}
