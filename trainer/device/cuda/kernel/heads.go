package kernel

import "github.com/hrm-operator/hrm-operator/trainer/device"

const (
	qHeadFile = "qhead.cu"
	qLossFile = "qloss.cu"
	lossFile  = "loss.cu"
	// lossThreads is the threads of a row: puzzles of 81 tokens leave few of them idle.
	lossThreads = 128
)

func qHead(c *call) error {
	z := c.in(0)
	c.launch(qHeadFile, "q_head", z.DType, grid(c.rows, threads/warp), block(threads), 0,
		c.arg(0), c.arg(1), c.arg(2), c.result(), Int32(c.rows), Int64(z.Elements()), Int32(last(z)))
	return nil
}

func qHeadGradInput(c *call) error {
	out, accumulate := c.out(), Int32(0)
	size, dim := out.Elements(), last(out)
	if c.ins.Attr.Accumulate {
		size, accumulate = dim, 1
	}
	c.launch(qHeadFile, "q_head_grad_input", out.DType, c.rowGrid(size, threads), block(threads), 0,
		c.arg(0), c.arg(1), c.result(), Int32(size), Int64(out.Elements()), Int32(dim), accumulate)
	return nil
}

func qHeadGradWeight(c *call) error {
	z := c.in(1)
	c.launch(qHeadFile, "q_head_grad_weight", z.DType, [3]uint32{uint32(ceil(last(z), warp)), 2, 1}, block(threads), 4*threads,
		c.arg(0), c.arg(1), c.result(), Int32(c.rows), Int64(z.Elements()), Int32(last(z)))
	return nil
}

func qHeadGradBias(c *call) error {
	c.launch(qHeadFile, "q_head_grad_bias", device.Float32, grid(1, 1), block(threads), 4*threads/warp,
		c.arg(0), c.result(), Int32(c.rows))
	return nil
}

func lmLoss(c *call) error     { return launchLoss(c, "lm_loss", c.arg(0), c.arg(1), c.result()) }
func tokenStats(c *call) error { return launchLoss(c, "token_stats", c.arg(0), c.arg(1), c.result()) }
func lmLossGrad(c *call) error {
	return launchLoss(c, "lm_loss_grad", c.arg(0), c.arg(1), c.arg(2), c.result())
}

// launchLoss launches a kernel over logits, a block per row.
func launchLoss(c *call, name string, args ...Arg) error {
	logits := c.in(0)
	args = append(args, Fault{}, Int32(logits.Shape[0]), Int32(logits.Shape[1]))
	if name != "token_stats" {
		softmax := Int32(0)
		if c.ins.Attr.Loss == device.Softmax {
			softmax = 1
		}
		args = append(args, softmax)
	}
	c.launch(lossFile, name, logits.DType, grid(c.rows, 1), block(lossThreads), 8*lossThreads/warp, args...)
	return nil
}

func qTarget(c *call) error { return launchQLoss(c, "q_target", c.arg(0), c.arg(1), c.result()) }
func qLoss(c *call) error {
	return launchQLoss(c, "q_loss", c.arg(0), c.arg(1), c.arg(2), c.result())
}
func qLossGrad(c *call) error {
	return launchQLoss(c, "q_loss_grad", c.arg(0), c.arg(1), c.arg(2), c.arg(3), c.result())
}

// launchQLoss launches a kernel with a thread per row.
func launchQLoss(c *call, name string, args ...Arg) error {
	c.launch(qLossFile, name, device.Float32, grid(c.rows, threads), block(threads), 0, append(args, Int32(c.rows))...)
	return nil
}
