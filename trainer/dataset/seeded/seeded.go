// Package seeded owns the random numbers that datasets are made with: streams that depend on the seed, on what they are for
// and on the item, and on nothing else, so that items can be worked on in any order and on any number of cores.
package seeded

import "math/rand/v2"

// Purpose keeps apart the streams that one seed is the origin of.
type Purpose uint64

// Origin is the state of a random source for one item of one purpose.
func Origin(seed int64, p Purpose, item int) (uint64, uint64) {
	return scramble(uint64(seed) ^ scramble(uint64(p))), scramble(uint64(item) + 1)
}

// Stream is the random source for one item of one purpose.
func Stream(seed int64, p Purpose, item int) *rand.Rand {
	return rand.New(rand.NewPCG(Origin(seed, p, item)))
}

// scramble is the finaliser of splitmix64: neighbouring numbers come out unrelated.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Subsample draws n of all at random, or returns all if there are no more than that.
func Subsample[T any](all []T, n int, seed int64, p Purpose) []T {
	if n >= len(all) {
		return all
	}
	drawn := make([]T, n)
	for i, j := range Stream(seed, p, 0).Perm(len(all))[:n] {
		drawn[i] = all[j]
	}
	return drawn
}
