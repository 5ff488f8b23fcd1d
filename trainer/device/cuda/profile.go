package cuda

import (
	"errors"

	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
)

// part says what something that is launched belongs to. Of an operation with several launches the first has the cost.
type part struct {
	operation, shape string
	cost             device.Cost
}

// partOf is what computes an instruction.
func partOf(ins *device.Instruction, values []device.Value, rows int) part {
	return part{ins.Op.String(), ins.Shape(values), ins.Cost(values, rows)}
}

// profiler times launches by events on the GPU, an event before and one after each, so that gaps between launches are nobody's.
// Its methods run on the device's thread.
type profiler struct {
	driver *binding.Driver
	stream binding.Stream
	events []binding.Event
	// pending is what lies between events 2i and 2i+1.
	pending []timedLaunch
	sums    device.Profile
}

type timedLaunch struct {
	part   part
	kernel string
}

// timed launches a kernel, and has the profiler time it if there is one, on the thread.
func (d *Device) timed(what part, kernel string, launch func() error) error {
	if d.profiler == nil {
		return launch()
	}
	return d.profiler.time(what, kernel, launch)
}

func (p *profiler) time(what part, kernel string, launch func() error) error {
	at := 2 * len(p.pending)
	for len(p.events) < at+2 {
		e, err := p.driver.EventCreate()
		if err != nil {
			return err
		}
		p.events = append(p.events, e)
	}
	if err := p.driver.EventRecord(p.events[at], p.stream); err != nil {
		return err
	}
	if err := launch(); err != nil {
		return err
	}
	if err := p.driver.EventRecord(p.events[at+1], p.stream); err != nil {
		return err
	}
	p.pending = append(p.pending, timedLaunch{what, kernel})
	return nil
}

// take reads the times of all launches, which must be done.
func (p *profiler) take() error {
	for i, l := range p.pending {
		ms, err := p.driver.EventElapsedTime(p.events[2*i], p.events[2*i+1])
		if err != nil {
			return err
		}
		seconds := float64(ms) / 1e3
		p.sums.Add(device.Measurement{
			Operation: l.part.operation, Shape: l.part.shape, Seconds: seconds, Launches: 1, Cost: l.part.cost,
			Kernels: []device.KernelMeasurement{{Name: l.kernel, Seconds: seconds, Launches: 1}},
		})
	}
	p.pending = p.pending[:0]
	return nil
}

// free frees the events; nil has none.
func (p *profiler) free() error {
	if p == nil {
		return nil
	}
	var all []error
	for _, e := range p.events {
		all = append(all, p.driver.EventDestroy(e))
	}
	p.events = nil
	return errors.Join(all...)
}

// StartProfile begins to time every launch by events on the GPU. Programs are then launched piece by piece, not as graphs.
func (d *Device) StartProfile() {
	// Of a device that is closed there is nothing to measure, which StopProfile says.
	_ = d.thread.do(func() error {
		if d.profiler == nil {
			d.profiler = &profiler{driver: d.driver, stream: d.stream}
		}
		return nil
	})
}

// StopProfile ends that and returns the times.
func (d *Device) StopProfile() (all []device.Measurement, err error) {
	err = d.thread.do(func() error {
		p := d.profiler
		if p == nil {
			return nil
		}
		err := d.synchronize()
		d.profiler = nil
		all = p.sums.Measurements()
		return errors.Join(err, p.free())
	})
	return all, err
}
