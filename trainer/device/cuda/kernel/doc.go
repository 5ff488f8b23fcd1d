// Package kernel owns the CUDA kernels: their sources, and how each instruction of a program becomes launches of them.
//
// The sources are .cu files, one per family, that include no CUDA header and are compiled at run time by NVRTC; [Source]
// returns one as a single text. [For] describes what an instruction launches: kernel, specialisation, grid, and arguments
// that name buffers. It touches no GPU, so the CUDA device and the emulation run the same descriptions. Products
// (OpLinear and its gradients) are not here: cuBLASLt computes them.
//
// The emulation (package emulate) compiles the same files with g++, where emulate/cxx/prelude.cuh stands in for the PTX of
// prelude.cuh: tensor-core products and ldmatrix by PTX's fragment layouts, asynchronous copies that arrive only when
// waited for. The threads of a block are coroutines that give way only at barriers and warp operations, and are resumed
// in an order drawn from a seed: what depends on an order that no barrier sets differs between seeds, and threads that
// wait for each other in vain are reported. Every buffer is a heap block of its exact size under AddressSanitizer and
// UBSan, results and shared memory are full of NaN before they are written. It says nothing about speed, about what two
// threads do between the same barriers at the very same time, or about the last bits of the hardware's sums and
// approximate functions.
package kernel
