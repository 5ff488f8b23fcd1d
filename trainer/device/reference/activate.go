package reference

import (
	"math"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// activate: out = tanh(x), sigmoid(x), or 1 where x > 0 and else 0.
func activate(c *call) {
	x, out := c.floats(0), c.result()
	for i := range out {
		switch c.ins.Attr.Activation {
		case device.Tanh:
			out[i] = math.Tanh(float64(x[i]))
		case device.Sigmoid:
			out[i] = sigmoid(float64(x[i]))
		case device.Step:
			if x[i] > 0 {
				out[i] = 1
			}
		}
	}
	c.store(out)
}

// activateGrad: dx = (1-y²)·d of y = tanh(x); y·(1-y)·d of y = sigmoid(x); of the step scale/2·d where |scale·x| < 1, else 0.
func activateGrad(c *call) {
	x, d, out := c.floats(0), c.floats(1), c.result()
	scale := c.ins.Attr.Scale
	for i := range out {
		v := float64(x[i])
		slope := 0.0
		switch c.ins.Attr.Activation {
		case device.Tanh:
			slope = 1 - v*v
		case device.Sigmoid:
			slope = v * (1 - v)
		case device.Step:
			if math.Abs(scale*v) < 1 {
				slope = scale / 2
			}
		}
		out[i] = slope * float64(d[i])
	}
	c.store(out)
}
