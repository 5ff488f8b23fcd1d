package cuda

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

func TestBuckets_holdWhatIsCompleteTogether(t *testing.T) {
	gradient := func(n int) device.Value { return device.Value{Role: device.Gradient, Shape: []int{n}} }
	write := func(v int) device.Instruction { return device.Instruction{Out: v} }
	p := &device.Program{
		Values: []device.Value{gradient(10), gradient(30), {Role: device.Temporary}, gradient(5), gradient(1)},
		// Gradient 1 is complete first, then 3, then 0, to which more is added than once; nobody writes the last.
		Instructions: []device.Instruction{write(0), write(1), write(2), write(3), write(0), write(2)},
	}
	for _, test := range []struct {
		name  string
		least int
		want  []bucket
	}{
		{"all by themselves", 1, []bucket{{0, []int{4}}, {1, []int{1}}, {3, []int{3}}, {4, []int{0}}}},
		{"small ones together", 120, []bucket{{1, []int{4, 1}}, {4, []int{3, 0}}}},
		{"all together", 1 << 20, []bucket{{4, []int{4, 1, 3, 0}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, buckets(p, test.least), cmp.AllowUnexported(bucket{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}
