// Package device defines what a program is and what a device must do to run it.
//
// A [Program] is a flat list of instructions over typed values. It says nothing of the batch size: a value with Rows
// holds one block of Shape for every row (example) of the batch, and every instruction treats the rows independently,
// so a device may run all rows at once or slice after slice. The only thing that rows share are parameters, which a
// program reads, and gradients, to which it adds.
//
// The sub-packages are the devices: reference is plain Go, slow and obviously right; cpu is oneDNN and C kernels; cuda is an NVIDIA GPU.
package device

import (
	"context"
	"fmt"
)

// DType is the type of an array's elements.
type DType uint8

// The element types that programs use.
const (
	Float32 DType = iota
	BFloat16
	Int32
)

// Size returns the bytes of one element.
func (t DType) Size() int {
	if t == BFloat16 {
		return 2
	}
	return 4
}

// String returns the type's name as safetensors spells it.
func (t DType) String() string {
	switch t {
	case Float32:
		return "F32"
	case BFloat16:
		return "BF16"
	case Int32:
		return "I32"
	}
	return fmt.Sprintf("DType(%d)", uint8(t))
}

// Array is memory of a device. Parameters, optimizer state and the carry live in arrays.
type Array interface {
	DType() DType
	// Len is the number of elements.
	Len() int
	// Read copies raw little-endian elements into dst, starting at element offset.
	Read(offset int, dst []byte) error
	// Write copies raw little-endian elements from src, starting at element offset.
	Write(offset int, src []byte) error
}

// Device runs programs and optimizer updates on its own arrays. A device is used from one goroutine.
type Device interface {
	// Name is what users call the device: "reference", "cpu", "cuda".
	Name() string
	// Supports says whether programs may have activations of this type here.
	Supports(t DType) bool
	// NewArray allocates n zeroed elements.
	NewArray(t DType, n int) (Array, error)
	// Compile prepares a program. Several programs may share parameter arrays.
	Compile(p *Program) (Executable, error)
	// AdamATan2 updates parameters and their moments in place. The same list again may cost less than another one.
	AdamATan2(parameters []Dense, h AdamATan2Step) error
	// SignSGD updates the given rows of a table [ids, dim] in place: w = w*(1-lr*decay) - lr*sign(g).
	// rows are distinct, gradient [len(rows), dim] is already summed over repeated rows.
	SignSGD(table Array, rows []int32, gradient []float32, learningRate, weightDecay float64) error
	// StartProfile begins to measure what the device spends its time on. It makes the device somewhat slower.
	StartProfile()
	// StopProfile ends that, and returns what has been spent since, the longest first.
	StopProfile() ([]Measurement, error)
	// Close frees everything the device holds.
	Close() error
}

// Dense is a parameter that AdamATan2 updates, with its gradient and its moments: float32 arrays of one length. Average is the
// moving average of its values, nil if there is none.
type Dense struct{ Value, Gradient, M, V, Average Array }

// AdamATan2Step holds the scalars of one update: p *= 1-LearningRate*WeightDecay;
// m, v are moving averages; p -= LearningRate/(1-Beta1^Step) * atan2(m, sqrt(v)/sqrt(1-Beta2^Step));
// then average = EMADecay*average + (1-EMADecay)*p.
type AdamATan2Step struct {
	LearningRate, WeightDecay, Beta1, Beta2, EMADecay float64
	// Step counts from 1.
	Step int64
}

// Executable is a compiled program.
type Executable interface {
	// Run executes the program over rows examples. bindings holds an array for every Input, Output, Parameter and
	// Gradient value, by name; row values need at least rows blocks. An output may be bound to the same array as an
	// input of the same shape (the carry is updated in place): a row's inputs are read before its outputs are written.
	// Gradients are overwritten with the sum over all rows.
	Run(ctx context.Context, rows int, bindings map[string]Array) error
	// Close frees the executable's memory.
	Close() error
}
