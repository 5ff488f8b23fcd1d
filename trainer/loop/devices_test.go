//go:build gloo && cgo && linux

package loop

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/hrm-operator/hrm-operator/api/v1alpha1"
	"github.com/hrm-operator/hrm-operator/internal/testing/fakegpu"
	"github.com/hrm-operator/hrm-operator/trainer/collective"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/device/cuda"
	"github.com/hrm-operator/hrm-operator/trainer/device/reference"
)

func TestDevices_trainTheSameModelAsOne(t *testing.T) {
	data, spec := tinyData(t), tinyJob(t)
	spec.Training.Precision = v1alpha1.PrecisionFloat32
	single, _ := directory(t)
	_, errs := nodes{t: t, spec: spec, data: data, store: single, size: 1}.run()
	allDone(t, errs)
	want := final(t, single)
	for _, c := range []struct{ processes, devices int }{{1, 2}, {1, 4}, {2, 2}} {
		t.Run(fmt.Sprintf("%d processes of %d", c.processes, c.devices), func(t *testing.T) {
			store, _ := directory(t)
			_, errs := nodes{t: t, spec: spec, data: data, store: store, size: c.processes, devices: c.devices}.run()
			allDone(t, errs)
			near(t, final(t, store), want)
			again, _ := directory(t)
			_, errs = nodes{t: t, spec: spec, data: data, store: again, size: c.processes, devices: c.devices}.run()
			allDone(t, errs)
			sameBits(t, final(t, again), final(t, store))
		})
	}
}

// Three devices have shares of different sizes of the batch.
func TestDevices_haveTheLossesOfOne(t *testing.T) {
	data, spec := tinyData(t), tinyJob(t)
	spec.Training.Precision = v1alpha1.PrecisionFloat32
	spec.Training.Steps = new(int64(20))
	spec.Checkpoint.EverySteps = new(int64(20))
	curve := func(devices int) []float64 {
		store, _ := directory(t)
		_, errs := nodes{t: t, spec: spec, data: data, store: store, size: 1, devices: devices}.run()
		allDone(t, errs)
		return lossCurve(t, store)
	}
	got, want := curve(3), curve(1)
	if len(got) != 2 || len(want) != 2 {
		t.Fatalf("%d and %d records of 20 steps, want 2", len(got), len(want))
	}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-4*want[i] {
			t.Errorf("steps %d to %d have loss %v, want %v", 10*i+1, 10*i+10, got[i], want[i])
		}
	}
}

// One device that is asked to stop stops all at the same step, and going on ends with the same bits.
func TestDevices_stopTogetherAndEndWithTheSameBits(t *testing.T) {
	data := tinyData(t)
	whole, _ := directory(t)
	_, errs := nodes{t: t, spec: tinyJob(t), data: data, store: whole, size: 1, devices: 2}.run()
	allDone(t, errs)
	for rank := range 2 {
		store, _ := directory(t)
		_, errs := nodes{t: t, spec: tinyJob(t), data: data, store: store, size: 1, devices: 2, stopRank: rank, stopStep: 3}.run()
		for rank, err := range errs {
			if !errors.Is(err, ErrInterrupted) {
				t.Fatalf("rank %d ends with %v, want to be interrupted", rank, err)
			}
		}
		_, errs = nodes{t: t, spec: tinyJob(t), data: data, store: store, size: 1, devices: 2}.run()
		allDone(t, errs)
		sameBits(t, final(t, store), final(t, whole))
	}
}

func TestDevices_goOnFromACheckpointOfAnotherNumber(t *testing.T) {
	data, spec := tinyData(t), tinyJob(t)
	spec.Training.Precision = v1alpha1.PrecisionFloat32
	whole, _ := directory(t)
	_, errs := nodes{t: t, spec: spec, data: data, store: whole, size: 1}.run()
	allDone(t, errs)
	store, _ := directory(t)
	for _, part := range []struct {
		devices int
		stop    int64
	}{{2, 2}, {1, 4}, {2, 0}} {
		_, errs := nodes{t: t, spec: spec, data: data, store: store, size: 1, devices: part.devices, stopStep: part.stop}.run()
		for rank, err := range errs {
			if part.stop > 0 && !errors.Is(err, ErrInterrupted) || part.stop == 0 && err != nil {
				t.Fatalf("%d devices: rank %d ends with %v", part.devices, rank, err)
			}
		}
	}
	near(t, final(t, store), final(t, whole))
}

// faulty is a device on which nothing compiles, or whose programs fail from the third run on.
type faulty struct {
	device.Device
	compiles bool
}

var errFaulty = errors.New("the device has fallen off the bus")

