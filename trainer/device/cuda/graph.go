package cuda

import (
	"errors"

	"github.com/hrm-operator/hrm-operator/trainer/device/cuda/binding"
)

// repeated is work that is done again and again: launched piece by piece the first time, in which libraries load what they
// need, and while the device is profiled, else from the second on as a graph. Its methods run on the device's thread.
type repeated struct {
	device *Device
	// name is what a note calls it.
	name   string
	launch func() error
	runs   int
	graph  binding.GraphExec
}

// run adds the work to the stream.
func (r *repeated) run() error {
	if r.device.profiler != nil {
		return r.launch()
	}
	if r.runs++; r.runs == 2 {
		if err := r.capture(); err != nil {
			r.device.options.note("%s is launched piece by piece, which costs time: %v", r.name, err)
		}
	}
	if r.graph != 0 {
		return r.device.driver.GraphLaunch(r.graph, r.device.stream)
	}
	return r.launch()
}

// capture makes a graph of the launches.
func (r *repeated) capture() error {
	d := r.device
	if err := d.driver.StreamBeginCapture(d.stream); err != nil {
		return err
	}
	launchErr := r.launch()
	// A capture must end, whatever it has come to.
	g, err := d.driver.StreamEndCapture(d.stream)
	if err = errors.Join(launchErr, err); err == nil {
		r.graph, err = d.driver.GraphInstantiate(g)
	}
	if g != 0 {
		if destroyed := d.driver.GraphDestroy(g); destroyed != nil {
			err = errors.Join(err, destroyed, r.free())
		}
	}
	return err
}

// free frees the graph.
func (r *repeated) free() error {
	if r.graph == 0 {
		return nil
	}
	g := r.graph
	r.graph = 0
	return r.device.driver.GraphExecDestroy(g)
}
