package reference

import "github.com/hrm-operator/hrm-operator/trainer/device"

// eachOf calls do for every element of a part of whole, with its index in the part and in the whole.
func (c *call) eachOf(part, whole *device.Value, from int, do func(inPart, inWhole int)) {
	p := device.PartOf(whole, part, c.rows, c.ins.Attr.Axis, from)
	for n := range p.Count {
		for i := range p.Length {
			do(n*p.Length+i, n*p.Stride+p.From+i)
		}
	}
}

// slice: out = x from index From on, as long as out is. x [T,D], out shorter along Axis.
func slice(c *call) {
	x, out := c.floats(0), c.result()
	c.eachOf(c.out(), c.in(0), c.ins.Attr.From, func(i, at int) { out[i] = float64(x[at]) })
	c.store(out)
}

// sliceGrad: out = d from index From on, 0 elsewhere. out [T,D], d shorter along Axis.
func sliceGrad(c *call) {
	d, out := c.floats(0), c.result()
	c.eachOf(c.in(0), c.out(), c.ins.Attr.From, func(i, at int) { out[at] = float64(d[i]) })
	c.store(out)
}

// join: out = [x0 ; x1 ; ...] along Axis.
func join(c *call) {
	out := c.result()
	from := 0
	for k := range c.ins.In {
		x := c.floats(k)
		c.eachOf(c.in(k), c.out(), from, func(i, at int) { out[at] = float64(x[i]) })
		from += c.in(k).Shape[c.ins.Attr.Axis]
	}
	c.store(out)
}