func (f faulty) Compile(p *device.Program) (device.Executable, error) {
	x, err := f.Device.Compile(p)
	if !f.compiles {
		return nil, errFaulty
	}
	return &faultyProgram{Executable: x}, err
}

type faultyProgram struct {
	device.Executable
	runs int
}

func (x *faultyProgram) Run(ctx context.Context, rows int, bindings map[string]device.Array) error {
	if x.runs++; x.runs > 2 {
		return errFaulty
	}
	return x.Executable.Run(ctx, rows, bindings)
}

// A device that fails ends the other ranks, in its process and in others, and they know of it.
func TestDevices_endTogetherWhenOneFails(t *testing.T) {
	data := tinyData(t)
	for _, compiles := range []bool{false, true} {
		t.Run(fmt.Sprintf("it compiles: %v", compiles), func(t *testing.T) {
			store, _ := directory(t)
			_, errs := nodes{t: t, spec: tinyJob(t), data: data, store: store, size: 2, devices: 2, device: func(rank int) (device.Device, error) {
				if rank == 3 {
					return faulty{reference.New(), compiles}, nil
				}
				return reference.New(), nil
			}}.run()
			for rank, err := range errs {
				var lost *collective.PeerLostError
				if rank == 3 && !errors.Is(err, errFaulty) || rank != 3 && (!errors.As(err, &lost) || lost.Rank != 1 || !strings.Contains(err.Error(), errFaulty.Error())) {
					t.Errorf("rank %d ends with %v", rank, err)
				}
			}
		})
	}
}

// fakeGPUs open GPUs that are none, one for each rank of a process. When the test ends they must have been used rightly, and
// freed.
func fakeGPUs(t *testing.T, devices int) func(rank int) (device.Device, error) {
	t.Helper()
	c := fakegpu.Install(t)
	c.SetGPU(int32(devices), 9, 0, 12040)
	fakegpu.Checked(t, c)
	return func(rank int) (device.Device, error) { return cuda.New(cuda.Options{Index: rank}) }
}

// GPUs that add up by NCCL train the model of the reference device, and stop and go on as all ranks do.
func TestDevices_trainOnGPUsThatAreLinked(t *testing.T) {
	data, spec := tinyData(t), tinyJob(t)
	spec.Training.Precision = v1alpha1.PrecisionFloat32
	single, _ := directory(t)
	_, errs := nodes{t: t, spec: spec, data: data, store: single, size: 1, device: fakeGPUs(t, 1)}.run()
	allDone(t, errs)
	store, _ := directory(t)
	for _, part := range []struct {
		devices int
		stop    int64
	}{{2, 2}, {1, 3}, {2, 0}} {
		notes, errs := nodes{t: t, spec: spec, data: data, store: store, size: 1, devices: part.devices, stopStep: part.stop, device: fakeGPUs(t, part.devices)}.run()
		for rank, err := range errs {
			if part.stop > 0 && !errors.Is(err, ErrInterrupted) || part.stop == 0 && err != nil {
				t.Fatalf("%d GPUs: rank %d ends with %v", part.devices, rank, err)
			}
		}
		if said := strings.Join(notes[0], "\n"); part.devices > 1 && !strings.Contains(said, "2 devices are linked: nccl") {
			t.Errorf("the GPUs are not linked: %s", said)
		}
	}
	near(t, final(t, store), final(t, single))
}

// A GPU that fails while the others wait for its gradients does not keep them.
func TestDevices_leaveAGPUThatFails(t *testing.T) {
	store, _ := directory(t)
	open := fakeGPUs(t, 3)
	_, errs := nodes{t: t, spec: tinyJob(t), data: tinyData(t), store: store, size: 1, devices: 3, device: func(rank int) (device.Device, error) {
		d, err := open(rank)
		if gpu, ok := d.(*cuda.Device); ok && rank == 2 {
			return faultyGPU{gpu}, err
		}
		return d, err
	}}.run()
	for rank, err := range errs {
		var lost *collective.PeerLostError
		if rank == 2 && !errors.Is(err, errFaulty) || rank < 2 && !errors.As(err, &lost) {
			t.Errorf("rank %d ends with %v", rank, err)
		}
	}
}

// faultyGPU fails in its third step.
type faultyGPU struct{ *cuda.Device }

func (f faultyGPU) NewStepper(steps device.Steps) (device.Stepper, error) {
	s, err := f.Device.NewStepper(steps)
	return &faultyStepper{Stepper: s}, err
}

type faultyStepper struct {
	device.Stepper
	steps int
}

func (s *faultyStepper) Step(ctx context.Context, in device.StepInput) ([]device.StepResult, error) {
	if s.steps++; s.steps > 2 {
		return nil, errFaulty
	}
	return s.Stepper.Step(ctx, in)
}
