package device

import (
	"cmp"
	"slices"
	"time"
)

// Measurement is what a device has spent on one kind of work while it profiled.
type Measurement struct {
	// Operation is the name of an opcode, or of what a device does besides, such as "AdamATan2".
	Operation string
	// Shape tells operations of one name apart, as [Instruction.Shape] does; it may be empty.
	Shape string
	// Seconds are those of the clock in which the device did this; of several threads that work side by side the mean.
	Seconds float64
	// Launches is how often the device began: the kernels that a GPU launched, the slices of a batch that a processor took.
	Launches int
	// Cost is the least that the work takes.
	Cost Cost
	// Kernels share out seconds and launches, the longest first; there are none where the device does not tell them apart.
	Kernels []KernelMeasurement
}

// The names of the optimizers among operations.
const (
	AdamATan2Operation = "AdamATan2"
	SignSGDOperation   = "SignSGD"
)

// KernelMeasurement is the part of a kernel in a [Measurement].
type KernelMeasurement struct {
	Name     string
	Seconds  float64
	Launches int
}

// Profile adds up measurements. The zero value is empty, and nil one that nobody asked for.
type Profile struct {
	measurements map[[2]string]*Measurement
}

// Add counts a measurement to those of the same operation and shape.
func (p *Profile) Add(m Measurement) {
	key := [2]string{m.Operation, m.Shape}
	sum := p.measurements[key]
	if sum == nil {
		if p.measurements == nil {
			p.measurements = map[[2]string]*Measurement{}
		}
		sum = &Measurement{Operation: m.Operation, Shape: m.Shape}
		p.measurements[key] = sum
	}
	sum.Seconds += m.Seconds
	sum.Launches += m.Launches
	sum.Cost.Add(m.Cost)
	for _, k := range m.Kernels {
		sum.addKernel(k)
	}
}

// Time runs f, and counts the time that it takes as one launch of an operation.
func (p *Profile) Time(operation, shape string, cost Cost, f func()) {
	if p == nil {
		f()
		return
	}
	began := time.Now()
	f()
	p.Add(Measurement{Operation: operation, Shape: shape, Seconds: time.Since(began).Seconds(), Launches: 1, Cost: cost})
}

func (m *Measurement) addKernel(k KernelMeasurement) {
	i := slices.IndexFunc(m.Kernels, func(have KernelMeasurement) bool { return have.Name == k.Name })
	if i < 0 {
		m.Kernels = append(m.Kernels, k)
		return
	}
	m.Kernels[i].Seconds += k.Seconds
	m.Kernels[i].Launches += k.Launches
}

// Measurements returns the sums, the longest first.
func (p *Profile) Measurements() []Measurement {
	if p == nil {
		return nil
	}
	var all []Measurement
	for _, m := range p.measurements {
		slices.SortFunc(m.Kernels, func(a, b KernelMeasurement) int {
			return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Name, b.Name))
		})
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b Measurement) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Shape, b.Shape))
	})
	return all
}
