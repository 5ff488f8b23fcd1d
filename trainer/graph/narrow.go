package graph

import (
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// narrow computes at the first position alone what is needed of no other: the Q head reads only that, so that the segment
// of the Q target makes of its last layer no more than keys and values for the rest.
func (c *compiler) narrow() {
	wanted := c.firstPositions()
	narrowed := map[int]bool{}
	for _, s := range c.steps {
		ins := s.ins
		if !wanted[ins.Out] {
			continue
		}
		// The others work on what lies in one piece; these take what they need of a longer operand.
		if ins.Op == device.OpAttention || ins.Op == device.OpAddRMSNorm || narrowed[ins.In[0]] {
			narrowed[ins.Out] = true
			c.shorten(ins.Out, 0)
			if ins.Aux != device.NoValue {
				c.shorten(ins.Aux, len(c.values[ins.Aux].Shape)-1)
			}
		}
	}
}

// shorten leaves one of a value's positions.
func (c *compiler) shorten(value, axis int) {
	shape := slices.Clone(c.values[value].Shape)
	shape[axis] = 1
	c.values[value].Shape = shape
}

// firstPositions returns the temporaries of which only the first position is needed.
func (c *compiler) firstPositions() map[int]bool {
	wanted, others := map[int]bool{}, map[int]bool{}
	for i := len(c.steps) - 1; i >= 0; i-- {
		ins := c.steps[i].ins
		first := wanted[ins.Out] && !others[ins.Out]
		wanted[ins.Out] = first && c.values[ins.Out].Role == device.Temporary
		for k, v := range ins.In {
			if ins.Op == device.OpQHead && k == 0 || wanted[ins.Out] && eachPosition(ins.Op) {
				wanted[v] = true
			} else {
				others[v] = true
			}
		}
	}
	for v := range others {
		delete(wanted, v)
	}
	return wanted
}

// eachPosition says whether a position of the result needs only the same position of the operands.
func eachPosition(code device.Opcode) bool {
	return code == device.OpLinear || code == device.OpAddRMSNorm || code == device.OpSwiGLU
}
