// Package cuda is the device that runs programs on an NVIDIA GPU of compute capability 8.0 or later.
//
// It is plain Go: package binding opens the driver, NVRTC and cuBLASLt at run time. Kernels come from package kernel, are
// compiled for the card that is there and kept on disk; products are cuBLASLt's. A program runs over all rows of a batch at
// once, in one arena that all programs of the device share, and from its second run with the same arrays on as a CUDA graph.
//
// A context belongs to a thread. So a [Device] has one of its own, on which everything happens in the order of the calls;
// functions that must run there say so.
package cuda
