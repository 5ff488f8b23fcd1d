package loop

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hrm-operator/hrm-operator/trainer/checkpoint"
	"github.com/hrm-operator/hrm-operator/trainer/device"
	"github.com/hrm-operator/hrm-operator/trainer/model"
)

// Network is a model on a device: its parameters, their gradients and the compiled programs.
type Network struct {
	Device device.Device
	Model  *model.Model

	parameters map[string]device.Array
	// averages are the moving averages of the trained parameters, which evaluations take in their place; nil if there are none.
	averages  map[string]device.Array
	gradients map[string]device.Array
	train     device.Executable
	eval      device.Executable
	// puzzle holds one row of the puzzle table while it is copied.
	puzzle []byte
}

// NewNetwork allocates the model's parameters and compiles its programs; the training program only if train is set.
func NewNetwork(d device.Device, m *model.Model, train bool) (*Network, error) {
	n := &Network{Device: d, Model: m, parameters: map[string]device.Array{}, gradients: map[string]device.Array{}}
	for _, p := range m.Parameters {
		a, err := d.NewArray(device.Float32, p.Elements())
		if err != nil {
			return nil, fmt.Errorf("allocate %s: %w", p.Name, err)
		}
		n.parameters[p.Name] = a
	}
	n.puzzle = make([]byte, device.Float32.Size()*n.puzzleDim())
	var err error
	if n.eval, err = d.Compile(m.Eval); err != nil {
		return nil, fmt.Errorf("compile for device %s: %w", d.Name(), err)
	}
	if !train {
		return n, nil
	}
	if n.train, err = d.Compile(m.Train); err != nil {
		return nil, fmt.Errorf("compile for device %s: %w", d.Name(), err)
	}
	return n, nil
}

// Close frees the programs; the device owns the arrays.
func (n *Network) Close() error {
	if n.train != nil {
		if err := n.train.Close(); err != nil {
			return err
		}
	}
	return n.eval.Close()
}

// ParameterCount is the number of trained values, the puzzle table not counted, as papers count them.
func (n *Network) ParameterCount() int {
	total := 0
	for _, p := range n.trainable() {
		total += p.Elements()
	}
	return total
}

// trainable lists the parameters that the dense optimizer updates.
func (n *Network) trainable() []model.Parameter {
	var list []model.Parameter
	for _, p := range n.Model.Parameters {
		if p.Trainable {
			list = append(list, p)
		}
	}
	return list
}

// Initialize gives every parameter its random first value.
func (n *Network) Initialize(seed int64) error {
	for name, values := range model.InitialValues(n.Model.Parameters, seed) {
		if err := n.setParameter(name, values); err != nil {
			return fmt.Errorf("initialize %s: %w", name, err)
		}
	}
	return nil
}

// setParameter copies a parameter to the device; its average begins there.
func (n *Network) setParameter(name string, values []float32) error {
	if average, ok := n.averages[name]; ok {
		if err := device.WriteFloats(average, 0, values); err != nil {
			return err
		}
	}
	return device.WriteFloats(n.parameters[name], 0, values)
}

// average has the trained parameters averaged, from what they are now.
func (n *Network) average() error {
	n.averages = map[string]device.Array{}
	for _, p := range n.trainable() {
		raw, err := contents(n.parameters[p.Name])
		if err != nil {
			return fmt.Errorf("read %s: %w", p.Name, err)
		}
		if n.averages[p.Name], err = n.Device.NewArray(device.Float32, p.Elements()); err != nil {
			return fmt.Errorf("allocate the average of %s: %w", p.Name, err)
		}
		if err := n.averages[p.Name].Write(0, raw); err != nil {
			return fmt.Errorf("write the average of %s: %w", p.Name, err)
		}
	}
	return nil
}

// evaluated returns the array of a parameter as evaluations take it: its average, if there is one.
func (n *Network) evaluated(name string) device.Array {
	if average, ok := n.averages[name]; ok {
		return average
	}
	return n.parameters[name]
}

// Weights copies all parameters out of the device as evaluations take them, under their official names.
func (n *Network) Weights() (map[string]checkpoint.Tensor, error) { return n.weights(n.evaluated) }

// trainedWeights is Weights of the parameters themselves, not of their averages.
func (n *Network) trainedWeights() (map[string]checkpoint.Tensor, error) {
	return n.weights(func(name string) device.Array { return n.parameters[name] })
}

func (n *Network) weights(array func(name string) device.Array) (map[string]checkpoint.Tensor, error) {
	weights := map[string]checkpoint.Tensor{}
	for _, p := range n.Model.Parameters {
		raw, err := contents(array(p.Name))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", p.Name, err)
		}
		weights[p.Name] = checkpoint.Tensor{DType: checkpoint.F32, Shape: p.Shape, Data: raw}
	}
	return weights, nil
}

// contents copies an array out of the device.
func contents(a device.Array) ([]byte, error) {
	raw := make([]byte, a.Len()*a.DType().Size())
	return raw, a.Read(0, raw)
}

