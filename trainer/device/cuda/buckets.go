package cuda

import (
	"cmp"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// bucketBytes is how much of gradients is added up over ranks at a time: enough for the links between GPUs to run at full
// speed, and little enough that most of it is on its way while the rest of the backward pass computes.
const bucketBytes = 16 << 20

// bucket is a group of gradients that are complete after an instruction.
type bucket struct {
	after     int
	gradients []int
}

// buckets divides a program's gradients into groups of at least least bytes, but for the last, in the order in which the
// program completes them. A gradient that no instruction writes is complete from the beginning.
func buckets(p *device.Program, least int) (out []bucket) {
	last := map[int]int{}
	for i := range p.Instructions {
		last[p.Instructions[i].Out] = i
	}
	var order []int
	for v := range p.Values {
		if p.Values[v].Role == device.Gradient {
			order = append(order, v)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(last[a], last[b]) })
	bytes := least
	for _, v := range order {
		if bytes >= least {
			out, bytes = append(out, bucket{}), 0
		}
		b := &out[len(out)-1]
		b.after, b.gradients = last[v], append(b.gradients, v)
		bytes += p.Values[v].Elements() * device.Float32.Size()
	}
	return out
}
