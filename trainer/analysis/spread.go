package analysis

import "gonum.org/v1/gonum/mat"

// Spread sums up vectors of one length D for the covariance between their elements.
type Spread struct {
	n     float64
	sum   []float64
	outer *mat.SymDense // [D,D]
}

// NewSpread returns a spread of no vectors of length dim.
func NewSpread(dim int) *Spread {
	return &Spread{sum: make([]float64, dim), outer: mat.NewSymDense(dim, nil)}
}

// Add takes vectors [n,D], one after the other.
func (s *Spread) Add(vectors []float32) {
	dim := len(s.sum)
	rows := len(vectors) / dim
	if rows == 0 {
		return
	}
	values := make([]float64, rows*dim)
	for i := range values {
		values[i] = float64(vectors[i])
		s.sum[i%dim] += values[i]
	}
	s.n += float64(rows)
	s.outer.SymRankK(s.outer, 1, mat.NewDense(rows, dim, values).T())
}

// Participation is the participation ratio of the covariance C of the vectors so far,
//
//	PR = (Σ λ)² / Σ λ²
//
// over the eigenvalues λ of C (paper, section "Brain Correspondence"): D if they are all alike, 1 if there is but one. It needs no
// eigenvalues: their sum is the trace of C, that of their squares the sum of the squares of all elements. It is 0 where nothing varies.
func (s *Spread) Participation() float64 {
	if s.n == 0 {
		return 0
	}
	trace, squares := 0.0, 0.0
	for i := range s.sum {
		for k := range s.sum {
			c := s.outer.At(i, k)/s.n - s.sum[i]/s.n*s.sum[k]/s.n
			squares += c * c
			if i == k {
				trace += c
			}
		}
	}
	if squares <= 0 {
		return 0
	}
	return trace * trace / squares
}
