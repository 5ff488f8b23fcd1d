package graph

import "github.com/hrm-operator/hrm-operator/trainer/device"

// accumulate turns what can add to its output, such as a product or the gradient of a slice, and a sum behind it into one that adds
// to the other term, where that term is not needed any more. It then runs where the sum stood.
func (c *compiler) accumulate() {
	a := accumulation{compiler: c, producer: map[int]int{}, uses: map[int]int{}, lastUse: map[int]int{}, changed: map[int]int{}, same: map[int]int{}}
	for i, s := range c.steps {
		a.producer[s.ins.Out] = i
		for _, v := range s.ins.In {
			a.uses[v]++
			a.lastUse[v] = i
		}
	}
	dropped := map[int]bool{}
	for i := range c.steps {
		ins := &c.steps[i].ins
		a.rename(ins)
		if ins.Op != device.OpAdd || len(ins.In) != 2 || c.values[ins.Out].Role != device.Temporary {
			continue
		}
		for k, v := range ins.In {
			if p, ok := a.term(v, ins.In[1-k], i); ok {
				a.move(p, i, ins.In[1-k])
				dropped[p] = true
				break
			}
		}
	}
	var kept []step
	for i, s := range c.steps {
		if !dropped[i] {
			kept = append(kept, s)
		}
	}
	c.steps = kept
}

// accumulation is what is known of values while steps are looked through in order.
type accumulation struct {
	*compiler
	// producer is the step that makes a value, lastUse the last that reads it, uses how many times it is read.
	producer, lastUse, uses map[int]int
	// changed is the last step that has added to a value.
	changed map[int]int
	// same are sums that have become the value to which their other term is added.
	same map[int]int
}

// rename gives an instruction the values that sums have become.
func (a *accumulation) rename(ins *device.Instruction) {
	for k, v := range ins.In {
		ins.In[k] = a.now(v)
	}
	ins.Out = a.now(ins.Out)
}

func (a *accumulation) now(v int) int {
	if other, ok := a.same[v]; ok {
		return other
	}
	return v
}

// term returns the step that makes v, if it may as well add to other in place of the sum of both, which is step i.
func (a *accumulation) term(v, other, i int) (int, bool) {
	p, ok := a.producer[v]
	if !ok || v == other || a.uses[v] != 1 || a.lastUse[other] != i {
		return 0, false
	}
	if a.values[v].Role != device.Temporary || a.values[other].Role != device.Temporary {
		return 0, false
	}
	ins := &a.steps[p].ins
	// What adds to another term already is no term of its own any more.
	if !ins.Op.Accumulates() || ins.Attr.Accumulate {
		return 0, false
	}
	for _, in := range ins.In {
		// It is to read what it would have read where it stood.
		if changed, ok := a.changed[in]; in == other || ok && changed > p {
			return 0, false
		}
	}
	return p, true
}

// move puts step p in the place of the sum i, adding to other.
func (a *accumulation) move(p, i, other int) {
	sum := a.steps[i].ins.Out
	ins := a.steps[p].ins
	ins.Out, ins.Attr.Accumulate = other, true
	a.steps[i].ins = ins
	a.same[sum] = other
	a.producer[other], a.uses[other], a.lastUse[other], a.changed[other] = i, a.uses[sum], a.lastUse[sum], i
	for _, in := range ins.In {
		a.lastUse[in] = max(a.lastUse[in], i)
	}
}
