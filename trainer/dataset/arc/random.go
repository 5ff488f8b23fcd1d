package arc

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// purpose keeps apart the random streams that one seed is the origin of.
type purpose uint64

const (
	forVariants purpose = iota + 1
	forOffsets
	forOrder
)

// stream is the random source for one item of a task. It depends on nothing else, so that tasks can be worked on in any
// order and on any number of cores, and none changes when another is added.
func stream(seed int64, p purpose, id string, item int) *rand.Rand {
	text := binary.LittleEndian.AppendUint64(nil, uint64(seed))
	text = binary.LittleEndian.AppendUint64(text, uint64(p))
	text = binary.LittleEndian.AppendUint64(text, uint64(item))
	sum := sha256.Sum256(append(text, id...))
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])))
}

// Order is a random order of n tasks.
func Order(seed int64, n int) []int { return stream(seed, forOrder, "", 0).Perm(n) }
