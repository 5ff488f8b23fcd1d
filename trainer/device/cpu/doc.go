// Package cpu is the device that runs programs on the processor: matrix products by oneDNN, everything else by C kernels.
//
// It is built with cgo and the tag onednn (`go build -tags onednn`, Debian package libdnnl-dev); without them only
// [Available] is there, and says so.
//
// Rows of a batch are independent, so nothing is parallel inside an instruction: every worker thread takes a fixed share
// of the rows and runs the whole program over it, slice after slice, in memory that stays near its core. Products are
// single-threaded. Each worker sums its gradients into its own memory, and these sums are added in the order of the
// workers at the end. Slices depend only on the numbers of rows and threads, so the same numbers give the same bits.
//
// Kernels (one per header: attention.h, swiglu.h, ...) are written once over vectors of HRM_LANES floats and compiled for
// several instruction sets (isa_*.c); the best one that the processor has is chosen at run time, or the one that
// HRM_CPU_ISA names: portable, avx2, avx512, avx512bf16.
package cpu

// Options configures the device. The zero value suits the machine.
type Options struct {
	// Threads is the number of worker threads; 0 takes as many as the process may use (cgroup quotas count).
	Threads int
	// SliceRows is the number of rows that a worker carries through a program at a time; 0 chooses by the size of a row.
	SliceRows int
}
