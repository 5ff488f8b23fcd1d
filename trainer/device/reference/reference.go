// Package reference is the device that the others are checked against: plain Go, one loop per formula, no cleverness.
//
// Every instruction reads its operands whole, widened to float32, computes with float64 sums and rounds once when it
// stores the result. With bfloat16 activations the weights of products and embeddings are rounded first, as the
// official code casts them. Memory rule: an instruction overwrites its Out, unless Out is a Gradient or the instruction
// accumulates; then it adds. Append overwrites a position of it.
package reference

import (
	"context"
	"fmt"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Device is the reference device. Its arrays are host memory.
type Device struct {
	// profile is nil while nobody asks where the time goes.
	profile *device.Profile
}

// New returns the reference device.
func New() *Device { return &Device{} }

// Name returns "reference".
func (*Device) Name() string { return "reference" }

// Supports says yes to all types.
func (*Device) Supports(device.DType) bool { return true }

// NewArray allocates n zeroed elements.
func (*Device) NewArray(t device.DType, n int) (device.Array, error) {
	if n < 0 {
		return nil, fmt.Errorf("allocate %d elements of %v: the number is negative", n, t)
	}
	return device.NewHostArray(t, n), nil
}

// StartProfile begins to measure every instruction and optimizer step.
func (d *Device) StartProfile() { d.profile = &device.Profile{} }

// StopProfile ends that and returns the times by the clock.
func (d *Device) StopProfile() ([]device.Measurement, error) {
	p := d.profile
	d.profile = nil
	return p.Measurements(), nil
}

// Close does nothing: the garbage collector owns the arrays.
func (*Device) Close() error { return nil }

// Compile checks the program and keeps it.
func (d *Device) Compile(p *device.Program) (device.Executable, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	for i := range p.Instructions {
		if err := checkInstruction(&p.Instructions[i], p.Values); err != nil {
			return nil, fmt.Errorf("program %s: instruction %d: %w", p.Name, i, err)
		}
	}
	for i := range p.Values {
		if err := checkValue(&p.Values[i], p.ArenaBytes); err != nil {
			return nil, fmt.Errorf("program %s: value %d (%s): %w", p.Name, i, p.Values[i].Name, err)
		}
	}
	return &executable{device: d, program: p}, nil
}

func checkInstruction(ins *device.Instruction, values []device.Value) error {
	o, ok := operations[ins.Op]
	if !ok {
		return fmt.Errorf("%v is no opcode of this device", ins.Op)
	}
	if len(ins.In) < o.min || len(ins.In) > o.max {
		return fmt.Errorf("%v has %d operands, want %d to %d", ins.Op, len(ins.In), o.min, o.max)
	}
	if o.aux && (ins.Aux < 0 || ins.Aux >= len(values)) {
		return fmt.Errorf("%v needs a side buffer, but names value %d of %d", ins.Op, ins.Aux, len(values))
	}
	for i, v := range ins.In {
		if v == device.NoValue && !(o.optional&(1<<i) != 0) {
			return fmt.Errorf("%v does not work without operand %d", ins.Op, i)
		}
	}
	return nil
}

func checkValue(v *device.Value, arena int) error {
	switch v.Role {
	case device.Temporary:
		if size := v.Elements() * v.DType.Size(); v.Offset < 0 || v.Offset+size > arena {
			return fmt.Errorf("bytes %d to %d lie outside of an arena of %d", v.Offset, v.Offset+size, arena)
		}
	case device.Parameter, device.Gradient:
		if v.DType != device.Float32 || v.Rows {
			return fmt.Errorf("parameters and gradients are float32 and shared by all rows")
		}
	}
	return nil
}

type executable struct {
	device  *Device
	program *device.Program
	arena   []byte
}

// Run zeroes the gradients and executes the instructions in order, each over the whole batch.
func (x *executable) Run(ctx context.Context, rows int, bindings map[string]device.Array) error {
	arrays, err := x.bind(rows, bindings)
	if err != nil {
		return fmt.Errorf("program %s: %w", x.program.Name, err)
	}
	for i := range x.program.Instructions {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := x.execute(&x.program.Instructions[i], rows, arrays); err != nil {
			return fmt.Errorf("program %s: instruction %d: %w", x.program.Name, i, err)
		}
	}
	return nil
}

// execute executes an instruction, and measures it if that is wanted.
func (x *executable) execute(ins *device.Instruction, rows int, arrays []device.Array) (err error) {
	values := x.program.Values
	x.device.profile.Time(ins.Op.String(), ins.Shape(values), ins.Cost(values, rows), func() { err = Execute(ins, values, rows, arrays) })
	return err
}

// bind finds the memory of every value: temporaries in the arena, the others in bindings.
func (x *executable) bind(rows int, bindings map[string]device.Array) ([]device.Array, error) {
	if rows < 1 {
		return nil, fmt.Errorf("run over %d rows: there must be at least one", rows)
	}
	if need := rows * x.program.ArenaBytes; len(x.arena) < need {
		x.arena = make([]byte, need)
	}
	written := map[device.Array]bool{}
	arrays := make([]device.Array, len(x.program.Values))
	for i := range x.program.Values {
		v := &x.program.Values[i]
		n := v.Count(rows)
		if v.Role == device.Temporary {
			at := rows * v.Offset
			arrays[i] = device.HostArrayOver(v.DType, x.arena[at:at+n*v.DType.Size()])
			continue
		}
		a, ok := bindings[v.Name]
		if !ok {
			return nil, fmt.Errorf("%s is not bound", v.Name)
		}
		if a.DType() != v.DType || a.Len() < n {
			return nil, fmt.Errorf("%s is bound to %d elements of %v, want %d of %v", v.Name, a.Len(), a.DType(), n, v.DType)
		}
		arrays[i] = a
		if v.Role == device.Output {
			written[a] = true
		}
		if v.Role == device.Gradient {
			if err := a.Write(0, make([]byte, n*v.DType.Size())); err != nil {
				return nil, fmt.Errorf("zero gradient %s: %w", v.Name, err)
			}
		}
	}
	return arrays, x.copyOverwritten(rows, arrays, written)
}

// copyOverwritten gives inputs that share their array with an output a copy, so that they are read as they were.
func (x *executable) copyOverwritten(rows int, arrays []device.Array, written map[device.Array]bool) error {
	for i := range x.program.Values {
		v := &x.program.Values[i]
		if v.Role != device.Input || !written[arrays[i]] {
			continue
		}
		raw := make([]byte, v.Count(rows)*v.DType.Size())
		if err := arrays[i].Read(0, raw); err != nil {
			return fmt.Errorf("copy %s: %w", v.Name, err)
		}
		arrays[i] = device.HostArrayOver(v.DType, raw)
	}
	return nil
}

// Close drops the arena.
func (x *executable) Close() error {
	x.arena = nil
	return nil
}
