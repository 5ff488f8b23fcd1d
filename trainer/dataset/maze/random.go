package maze

import "math/rand/v2"

// purpose keeps apart the random streams that one seed is the origin of.
type purpose uint64

const (
	forGrids purpose = iota + 1
	forSplit
	forSubsample
)

// origin is the state of a random source for one item of one purpose. It depends on nothing else, so that items can be
// worked on in any order and on any number of cores.
func origin(seed int64, p purpose, item int) (uint64, uint64) {
	return scramble(uint64(seed) ^ scramble(uint64(p))), scramble(uint64(item) + 1)
}

func stream(seed int64, p purpose, item int) *rand.Rand {
	return rand.New(rand.NewPCG(origin(seed, p, item)))
}

// scramble is the finaliser of splitmix64: neighbouring numbers come out unrelated.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
