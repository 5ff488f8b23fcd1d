// What the kernels need of the machine and CUDA C++ has no word for without headers: everything in PTX is here.
//
// The emulation brings its own file of this name with the same functions (emulate/cxx/prelude.cuh), so a kernel that keeps to
// them and to what the compiler itself knows (threadIdx, __syncthreads, __shfl_xor_sync, expf, ...) runs on both.
#pragma once

typedef long long i64;
typedef unsigned int u32;
typedef unsigned long long u64;

// The bits of a bfloat16.
struct bf16 {
  unsigned short bits;
};

// What is moved by one access of 16 bytes.
struct alignas(16) quad {
  u32 x, y, z, w;
};

#define KERNEL extern "C" __global__
#define DEVICE static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__
// Loops over arrays in registers must be unrolled: registers have no index.
#define UNROLL _Pragma("unroll")

DEVICE float float_of(u32 bits) {
  float x;
  asm("mov.b32 %0, %1;" : "=f"(x) : "r"(bits));
  return x;
}

DEVICE u32 bits_of(float x) {
  u32 bits;
  asm("mov.b32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

// round_pair returns two numbers as bfloat16, ties to even, the first in the lower half.
DEVICE u32 round_pair(float low, float high) {
  u32 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// exp2_fast is 2^x to two units in the last place.
DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// log2_fast has an absolute error below 2^-22.
DEVICE float log2_fast(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// raise sets bits of the word that tells the host of bad input.
DEVICE void raise(u32 *fault, u32 bits) { asm volatile("red.global.or.b32 [%0], %1;" ::"l"(fault), "r"(bits) : "memory"); }

// shared_memory is the block's dynamic shared memory, the only kind that kernels use.
DEVICE char *shared_memory() {
  extern __shared__ quad dynamic_shared[];
  return (char *)dynamic_shared;
}

DEVICE u32 shared_address(const void *p) {
  u32 address;
  asm("{ .reg .u64 a; cvta.to.shared.u64 a, %1; cvt.u32.u64 %0, a; }" : "=r"(address) : "l"(p));
  return address;
}

// copy_async begins to copy 16 bytes to shared memory, zeros if not wanted; neither side may be touched before
// copies_arrived, and other threads see them after a barrier.
DEVICE void copy_async(void *to, const void *from, bool wanted) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(wanted ? 16 : 0) : "memory");
}

DEVICE void copies_arrived() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// load_matrices loads four 8x8 matrices of 16-bit numbers from shared memory: lane l gives the address of row l%8 of
// matrix l/8, and gets of each matrix the numbers 2*(l%4) and 2*(l%4)+1 of row l/4. A barrier must stand between it and every
// write to the matrices: the compiler orders it by barriers only.
DEVICE void load_matrices(u32 (&r)[4], const bf16 *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row)));
}

// load_matrices_transposed gives lane l of each matrix the rows 2*(l%4) and 2*(l%4)+1 of column l/4.
DEVICE void load_matrices_transposed(u32 (&r)[4], const bf16 *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row)));
}

// multiply adds a (16x16) times b (16x8) to c (16x8), all lanes of a warp together. Lane l holds, with g = l/4, i = 2*(l%4):
// a[0] = A[g][i,i+1], a[1] = A[g+8][i,i+1], a[2] = A[g][i+8,i+9], a[3] = A[g+8][i+8,i+9];
// b0 = B[i,i+1][g], b1 = B[i+8,i+9][g]; c[0,1] = C[g][i,i+1], c[2,3] = C[g+8][i,i+1].
DEVICE void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
