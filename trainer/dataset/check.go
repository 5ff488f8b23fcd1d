package dataset

import "encoding/binary"

// outside returns the index of the first byte that is not below limit, -1 if there is none. It looks at eight bytes at a
// time: a dataset of many gigabytes must not take longer to check than to read.
func outside(data []byte, limit int) int {
	if limit > 255 {
		return -1
	}
	const (
		ones = 0x0101010101010101
		high = 0x80 * ones
	)
	// Each byte's lower seven bits carry into its highest one when add is added, if they are too large. With a limit of at
	// most 128 a byte that has the highest bit anyway is too large, too; above, only one that has it can be.
	below := uint64(limit)
	if limit > 128 {
		below -= 128
	}
	add, wide := (128-below)*ones, limit > 128
	rest := data
	for len(rest) >= 32 {
		a, b := binary.LittleEndian.Uint64(rest), binary.LittleEndian.Uint64(rest[8:])
		c, d := binary.LittleEndian.Uint64(rest[16:]), binary.LittleEndian.Uint64(rest[24:])
		a, b, c, d = carries(a, add, wide), carries(b, add, wide), carries(c, add, wide), carries(d, add, wide)
		if (a|b|c|d)&high != 0 {
			break
		}
		rest = rest[32:]
	}
	for i, v := range rest {
		if int(v) >= limit {
			return len(data) - len(rest) + i
		}
	}
	return -1
}

// carries has the highest bit of every byte set that is too large.
func carries(v, add uint64, wide bool) uint64 {
	const lower = 0x7f7f7f7f7f7f7f7f
	if wide {
		return v & (v&lower + add)
	}
	return v | (v&lower + add)
}

// outsideWide returns the index of the first element that is neither in [0, limit) nor one of the others, -1 if there is none.
func outsideWide(data []int32, limit int, others ...int32) int {
next:
	for i, v := range data {
		if uint32(v) < uint32(limit) {
			continue
		}
		for _, other := range others {
			if v == other {
				continue next
			}
		}
		return i
	}
	return -1
}
