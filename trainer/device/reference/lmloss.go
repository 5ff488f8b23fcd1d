package reference

import (
	"fmt"
	"math"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// ignored is the label of tokens that count for nothing.
const ignored = -100

// stable is s(x) = x<0 ? 1/(1-x+1e-30) : x+1, and its derivative.
func stable(x float64) (s, ds float64) {
	if x < 0 {
		s = 1 / (1 - x + 1e-30)
		return s, s * s
	}
	return x + 1, 1
}

// tokenLoss returns -log p[label] and its derivative by every logit.
// Stablemax: p = s(x)/Σs(x). Softmax: p = exp(x)/Σexp(x).
func tokenLoss(kind device.LossKind, logits []float32, label int) (float64, []float64) {
	d := make([]float64, len(logits))
	if kind == device.Softmax {
		l := logSumExp(widen(logits))
		for i, x := range logits {
			d[i] = math.Exp(float64(x) - l)
		}
		d[label]--
		return l - float64(logits[label]), d
	}
	sum := 0.0
	for _, x := range logits {
		s, _ := stable(float64(x))
		sum += s
	}
	for i, x := range logits {
		_, ds := stable(float64(x))
		d[i] = ds / sum
	}
	s, ds := stable(float64(logits[label]))
	d[label] -= ds / s
	return -math.Log(s / sum), d
}

// labelled calls do for every labelled token of row r and returns how many there are. labels [S], logits [S,V].
func (c *call) labelled(r int, logits []float32, labels []int32, do func(at, label int, x []float32)) int {
	s, v := c.in(0).Shape[0], c.in(0).Shape[1]
	n := 0
	for t := range s {
		label := labels[r*s+t]
		if label == ignored {
			continue
		}
		if label < 0 || int(label) >= v {
			c.fail(fmt.Errorf("label %d is outside of the vocabulary of %d", label, v))
			continue
		}
		n++
		at := (r*s + t) * v
		do(at, int(label), logits[at:at+v])
	}
	return n
}

// lmLoss: out = Σ_t loss(t) / max(1, labelled tokens).
func lmLoss(c *call) {
	logits, labels, out := c.floats(0), c.ints(1), c.result()
	for r := range out {
		n := c.labelled(r, logits, labels, func(_, label int, x []float32) {
			loss, _ := tokenLoss(c.ins.Attr.Loss, x, label)
			out[r] += loss
		})
		out[r] /= float64(max(n, 1))
	}
	c.store(out)
}

// lmLossGrad: out[t] = dLoss / labelled tokens * dloss(t)/dlogits, zero where nothing is labelled.
func lmLossGrad(c *call) {
	logits, labels, dLoss, out := c.floats(0), c.ints(1), c.floats(2), c.result()
	for r := range c.rows {
		n := c.labelled(r, logits, labels, func(int, int, []float32) {})
		c.labelled(r, logits, labels, func(at, label int, x []float32) {
			_, d := tokenLoss(c.ins.Attr.Loss, x, label)
			for i := range d {
				out[at+i] = float64(dLoss[r]) / float64(n) * d[i]
			}
		})
	}
	c.store(out)
}

// tokenStats: out = (tokens whose argmax is the label, labelled tokens); the first of equal logits wins.
func tokenStats(c *call) {
	logits, labels, out := c.floats(0), c.ints(1), c.result()
	for r := range c.rows {
		n := c.labelled(r, logits, labels, func(_, label int, x []float32) {
			if argmax(x) == label {
				out[2*r]++
			}
		})
		out[2*r+1] = float64(n)
	}
	c.store(out)
}
