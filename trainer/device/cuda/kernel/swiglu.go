package kernel

import (
	"fmt"
	"math"
)

const swiGLUFile = "swiglu.cu"

func swiGLU(c *call) error     { return launchSwiGLU(c, "swiglu", c.result()) }
func swiGLUGrad(c *call) error { return launchSwiGLU(c, "swiglu_grad", c.arg(1), c.result()) }

// launchSwiGLU launches a kernel whose operands are gateUp, then others.
func launchSwiGLU(c *call, name string, others ...Arg) error {
	x := c.in(0)
	width, positions, n := last(x)/2, c.count(x)/last(x), pack(x.DType)
	if width%n != 0 {
		name, n = name+"_odd", 1
	}
	total := positions * width / n
	if total > math.MaxUint32-threads {
		return fmt.Errorf("%d positions of %d numbers are too many for one launch: use a smaller batch per GPU", positions, width)
	}
	args := append(append([]Arg{c.arg(0)}, others...), Int64(positions), Int32(width))
	c.launch(swiGLUFile, name, x.DType, grid(total, threads), block(threads), 0, args...)
	return nil
}
