package model

import (
	"iter"
	"math"
	"math/rand/v2"
)

// truncatedStd is the standard deviation of a standard normal distribution cut at ±2.
var truncatedStd = func() float64 {
	density := math.Exp(-2) / math.Sqrt(2*math.Pi)
	mass := math.Erf(math.Sqrt2)
	return math.Sqrt(1 - 4*density/mass)
}()

// InitialValues draws the initial values of the parameters, one after the other, by name: normal, cut at two standard
// deviations of the uncut distribution, which is scaled so that the cut one has the standard deviation that is asked for.
// Every tensor has a random stream of its own, so that adding one does not change the others. They are not held here:
// whoever puts them to use one by one never has all of them in memory.
func InitialValues(parameters []Parameter, seed int64) iter.Seq2[string, []float32] {
	return func(yield func(string, []float32) bool) {
		for i, p := range parameters {
			if !yield(p.Name, p.draw(rand.New(rand.NewPCG(uint64(seed), uint64(i))))) {
				return
			}
		}
	}
}

func (p Parameter) draw(random *rand.Rand) []float32 {
	values := make([]float32, p.Elements())
	for i := range values {
		values[i] = p.Constant
		if p.Std > 0 {
			values[i] = float32(truncatedNormal(random) / truncatedStd * p.Std)
		}
	}
	return values
}

func truncatedNormal(random *rand.Rand) float64 {
	for {
		if x := random.NormFloat64(); math.Abs(x) <= 2 {
			return x
		}
	}
}
