package reference

import "math"

// heads is one row's q, k and v, cut into heads and rotated: q[h][t] has dim numbers.
type heads struct {
	q, k, v   [][][]float64
	t, h, dim int
	cos, sin  [][]float64
	scale     float64
	withRoPE  bool
}

// newHeads prepares the tables of rotation: angle(t,i) = t * theta^(-2i/dim), i < dim/2.
func newHeads(c *call) *heads {
	t, d := c.in(0).Shape[0], c.in(0).Last()/3
	h := &heads{t: t, h: c.ins.Attr.Heads, dim: d / c.ins.Attr.Heads, withRoPE: c.ins.Attr.RoPETheta != 0}
	h.scale = 1 / math.Sqrt(float64(h.dim))
	for p := range t {
		cos, sin := make([]float64, h.dim/2), make([]float64, h.dim/2)
		for i := range cos {
			angle := float64(p) * math.Pow(c.ins.Attr.RoPETheta, -2*float64(i)/float64(h.dim))
			cos[i], sin[i] = math.Cos(angle), math.Sin(angle)
		}
		h.cos, h.sin = append(h.cos, cos), append(h.sin, sin)
	}
	return h
}

// rotate turns x of position p by the angles, or back: pairs are (x[i], x[i+dim/2]), the half-split form.
func (h *heads) rotate(x []float64, p int, direction float64) {
	if !h.withRoPE {
		return
	}
	half := h.dim / 2
	for i := range half {
		cos, sin := h.cos[p][i], direction*h.sin[p][i]
		a, b := x[i], x[i+half]
		x[i], x[i+half] = a*cos-b*sin, b*cos+a*sin
	}
}

// cut reads one part (0 q, 1 k, 2 v) of a row of packed qkv [T,3D] as [h][T][dim].
func (h *heads) cut(qkv []float32, part int) [][][]float64 {
	d := h.h * h.dim
	out := make([][][]float64, h.h)
	for head := range out {
		out[head] = make([][]float64, h.t)
		for p := range h.t {
			x := make([]float64, h.dim)
			for i := range x {
				x[i] = float64(qkv[p*3*d+part*d+head*h.dim+i])
			}
			if part < 2 {
				h.rotate(x, p, 1)
			}
			out[head][p] = x
		}
	}
	return out
}

func (h *heads) load(qkv []float32) {
	h.q, h.k, h.v = h.cut(qkv, 0), h.cut(qkv, 1), h.cut(qkv, 2)
}

// scores of query p of a head: s[j] = scale * q[p]·k[j].
func (h *heads) scores(head, p int) []float64 {
	s := make([]float64, h.t)
	for j := range s {
		s[j] = h.scale * dot(h.q[head][p], h.k[head][j])
	}
	return s
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// attention: out[p] = Σ_j exp(s[j]-lse) v[j], lse = log Σ_j exp(s[j]), for every head.
// qkv [T,3D], out [Q,D], lse [h,Q]: the first Q positions ask.
func attention(c *call) {
	qkv, out := c.floats(0), c.result()
	h := newHeads(c)
	d, queries := h.h*h.dim, c.out().Shape[0]
	lse := make([]float64, c.rows*h.h*queries)
	for r := range c.rows {
		h.load(qkv[r*h.t*3*d:])
		for head := range h.h {
			for p := range queries {
				s := h.scores(head, p)
				l := logSumExp(s)
				lse[(r*h.h+head)*queries+p] = l
				o := out[(r*queries+p)*d+head*h.dim:]
				for j := range s {
					weight := math.Exp(s[j] - l)
					for i, v := range h.v[head][j] {
						o[i] += weight * v
					}
				}
			}
		}
	}
	c.store(out)
	c.storeAux(lse)
}

func logSumExp(s []float64) float64 {
	top := math.Inf(-1)
	for _, x := range s {
		top = math.Max(top, x)
	}
	sum := 0.0
	for _, x := range s {
		sum += math.Exp(x - top)
	}
	return top + math.Log(sum)
}

// attentionGrad, with P[p,j] = exp(s-lse) and dP[p,j] = dOut[p]·v[j]:
// dv[j] = Σ_p P dOut[p];  dS = P (dP - dOut[p]·out[p]);  dq[p] = scale Σ_j dS k[j];  dk[j] = scale Σ_p dS q[p];
// dq and dk are then rotated back.
func attentionGrad(c *call) {
	qkv, out, dOut, lse, dqkv := c.floats(0), c.floats(1), c.floats(2), c.aux(), c.result()
	h := newHeads(c)
	d := h.h * h.dim
	for r := range c.rows {
		h.load(qkv[r*h.t*3*d:])
		for head := range h.h {
			dq, dk, dv := zeros(h.t, h.dim), zeros(h.t, h.dim), zeros(h.t, h.dim)
			for p := range h.t {
				at := (r*h.t+p)*d + head*h.dim
				g, o := widen(dOut[at:at+h.dim]), widen(out[at:at+h.dim])
				s, l, delta := h.scores(head, p), float64(lse[(r*h.h+head)*h.t+p]), dot(g, o)
				for j := range s {
					weight := math.Exp(s[j] - l)
					ds := h.scale * weight * (dot(g, h.v[head][j]) - delta)
					for i := range h.dim {
						dv[j][i] += weight * g[i]
						dq[p][i] += ds * h.k[head][j][i]
						dk[j][i] += ds * h.q[head][p][i]
					}
				}
			}
			for p := range h.t {
				h.rotate(dq[p], p, -1)
				h.rotate(dk[p], p, -1)
				to := dqkv[(r*h.t+p)*3*d+head*h.dim:]
				copy(to, dq[p])
				copy(to[d:], dk[p])
				copy(to[2*d:], dv[p])
			}
		}
	}
	c.store(dqkv)
}

func zeros(n, m int) [][]float64 {
	out := make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, m)
	}
	return out
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i := range x {
		out[i] = float64(x[i])
	}
	return out
}
