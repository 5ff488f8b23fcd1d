package cuda

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/kernel"
)

// plan is a program with everything in its place for so many rows and these arrays: it can be launched, and captured.
type plan struct {
	executable *executable
	rows       int
	// arrays are by value; nil for temporaries.
	arrays []*array
	// shadow has where in the work memory the inputs are copied that an output of the same array overwrites too early.
	shadow map[int]int
	// scratch is where in the work memory the scratch memory of instructions begins, size what the plan needs of it.
	scratch, size int
	generation    int
	steps         []step
	repeated
}

// step is what an instruction launches.
type step struct {
	part     part
	launches []*launch
	product  *binding.Product
	a, b, d  binding.Pointer
	// accumulate adds the product to d.
	accumulate bool
}

// newPlan places everything and prepares all launches, on the thread.
func newPlan(x *executable, rows int) (*plan, error) {
	p := &plan{executable: x, rows: rows, arrays: slices.Clone(x.bound), shadow: map[int]int{}, steps: make([]step, len(x.program.Instructions))}
	p.repeated = repeated{device: x.device, name: "program " + x.program.Name, launch: func() error { return p.launchAll(nil) }}
	works := make([]kernel.Work, len(p.steps))
	scratch := 0
	for i := range x.program.Instructions {
		if ins := &x.program.Instructions[i]; !isProduct(ins.Op) {
			var err error
			if works[i], err = kernel.For(ins, x.program.Values, rows); err != nil {
				return nil, fmt.Errorf("instruction %d: %w", i, err)
			}
			scratch = max(scratch, works[i].Scratch)
		}
	}
	p.placeWork(scratch)
	if err := p.reserve(); err != nil {
		return nil, err
	}
	for _, w := range x.weights {
		if err := p.arrays[w].prepareCopy(); err != nil {
			return nil, fmt.Errorf("bfloat16 copy of %s: %w", x.program.Values[w].Name, err)
		}
	}
	for i := range p.steps {
		if err := p.prepare(i, works[i]); err != nil {
			return nil, fmt.Errorf("instruction %d (%v): %w", i, x.program.Instructions[i].Op, err)
		}
	}
	return p, nil
}

// placeWork lays out the work memory: the arena, copies of inputs, scratch.
func (p *plan) placeWork(scratch int) {
	x := p.executable
	p.size = p.rows * x.program.ArenaBytes
	for i := range x.program.Values {
		v := &x.program.Values[i]
		if v.Role == device.Input && p.overwritten(i) {
			p.shadow[i] = p.size
			p.size = aligned(p.size + v.Count(p.rows)*v.DType.Size())
		}
	}
	p.scratch = p.size
	p.size += scratch
}

// overwritten says whether an output of the same array may be written before an input has been read for the last time.
func (p *plan) overwritten(input int) bool {
	x := p.executable
	for o := range x.program.Values {
		if x.program.Values[o].Role == device.Output && p.arrays[o] == p.arrays[input] && x.firstWrite[o] <= x.lastRead[input] {
			return true
		}
	}
	return false
}

// reserve makes the device's work memory large enough. If it is moved, other plans notice by its generation.
func (p *plan) reserve() error {
	d := p.executable.device
	if d.work == nil || d.work.bytes < p.size {
		if err := d.synchronize(); err != nil {
			return err
		}
		d.generation++
		if err := d.grow(&d.work, p.size); err != nil {
			return p.tooLarge(err)
		}
	}
	p.generation = d.generation
	return nil
}

// tooLarge says which batch would fit where p does not.
func (p *plan) tooLarge(err error) error {
	var full *FullError
	if !errors.As(err, &full) || p.size == 0 {
		return err
	}
	perRow := ceil(p.size, p.rows)
	return fmt.Errorf("the temporaries of %d rows, %d bytes each: about %d rows would fit: %w", p.rows, perRow, full.Free/int64(perRow), err)
}

func ceil(a, b int) int { return (a + b - 1) / b }

// at is the address of a value.
func (p *plan) at(value int) binding.Pointer {
	x := p.executable
	v := &x.program.Values[value]
	if v.Role == device.Temporary {
		return x.device.work.at + binding.Pointer(p.rows*v.Offset)
	}
	if shadow, ok := p.shadow[value]; ok {
		return x.device.work.at + binding.Pointer(shadow)
	}
	return p.arrays[value].data.at
}

// prepare makes the launches of an instruction.
func (p *plan) prepare(i int, work kernel.Work) error {
	x := p.executable
	d, ins, s := x.device, &x.program.Instructions[i], &p.steps[i]
	s.part = partOf(ins, x.program.Values, p.rows)
	if isProduct(ins.Op) {
		return p.prepareProduct(ins, s)
	}
	where := places{buffer: p.at, scratch: d.work.at + binding.Pointer(p.scratch), table: d.sharedTable}
	for k := range work.Launches {
		l, err := d.prepare(&work.Launches[k], where)
		if err != nil {
			return err
		}
		l.part = s.part
		if k > 0 {
			l.part.cost = device.Cost{}
		}
		s.launches = append(s.launches, l)
	}
	return nil
}

func (p *plan) prepareProduct(ins *device.Instruction, s *step) (err error) {
	x := p.executable
	shape, a, b := productShape(ins, x.program.Values, p.rows)
	s.a, s.b, s.d = p.at(a), p.at(b), p.at(ins.Out)
	if slices.Contains(x.weights, a) && weighs(ins.Op) {
		s.a = p.arrays[a].copy.at
	}
	s.accumulate = ins.Attr.Accumulate || ins.Op == device.OpLinearGradWeight
	s.product, err = x.device.product(shape)
	return err
}

// begin prepares the memory of a run: inputs in their shadows, gradients of zero.
func (p *plan) begin() error {
	x := p.executable
	d := x.device
	for i := range x.program.Values {
		v := &x.program.Values[i]
		bytes := v.Count(p.rows) * v.DType.Size()
		var err error
		if _, ok := p.shadow[i]; ok {
			err = d.timed(part{operation: "CopyInputs", cost: device.Cost{Bytes: float64(2 * bytes)}}, "memcpy", func() error {
				return d.driver.MemcpyDtoDAsync(p.at(i), p.arrays[i].data.at, bytes, d.stream)
			})
		}
		if v.Role == device.Gradient {
			err = d.timed(part{operation: "ZeroGradients", cost: device.Cost{Bytes: float64(bytes)}}, "memset", func() error {
				return d.driver.MemsetD8Async(p.at(i), 0, bytes, d.stream)
			})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", v.Name, err)
		}
	}
	return nil
}

// step adds an instruction to the stream.
func (p *plan) step(i int) error {
	d, s := p.executable.device, &p.steps[i]
	var err error
	if s.product != nil {
		err = d.timed(s.part, "cuBLASLt", func() error { return s.product.Run(s.a, s.b, s.d, s.accumulate, d.workspace.at, d.stream) })
	}
	for _, l := range s.launches {
		if err == nil {
			err = d.run(l)
		}
	}
	if err != nil {
		return fmt.Errorf("instruction %d (%v): %w", i, p.executable.program.Instructions[i].Op, err)
	}
	return nil
}

// launchAll adds all instructions to the stream. After each it calls after, if that is not nil.
func (p *plan) launchAll(after func(instruction int) error) error {
	if err := p.begin(); err != nil {
		return err
	}
	for i := range p.steps {
		if err := p.step(i); err != nil {
			return err
		}
		if after == nil {
			continue
		}
		if err := after(i); err != nil {
			return err
		}
	}
	return nil
}