// SetWeights copies parameters to the device; averages begin there, too. Every parameter must be there, with the right number of elements.
func (n *Network) SetWeights(weights map[string]checkpoint.Tensor) error {
	for _, p := range n.Model.Parameters {
		if have := weights[p.Name].Elements(); have != p.Elements() {
			return fmt.Errorf("%s has %d elements, this model wants %d %v: the weights belong to another model", p.Name, have, p.Elements(), p.Shape)
		}
	}
	for _, p := range n.Model.Parameters {
		values, err := weights[p.Name].Float32s()
		if err != nil {
			return fmt.Errorf("weights %s: %w", p.Name, err)
		}
		if err := n.setParameter(p.Name, values); err != nil {
			return fmt.Errorf("write %s: %w", p.Name, err)
		}
	}
	return nil
}

// bindEvaluation is bind with the parameters that evaluations take.
func (n *Network) bindEvaluation(p *device.Program, rows int) (map[string]device.Array, error) {
	bindings, err := n.bind(p, rows)
	for name := range n.averages {
		bindings[name] = n.averages[name]
	}
	return bindings, err
}

// bind allocates what a program reads and writes for rows examples, and binds it together with parameters and gradients.
// An output "x.next" shares the array of the input "x": the carry is updated in place. Inputs are bound first for that.
func (n *Network) bind(p *device.Program, rows int) (map[string]device.Array, error) {
	bindings := map[string]device.Array{}
	for _, roles := range [][]device.Role{{device.Input, device.Parameter, device.Gradient}, {device.Output}} {
		for i := range p.Values {
			v := &p.Values[i]
			if !slices.Contains(roles, v.Role) {
				continue
			}
			a, err := n.array(bindings, v, rows)
			if err != nil {
				return nil, fmt.Errorf("program %s: %s for %d rows: %w", p.Name, v.Name, rows, err)
			}
			bindings[v.Name] = a
		}
	}
	return bindings, nil
}

// array finds or allocates the memory of a value.
func (n *Network) array(bindings map[string]device.Array, v *device.Value, rows int) (device.Array, error) {
	switch v.Role {
	case device.Parameter:
		if a, ok := n.parameters[v.Name]; ok {
			return a, nil
		}
		return nil, errors.New("the model does not list this parameter")
	case device.Gradient:
		return n.gradient(v)
	}
	return shared(bindings, n.Device, v, rows)
}

// gradient returns the one array that holds a parameter's gradient.
func (n *Network) gradient(v *device.Value) (device.Array, error) {
	if a, ok := n.gradients[v.Name]; ok {
		return a, nil
	}
	a, err := n.Device.NewArray(device.Float32, v.Elements())
	n.gradients[v.Name] = a
	return a, err
}

// shared returns the array of an input or output.
func shared(bindings map[string]device.Array, d device.Device, v *device.Value, rows int) (device.Array, error) {
	if carried, ok := strings.CutSuffix(v.Name, ".next"); ok {
		if a, ok := bindings[carried]; ok {
			return a, nil
		}
	}
	count := v.Elements()
	if v.Rows {
		count *= rows
	}
	return d.NewArray(v.DType, count)
}

// states are the names of the arrays that a row keeps from segment to segment.
func (n *Network) states() []string {
	var names []string
	for _, s := range n.Model.States() {
		names = append(names, s.Name)
	}
	return names
}

// puzzleDim is the width of the puzzle table, 0 if the model has none.
func (n *Network) puzzleDim() int {
	for _, p := range n.Model.Parameters {
		if p.Name == model.PuzzleTable {
			return p.Shape[1]
		}
	}
	return 0
}

// writeInput sets an input of whole numbers, if the program has it: one of a single segment needs no "last".
func writeInput(bindings map[string]device.Array, name string, x []int32) error {
	a, ok := bindings[name]
	if !ok {
		return nil
	}
	if err := device.WriteInts(a, 0, x); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// gatherPuzzles copies the table's rows of the given puzzles into the program's input.
func (n *Network) gatherPuzzles(bindings map[string]device.Array, ids []int32) error {
	for i, id := range ids {
		if err := n.gatherPuzzle(bindings, i, id); err != nil {
			return err
		}
	}
	return nil
}

// gatherPuzzle copies the table's row of a puzzle into a row of the program's input, if the program has one.
func (n *Network) gatherPuzzle(bindings map[string]device.Array, row int, id int32) error {
	into, ok := bindings["puzzle"]
	if !ok {
		return nil
	}
	dim := len(n.puzzle) / device.Float32.Size()
	if err := n.parameters[model.PuzzleTable].Read(int(id)*dim, n.puzzle); err != nil {
		return fmt.Errorf("puzzle identifier %d: %w", id, err)
	}
	if err := into.Write(row*dim, n.puzzle); err != nil {
		return fmt.Errorf("puzzle identifier %d: %w", id, err)
	}
	return nil
}
