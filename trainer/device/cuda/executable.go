package cuda

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// maxPlans bounds the plans of an executable, each of which keeps its arrays.
const maxPlans = 8

type executable struct {
	device  *Device
	program *device.Program
	// weights are the parameters that products read in bfloat16.
	weights []int
	// firstWrite and lastRead are the instructions that first write a value and last read it, -1 if none does.
	firstWrite, lastRead []int
	// plans are the latest first.
	plans []*plan
	// bound are the arrays of the run under way, by value.
	bound []*array
}

func newExecutable(d *Device, p *device.Program) *executable {
	x := &executable{device: d, program: p, bound: make([]*array, len(p.Values))}
	x.firstWrite, x.lastRead = slices.Repeat([]int{-1}, len(p.Values)), slices.Repeat([]int{-1}, len(p.Values))
	for i := range p.Instructions {
		ins := &p.Instructions[i]
		if weighs(ins.Op) && p.Values[ins.In[0]].DType == device.BFloat16 && !slices.Contains(x.weights, ins.In[1]) {
			x.weights = append(x.weights, ins.In[1])
		}
		for _, v := range append([]int{ins.Aux}, ins.In...) {
			if v != device.NoValue {
				x.lastRead[v] = i
			}
		}
		for _, v := range []int{ins.Aux, ins.Out} {
			if v != device.NoValue && x.firstWrite[v] < 0 {
				x.firstWrite[v] = i
			}
		}
	}
	return x
}

// Run executes the program over rows examples at once, and waits for it.
func (x *executable) Run(ctx context.Context, rows int, bindings map[string]device.Array) error {
	if rows < 1 {
		return fmt.Errorf("program %s: run over %d rows: there must be at least one", x.program.Name, rows)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := x.bind(rows, bindings); err != nil {
		return fmt.Errorf("program %s: %w", x.program.Name, err)
	}
	defer runtime.KeepAlive(bindings)
	if err := x.device.thread.do(func() error { return x.run(rows) }); err != nil {
		return fmt.Errorf("program %s: %w", x.program.Name, err)
	}
	return ctx.Err()
}

func (x *executable) bind(rows int, bindings map[string]device.Array) error {
	for i := range x.program.Values {
		v := &x.program.Values[i]
		if v.Role == device.Temporary {
			continue
		}
		n := v.Count(rows)
		b, ok := bindings[v.Name]
		if !ok {
			return fmt.Errorf("%s is not bound", v.Name)
		}
		a, ok := x.device.owned(b)
		if !ok {
			return fmt.Errorf("%s is bound to an array of another device", v.Name)
		}
		if a.dtype != v.DType || a.n < n {
			return fmt.Errorf("%s is bound to %d elements of %v, want %d of %v", v.Name, a.n, a.dtype, n, v.DType)
		}
		x.bound[i] = a
	}
	return nil
}

// run does a run on the thread.
func (x *executable) run(rows int) error {
	d := x.device
	if err := d.memory.collect(); err != nil {
		return err
	}
	p, err := x.prepared(rows)
	if err != nil {
		return err
	}
	if err := p.run(); err != nil {
		return err
	}
	x.changed()
	return d.takeFault()
}

// prepared returns a plan of a run, with copies of all weights that are as the weights are, on the thread.
func (x *executable) prepared(rows int) (*plan, error) {
	p, err := x.plan(rows)
	if err != nil {
		return nil, err
	}
	for _, w := range x.weights {
		if err := x.bound[w].refreshCopy(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// changed notes that a run has changed the arrays that it writes.
func (x *executable) changed() {
	for i := range x.program.Values {
		if r := x.program.Values[i].Role; r == device.Output || r == device.Gradient {
			x.bound[i].version++
		}
	}
}

// plan finds the plan of a run, or makes one, on the thread.
func (x *executable) plan(rows int) (*plan, error) {
	for i, p := range x.plans {
		if p.rows != rows || !slices.Equal(p.arrays, x.bound) {
			continue
		}
		if p.generation == x.device.generation {
			copy(x.plans[1:i+1], x.plans[:i])
			x.plans[0] = p
			return p, nil
		}
		// The work memory has moved.
		x.plans = slices.Delete(x.plans, i, i+1)
		if err := p.free(); err != nil {
			return nil, err
		}
		break
	}
	if len(x.plans) == maxPlans {
		oldest := x.plans[maxPlans-1]
		x.plans = x.plans[:maxPlans-1]
		if err := oldest.free(); err != nil {
			return nil, err
		}
	}
	p, err := newPlan(x, rows)
	if err != nil {
		return nil, err
	}
	x.plans = slices.Insert(x.plans, 0, p)
	return p, nil
}

// Close frees the executable's graphs. The arena is the device's.
func (x *executable) Close() error {
	d := x.device
	err := d.thread.do(func() error {
		delete(d.executables, x)
		return x.free()
	})
	if errors.Is(err, errClosed) {
		return nil // the device has freed it
	}
	return err
}

// free frees what the executable holds, on the thread.
func (x *executable) free() error {
	var all []error
	for _, p := range x.plans {
		all = append(all, p.free())
	}
	x.plans, x.bound = nil, make([]*array, len(x.program.Values))
	return errors.Join(all...)
}
