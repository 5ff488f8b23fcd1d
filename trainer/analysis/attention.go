package analysis

import "math"

// Attention is how much each position of a layer looks at each other one.
type Attention struct {
	// Heads are maps [T,T], row after row: row t are the weights with which position t takes the values of all. Each sums up to 1.
	Heads [][]float32
	// Positions is T, the prefix of the puzzle's embedding included.
	Positions int
}

// AttentionOf computes the weights softmax(q·k / sqrt(D/h)) of queries and keys that have been turned by RoPE, from a layer's
// queries, keys and values [T,3D]. Devices never hold these weights, so they are computed here, in float64: any device that runs the
// model can be asked. theta is that of RoPE, 0 for a model of learned positions.
func AttentionOf(qkv []float32, positions, heads int, theta float64) Attention {
	hidden := len(qkv) / positions / 3
	width := hidden / heads
	a := Attention{Positions: positions, Heads: make([][]float32, heads)}
	turned := func(t, offset int) []float64 {
		return rotate(qkv[t*3*hidden+offset:t*3*hidden+offset+width], t, theta)
	}
	for h := range heads {
		keys := make([][]float64, positions)
		for t := range keys {
			keys[t] = turned(t, hidden+h*width)
		}
		a.Heads[h] = make([]float32, 0, positions*positions)
		for t := range positions {
			a.Heads[h] = append(a.Heads[h], weigh(turned(t, h*width), keys)...)
		}
	}
	return a
}

// rotate is RoPE in its half-split form: elements i and i + width/2 are turned by position / theta^(2i/width).
func rotate(x []float32, position int, theta float64) []float64 {
	out, half := make([]float64, len(x)), len(x)/2
	for i := range x {
		out[i] = float64(x[i])
	}
	if theta == 0 {
		return out
	}
	for i := range half {
		sin, cos := math.Sincos(float64(position) * math.Pow(theta, -2*float64(i)/float64(len(x))))
		out[i], out[i+half] = out[i]*cos-out[i+half]*sin, out[i+half]*cos+out[i]*sin
	}
	return out
}

// weigh is a row of the map: the softmax of the scaled products of a query with the keys.
func weigh(query []float64, keys [][]float64) []float32 {
	scores, largest, sum := make([]float64, len(keys)), math.Inf(-1), 0.0
	for k, key := range keys {
		for i := range query {
			scores[k] += query[i] * key[i]
		}
		scores[k] /= math.Sqrt(float64(len(query)))
		largest = math.Max(largest, scores[k])
	}
	for k := range scores {
		scores[k] = math.Exp(scores[k] - largest)
		sum += scores[k]
	}
	row := make([]float32, len(scores))
	for k := range row {
		row[k] = float32(scores[k] / sum)
	}
	return row
}

// Entropy is how widely a head looks around, in bits: the mean over its positions of −Σ w·log2 w; 0 if each looks at one place,
// log2 T if all look everywhere alike.
func (a Attention) Entropy(head int) float64 {
	sum := 0.0
	for _, w := range a.Heads[head] {
		if w > 0 {
			sum -= float64(w) * math.Log2(float64(w))
		}
	}
	return sum / float64(a.Positions)
}

// Mean is the map [T,T] of all heads together.
func (a Attention) Mean() []float32 {
	mean := make([]float32, a.Positions*a.Positions)
	for _, head := range a.Heads {
		for i, w := range head {
			mean[i] += w / float32(len(a.Heads))
		}
	}
	return mean
}
