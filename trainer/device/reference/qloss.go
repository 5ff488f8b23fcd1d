package reference

import "math"

// qTarget: out = sigmoid(last ? q_halt : max(q_halt, q_continue)).
func qTarget(c *call) {
	q, last, out := c.floats(0), c.ints(1), c.result()
	for r := range out {
		x := float64(q[2*r])
		if last[r] == 0 {
			x = math.Max(x, float64(q[2*r+1]))
		}
		out[r] = sigmoid(x)
	}
	c.store(out)
}

// bce is the binary cross-entropy of a logit: max(x,0) - x*target + log(1+exp(-|x|)).
func bce(x, target float64) float64 {
	return math.Max(x, 0) - x*target + math.Log1p(math.Exp(-math.Abs(x)))
}

// exact is 1 if all labelled tokens of a row are right.
func exact(stats []float32, r int) float64 {
	if stats[2*r] == stats[2*r+1] {
		return 1
	}
	return 0
}

// qLoss: out = (bce(q_halt, exact), bce(q_continue, target) or 0 without a target).
func qLoss(c *call) {
	q, stats, out := c.floats(0), c.floats(1), c.result()
	for r := range c.rows {
		out[2*r] = bce(float64(q[2*r]), exact(stats, r))
	}
	if c.has(2) {
		for r, target := range c.floats(2) {
			out[2*r+1] = bce(float64(q[2*r+1]), float64(target))
		}
	}
	c.store(out)
}

// qLossGrad: out = (dLoss[0] (sigmoid(q_halt)-exact), dLoss[1] (sigmoid(q_continue)-target) or 0).
func qLossGrad(c *call) {
	q, stats, d, out := c.floats(0), c.floats(1), c.floats(2), c.result()
	for r := range c.rows {
		out[2*r] = float64(d[2*r]) * (sigmoid(float64(q[2*r])) - exact(stats, r))
	}
	if c.has(3) {
		for r, target := range c.floats(3) {
			out[2*r+1] = float64(d[2*r+1]) * (sigmoid(float64(q[2*r+1])) - float64(target))
		}
	}
	c.store(out)
}
