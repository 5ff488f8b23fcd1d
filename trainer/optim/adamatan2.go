// Package optim owns what happens between a gradient and the next step: AdamATan2 for dense parameters, SparseSignSGD
// for the puzzle table, and the learning rate's schedule.
package optim

import (
	"fmt"
	"math"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

// Hyperparameters are the constants of AdamATan2. EMADecay is that of the averages of parameters that have one.
type Hyperparameters struct{ WeightDecay, Beta1, Beta2, EMADecay float64 }

// Parameter is one dense parameter with its gradient, both float32 arrays of one length on the device. Average is the moving
// average of its values, which is somebody else's; nil is none.
type Parameter struct {
	Name                     string
	Value, Gradient, Average device.Array
}

// DeviceAdamATan2 updates parameters where they live. It owns their moments and counts steps.
type DeviceAdamATan2 struct {
	device     device.Device
	names      []string
	parameters []device.Dense
	hyper      Hyperparameters
	step       int64
}

// NewDeviceAdamATan2 allocates zero moments for the parameters, whose names must differ.
func NewDeviceAdamATan2(d device.Device, parameters []Parameter, h Hyperparameters) (*DeviceAdamATan2, error) {
	o := &DeviceAdamATan2{device: d, hyper: h}
	seen := map[string]bool{}
	for _, p := range parameters {
		if seen[p.Name] {
			return nil, fmt.Errorf("adam-atan2: two parameters are called %s", p.Name)
		}
		seen[p.Name] = true
		m, err := d.NewArray(device.Float32, p.Value.Len())
		if err != nil {
			return nil, fmt.Errorf("adam-atan2: moments of %s: %w", p.Name, err)
		}
		v, err := d.NewArray(device.Float32, p.Value.Len())
		if err != nil {
			return nil, fmt.Errorf("adam-atan2: moments of %s: %w", p.Name, err)
		}
		o.names = append(o.names, p.Name)
		o.parameters = append(o.parameters, device.Dense{Value: p.Value, Gradient: p.Gradient, M: m, V: v, Average: p.Average})
	}
	return o, nil
}

// Step updates every parameter from its gradient.
func (o *DeviceAdamATan2) Step(learningRate float64) error {
	return o.device.AdamATan2(o.parameters, o.Next(learningRate))
}

// Next counts a step that the device makes by itself, and returns the scalars of its update.
func (o *DeviceAdamATan2) Next(learningRate float64) device.AdamATan2Step {
	o.step++
	return device.AdamATan2Step{
		LearningRate: learningRate, WeightDecay: o.hyper.WeightDecay, Beta1: o.hyper.Beta1, Beta2: o.hyper.Beta2, EMADecay: o.hyper.EMADecay, Step: o.step,
	}
}

// Dense lists what is updated.
func (o *DeviceAdamATan2) Dense() []device.Dense { return o.parameters }

// AdamATan2State is everything that a checkpoint keeps of the optimizer. Moments are keyed by "m." or "v." and the
// parameter's name. Of parameters that are averaged they also have the value itself, as "w.": weights are the averages.
type AdamATan2State struct {
	Step    int64
	Moments map[string][]float32
}

// Each calls do with the key and the array of every moment, and of the values that are averaged.
func (o *DeviceAdamATan2) Each(do func(key string, a device.Array) error) error {
	for i, p := range o.parameters {
		if err := do("m."+o.names[i], p.M); err != nil {
			return err
		}
		if err := do("v."+o.names[i], p.V); err != nil {
			return err
		}
		if p.Average == nil {
			continue
		}
		if err := do("w."+o.names[i], p.Value); err != nil {
			return err
		}
	}
	return nil
}

// Export copies the state out of the device.
func (o *DeviceAdamATan2) Export() (AdamATan2State, error) {
	s := AdamATan2State{Step: o.step, Moments: map[string][]float32{}}
	err := o.Each(func(key string, a device.Array) error {
		x, err := device.ReadFloats(a, 0, a.Len())
		if err != nil {
			return fmt.Errorf("export %s: %w", key, err)
		}
		s.Moments[key] = x
		return nil
	})
	return s, err
}

// Import puts an exported state back. Nothing is changed if the state does not fit the parameters.
func (o *DeviceAdamATan2) Import(s AdamATan2State) error {
	wanted := 0
	err := o.Each(func(key string, a device.Array) error {
		if x, ok := s.Moments[key]; !ok || len(x) != a.Len() {
			return fmt.Errorf("import optimizer state: %s has %d elements, want %d: it belongs to another model", key, len(x), a.Len())
		}
		wanted++
		return nil
	})
	if err != nil {
		return err
	}
	if len(s.Moments) != wanted {
		return fmt.Errorf("import optimizer state: it has %d arrays, want %d: it belongs to another model, or to one whose weights are averaged", len(s.Moments), wanted)
	}
	o.step = s.Step
	return o.Each(func(key string, a device.Array) error {
		if err := device.WriteFloats(a, 0, s.Moments[key]); err != nil {
			return fmt.Errorf("import %s: %w", key, err)
		}
		return nil
	})
}

// updateSlice is AdamATan2 on host memory: p *= 1-lr*decay; m, v moving averages;
// p -= lr/(1-β1^t) * atan2(m, sqrt(v)/sqrt(1-β2^t)).
func updateSlice(p, g, m, v []float32, h device.AdamATan2Step) {
	stepSize := h.LearningRate / (1 - math.Pow(h.Beta1, float64(h.Step)))
	correction := math.Sqrt(1 - math.Pow(h.Beta2, float64(h.Step)))
	for i := range p {
		gi := float64(g[i])
		m[i] = float32(h.Beta1*float64(m[i]) + (1-h.Beta1)*gi)
		v[i] = float32(h.Beta2*float64(v[i]) + (1-h.Beta2)*gi*gi)
		x := float64(p[i]) * (1 - h.LearningRate*h.WeightDecay)
		p[i] = float32(x - stepSize*math.Atan2(float64(m[i]), math.Sqrt(float64(v[i]))/correction))
	}
}
