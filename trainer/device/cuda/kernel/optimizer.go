package kernel

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/hrm-operator/hrm-operator/trainer/device"
)

const (
	optimizerFile = "optimizer.cu"
	// adamChunk is CHUNK of optimizer.cu: the numbers that a block updates, four by each thread.
	adamChunk = 1024
	// tensorBytes is the size of Tensor of optimizer.cu.
	tensorBytes = 56
)

// Tensor is a parameter for AdamATan2: indices of float32 buffers of N numbers each, and of a bfloat16 buffer that receives
// the updated parameter, or -1. Average is the buffer of its moving average, or -1.
type Tensor struct{ P, G, M, V, Copy, Average, N int }

// AdamATan2 returns one launch that updates all tensors. Buffer scalars holds what [AdamScalars] returns, and buffer finite
// an int32: 0 leaves everything as it is. Key names the list of tensors among the host's tables.
func AdamATan2(key string, tensors []Tensor, scalars, finite int) (Work, error) {
	table := &Table{Key: "tensors " + key, Bytes: make([]byte, tensorBytes*len(tensors))}
	chunks := &Table{Key: "chunks " + key}
	blocks := 0
	for i, t := range tensors {
		for k, buffer := range []int{t.P, t.G, t.M, t.V, t.Copy, t.Average} {
			if buffer >= 0 {
				table.Pointers = append(table.Pointers, Pointer{At: tensorBytes*i + 8*k, Buffer: buffer})
			}
		}
		binary.LittleEndian.PutUint64(table.Bytes[tensorBytes*i+48:], uint64(t.N))
		for chunk := range ceil(t.N, adamChunk) {
			chunks.Bytes = binary.LittleEndian.AppendUint32(chunks.Bytes, uint32(i))
			chunks.Bytes = binary.LittleEndian.AppendUint32(chunks.Bytes, uint32(chunk))
			blocks++
		}
	}
	return single(Launch{File: optimizerFile, Kernel: "adam_atan2", Grid: grid(blocks, 1), Block: block(adamChunk / 4),
		Args: []Arg{table, chunks, Buffer(scalars), Buffer(finite)}})
}

// AdamScalarBytes is the size of Adam of optimizer.cu.
const AdamScalarBytes = 36

// AdamScalars returns the AdamScalarBytes that buffer scalars of [AdamATan2] holds in a step.
func AdamScalars(h device.AdamATan2Step) ([]byte, error) {
	if h.Step < 1 {
		return nil, fmt.Errorf("adam-atan2: step %d, but steps count from 1", h.Step)
	}
	var out []byte
	for _, x := range []float64{
		h.LearningRate * h.WeightDecay, h.LearningRate / (1 - math.Pow(h.Beta1, float64(h.Step))),
		math.Sqrt(1 - math.Pow(h.Beta2, float64(h.Step))), h.Beta1, 1 - h.Beta1, h.Beta2, 1 - h.Beta2, h.EMADecay, 1 - h.EMADecay,
	} {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(x)))
	}
	return out, nil
}

// SignBuffers are the buffers of [SignSGD]: Table float32 [size,dim], IDs int32 [rows], Gradients float32 [rows,dim],
// Scalars as [SignScalars] has them, Finite an int32, 0 to change nothing.
type SignBuffers struct{ Table, IDs, Gradients, Scalars, Finite int }

// SignSGD returns a launch that sums the gradients of repeated rows in the batch's order, and updates each row of the table
// once.
func SignSGD(b SignBuffers, rows, dim, size int) (Work, error) {
	return single(Launch{File: optimizerFile, Kernel: "sign_sgd", Grid: grid(rows, 1), Block: block(threads),
		Args: []Arg{Buffer(b.Table), Buffer(b.IDs), Buffer(b.Gradients), Buffer(b.Scalars), Buffer(b.Finite), Fault{}, Int32(rows), Int32(dim), Int32(size)}})
}

// SignScalars returns the 16 bytes that buffer Scalars of [SignSGD] holds in a step.
func SignScalars(learningRate, weightDecay float64) []byte {
	out := binary.LittleEndian.AppendUint64(nil, math.Float64bits(1-learningRate*weightDecay))
	return binary.LittleEndian.AppendUint64(out, math.Float64bits(learningRate))
}

// single is work of one launch.
func single(l Launch) (Work, error) {
	return Work{Launches: []Launch{l}}, l.check()
}
