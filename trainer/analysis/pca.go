package analysis

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Projection is points along the directions in which they vary most.
type Projection struct {
	// Points are [n][k].
	Points [][]float64
	// Shares are those of the variance that each of the k directions has.
	Shares []float64
}

// Project is the principal component analysis of points [n][D], of which there are few and D is large: the eigenvectors of the
// Gram matrix [n,n] of the centred points, times the roots of their eigenvalues, are the coordinates (the method of snapshots;
// Sirovich 1987). The sign of a component means nothing; it is chosen so that the last point is not negative.
func Project(points [][]float32, k int) (Projection, error) {
	n := len(points)
	if n < 2 {
		return Projection{}, errors.New("directions of fewer than two points")
	}
	k = min(k, n)
	gram := gramOf(points)
	var eigen mat.EigenSym
	if !eigen.Factorize(gram, true) {
		return Projection{}, errors.New("the points have no principal components: not all of them are finite")
	}
	values := eigen.Values(nil) // ascending
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	total := 0.0
	for _, v := range values {
		total += math.Max(0, v)
	}
	p := Projection{Points: make([][]float64, n), Shares: make([]float64, k)}
	for c := range k {
		at := n - 1 - c
		scale := math.Sqrt(math.Max(0, values[at]))
		if vectors.At(n-1, at) < 0 {
			scale = -scale
		}
		if total > 0 {
			p.Shares[c] = math.Max(0, values[at]) / total
		}
		for i := range p.Points {
			p.Points[i] = append(p.Points[i], vectors.At(i, at)*scale)
		}
	}
	return p, nil
}

// gramOf is the products of all pairs of points, their mean subtracted.
func gramOf(points [][]float32) *mat.SymDense {
	n, dim := len(points), len(points[0])
	centred := mat.NewDense(n, dim, nil)
	for d := range dim {
		mean := 0.0
		for i := range n {
			mean += float64(points[i][d]) / float64(n)
		}
		for i := range n {
			centred.Set(i, d, float64(points[i][d])-mean)
		}
	}
	gram := mat.NewSymDense(n, nil)
	gram.SymOuterK(1, centred)
	return gram
}
