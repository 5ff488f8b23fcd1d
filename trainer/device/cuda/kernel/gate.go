package kernel

const gateFile = "gate.cu"

func gate(c *call) error         { return c.launchEach(gateFile, "gate") }
func gateGradGate(c *call) error { return c.launchEach(gateFile, "gate_grad_gate") }
func gateGradInput(c *call) error {
	return c.launchEach(gateFile, "gate_grad_input", Float32(c.ins.Attr.Scale))
}
