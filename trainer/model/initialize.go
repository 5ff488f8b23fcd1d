package model

import (
	"math"
	"math/rand/v2"
)

// truncatedStd is the standard deviation of a standard normal distribution cut at ±2.
var truncatedStd = func() float64 {
	density := math.Exp(-2) / math.Sqrt(2*math.Pi)
	mass := math.Erf(math.Sqrt2)
	return math.Sqrt(1 - 4*density/mass)
}()

// Initialize draws the initial values of all parameters: normal, cut at two standard deviations of the uncut
// distribution, which is scaled so that the cut one has the standard deviation that is asked for. Every tensor has a
// random stream of its own, so that adding one does not change the others.
func Initialize(parameters []Parameter, seed int64) map[string][]float32 {
	out := make(map[string][]float32, len(parameters))
	for i, p := range parameters {
		random := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
		values := make([]float32, p.Elements())
		for j := range values {
			values[j] = p.Constant
			if p.Std > 0 {
				values[j] = float32(truncatedNormal(random) / truncatedStd * p.Std)
			}
		}
		out[p.Name] = values
	}
	return out
}

func truncatedNormal(random *rand.Rand) float64 {
	for {
		if x := random.NormFloat64(); math.Abs(x) <= 2 {
			return x
		}
	}
}
