package kernel

const activateFile = "activate.cu"

func activate(c *call) error {
	return c.launchEach(activateFile, "activate", Int32(c.ins.Attr.Activation))
}

func activateGrad(c *call) error {
	return c.launchEach(activateFile, "activate_grad", Int32(c.ins.Attr.Activation), Float32(c.ins.Attr.Scale))
}
