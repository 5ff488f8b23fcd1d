// Package binding calls the libraries of CUDA: the driver (libcuda), NVRTC, cuBLASLt and NCCL.
//
// They are found and opened at run time, so that one binary serves machines with and without a GPU, with CUDA 12 and 13.
// Every function checks what the library says and makes it an [Error] that names the call and CUDA's own name of the
// failure. The functions are those of the libraries' documentation under the same names; nothing is kept here, and nothing
// is freed by itself.
//
// Contexts are current on a thread: all but NVRTC, what asks for devices and what aborts must be called from the thread on which
// [Driver.CtxSetCurrent] was called.
package binding
