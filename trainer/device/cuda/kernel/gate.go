package kernel

const gateFile = "gate.cu"

func gate(c *call) error         { return launchGate(c, "gate") }
func gateGradGate(c *call) error { return launchGate(c, "gate_grad_gate") }
func gateGradInput(c *call) error {
	return launchGate(c, "gate_grad_input", Float32(c.ins.Attr.Scale))
}

// launchGate launches a kernel of operands of one shape; more are arguments after their number of elements.
func launchGate(c *call, name string, more ...Arg) error {
	var args []Arg
	for i := range c.ins.In {
		args = append(args, c.arg(i))
	}
	out := c.out()
	n := c.count(out)
	args = append(append(args, c.result(), Int64(n)), more...)
	c.launch(gateFile, name, out.DType, grid(n, threads*pack(out.DType)), block(threads), 0, args...)
	return nil
}
