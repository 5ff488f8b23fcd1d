package analysis

import "math"

// Residual is the forward residual of an update: the Euclidean norm ‖z(t+1) − z(t)‖ over all positions and elements of a state
// (paper, section "Hierarchical convergence", figure "Comparison of forward residuals and PCA trajectories"). A module that converges
// takes ever smaller steps; the low-level one begins anew with each cycle, since the high-level state that it works for has changed.
func Residual(before, after []float32) float64 {
	sum := 0.0
	for i := range after {
		d := float64(after[i]) - float64(before[i])
		sum += d * d
	}
	return math.Sqrt(sum)
}
