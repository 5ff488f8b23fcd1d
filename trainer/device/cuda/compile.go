package cuda

import (
	"fmt"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

// Compile checks the program and compiles its kernels.
func (d *Device) Compile(p *device.Program) (device.Executable, error) {
	if err := check(p); err != nil {
		return nil, err
	}
	requests := map[string]request{}
	for i := range p.Instructions {
		if err := collect(requests, &p.Instructions[i], p.Values); err != nil {
			return nil, fmt.Errorf("program %s: instruction %d: %w", p.Name, i, err)
		}
	}
	if slices.ContainsFunc(p.Values, func(v device.Value) bool { return v.Role == device.Gradient }) {
		// What computes gradients is trained: the first step is not to wait for the compiler.
		for _, file := range kernel.StepFiles() {
			r := request{file: file}
			requests[r.key()] = r
		}
	}
	x := newExecutable(d, p)
	err := d.thread.do(func() error {
		if err := d.load(requests); err != nil {
			return err
		}
		d.executables[x] = struct{}{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("program %s: %w", p.Name, err)
	}
	return x, nil
}

// check reports what this device cannot compute; what is wrong on all of them, the reference device knows.
func check(p *device.Program) error {
	if _, err := reference.New().Compile(p); err != nil {
		return err
	}
	for i := range p.Instructions {
		ins := &p.Instructions[i]
		if ins.Attr.Accumulate && !ins.Op.Accumulates() {
			return fmt.Errorf("program %s: instruction %d: %v does not accumulate on the cuda device", p.Name, i, ins.Op)
		}
		if weighs(ins.Op) && p.Values[ins.In[1]].Role != device.Parameter {
			return fmt.Errorf("program %s: instruction %d: %v wants a parameter as weight, not %s", p.Name, i, ins.Op, p.Values[ins.In[1]].Name)
		}
	}
	return nil
}

// collect adds the kernel files that an instruction needs. They are the same for any number of rows.
func collect(requests map[string]request, ins *device.Instruction, values []device.Value) error {
	if isProduct(ins.Op) {
		if ins.Op != device.OpLinearGradWeight && values[ins.In[0]].DType == device.BFloat16 {
			work, err := kernel.Round(0, 1, 1)
			return collectWork(requests, work, err)
		}
		return nil
	}
	work, err := kernel.For(ins, values, 1)
	return collectWork(requests, work, err)
}

func collectWork(requests map[string]request, work kernel.Work, err error) error {
	for i := range work.Launches {
		r := request{work.Launches[i].File, work.Launches[i].Defines}
		requests[r.key()] = r
	}
	return err
}
