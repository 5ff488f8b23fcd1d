package kernel

import "github.com/hrm-operator/hrm-operator/trainer/device"

const partFile = "part.cu"

func slice(c *call) error {
	p := device.PartOf(c.in(0), c.out(), c.rows, c.ins.Attr.Axis, c.ins.Attr.From)
	c.launchPart("slice", p, p.Count*p.Length, c.arg(0))
	return nil
}

func sliceGrad(c *call) error {
	p := device.PartOf(c.out(), c.in(0), c.rows, c.ins.Attr.Axis, c.ins.Attr.From)
	if c.ins.Attr.Accumulate {
		c.launchPart("slice_grad_add", p, p.Count*p.Length, c.arg(0))
		return nil
	}
	c.launchPart("slice_grad", p, p.Count*p.Stride, c.arg(0))
	return nil
}

func join(c *call) error {
	from, axis := 0, c.ins.Attr.Axis
	for i := range c.ins.In {
		p := device.PartOf(c.out(), c.in(i), c.rows, axis, from)
		c.launchPart("join", p, p.Count*p.Length, c.arg(i))
		from += c.in(i).Shape[axis]
	}
	return nil
}

// launchPart launches a kernel that writes n numbers of the result, from or to the part p.
func (c *call) launchPart(name string, p device.Part, n int, from Arg) {
	t := c.out().DType
	per := pack(t)
	if p.Length%per != 0 || p.Stride%per != 0 || p.From%per != 0 {
		name, per = name+"_odd", 1
	}
	c.launch(partFile, name, t, grid(n, threads*per), block(threads), 0, from, c.result(), Int64(n), Int32(p.Length), Int32(p.Stride), Int32(p.From))
}
