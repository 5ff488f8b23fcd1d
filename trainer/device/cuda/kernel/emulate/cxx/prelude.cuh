// What the kernels' own prelude.cuh defines by PTX, and what the CUDA compiler knows by itself, on the processor.
#pragma once
#include <cmath>
#include <utility>
#include "emulate.h"

typedef long long i64;
typedef unsigned int u32;
typedef unsigned long long u64;

struct bf16 {
  unsigned short bits;
};

struct alignas(16) quad {
  u32 x, y, z, w;
};

#define KERNEL static
#define DEVICE static inline
#define DEVICE_MEMBER inline
#define UNROLL
#define __launch_bounds__(...)
#define __restrict__
#define threadIdx (emulate::thread)
#define blockIdx (emulate::launch.at)
#define blockDim (emulate::launch.block)
#define gridDim (emulate::launch.grid)

#define __syncthreads() emulate::block_barrier()
#define __syncwarp() emulate::together("__syncwarp", 0xffffffffu, nullptr, nullptr, [](const void *const *, void *const *) {})

template <class X> X __shfl_xor_sync(unsigned mask, X x, int distance) { return emulate::shuffle("__shfl_xor_sync", mask, x,
                                     (emulate::lane ^ distance) & 31); }
template <class X> X __shfl_sync(unsigned mask, X x, int from) { return emulate::shuffle("__shfl_sync", mask, x, from & 31); }

DEVICE u32 __umulhi(u32 a, u32 b) { return (u32)((u64)a * b >> 32); }

DEVICE float float_of(u32 bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

DEVICE u32 bits_of(float x) {
  u32 bits;
  memcpy(&bits, &x, 4);
  return bits;
}

// PTX: NaN becomes 0x7fff, everything else rounds to nearest, ties to even.
DEVICE u32 round_one(float x) {
  u32 bits = bits_of(x);
  if (x != x) return 0x7fff;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

DEVICE u32 round_pair(float low, float high) { return round_one(low) | round_one(high) << 16; }

// PTX: .ftz takes and gives zero for subnormal numbers. The errors are as large as PTX allows, up or down by a bit of x: two
// units in the last place, and 2^-22.
DEVICE float flush(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }
DEVICE float error_of(float x) { return bits_of(x) & 1 ? 0x1p-22f : -0x1p-22f; }
DEVICE float exp2_fast(float x) { return flush(exp2f(flush(x)) * (1 + error_of(x))); }
DEVICE float log2_fast(float x) { return flush(log2f(flush(x)) + error_of(x)); }

DEVICE void raise(u32 *fault, u32 bits) { *fault |= bits; }
DEVICE char *shared_memory() { return emulate::launch.shared; }

DEVICE void copy_async(void *to, const void *from, bool wanted) {
  if ((uintptr_t)to % 16 || (uintptr_t)from % 16) emulate::fail("cp.async of 16 bytes is not aligned to them");
  emulate::begin_copy(to, from, wanted);
}
DEVICE void copies_arrived() { emulate::finish_copies(); }

// The arithmetic of what a warp does together runs without checks, for speed; what it reads was copied with them.
#define UNCHECKED __attribute__((no_sanitize("address", "undefined"), optimize("O3"), noinline)) static

// PTX, ldmatrix: lanes 8m to 8m+7 give the rows of matrix m.
UNCHECKED void deal_8x8(const bf16 (&matrices)[4][8][8], bool transposed, void *const *results) {
  for (int lane = 0; lane < 32; lane++) {
    for (int m = 0; m < 4; m++) {
      int i = lane / 4, j = lane % 4 * 2;
      bf16 low = transposed ? matrices[m][j][i] : matrices[m][i][j], high = transposed ? matrices[m][j + 1][i] : matrices[m][i][j + 1];
      ((u32 *)results[lane])[m] = low.bits | (u32)high.bits << 16;
    }
  }
}

template <bool TRANSPOSED> void load_8x8(u32 (&r)[4], const bf16 *row) {
  if ((uintptr_t)row % 16) emulate::fail("a row of ldmatrix is not aligned to 16 bytes");
  emulate::together(TRANSPOSED ? "ldmatrix.trans" : "ldmatrix", 0xffffffffu, &row, r, [](const void *const *rows, void *const *results) {
    alignas(16) bf16 matrices[4][8][8];
    for (int lane = 0; lane < 32; lane++) *(quad *)matrices[lane / 8][lane % 8] = **(const quad *const *)rows[lane];
    deal_8x8(matrices, TRANSPOSED, results);
  });
}
DEVICE void load_matrices(u32 (&r)[4], const bf16 *row) { load_8x8<false>(r, row); }
DEVICE void load_matrices_transposed(u32 (&r)[4], const bf16 *row) { load_8x8<true>(r, row); }

struct Fragments {
  u32 a[4], b[2];
  float c[4];
};

// PTX, mma.m16n8k16 with .bf16: fragments are put together to whole matrices and the product taken from them. The products are
// exact; they are summed in float64 and rounded once, where the hardware's order and rounding are its own.
UNCHECKED void multiply_warp(const void *const *arguments, void *const *results) {
  auto half_of = [](u32 pair, int half) {
    u32 bits = half ? pair & 0xffff0000u : pair << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
  };
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; lane++) {
    const Fragments &f = *(const Fragments *)arguments[lane];
    int group = lane / 4, in_group = lane % 4;
    for (int i = 0; i < 8; i++) {
      int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
      int column = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
      a[row][column] = half_of(f.a[i / 2], i & 1);
    }
    for (int i = 0; i < 4; i++) b[in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0)][group] = half_of(f.b[i / 2], i & 1);
  }
  double product[16][8] = {};
  for (int row = 0; row < 16; row++)
    for (int k = 0; k < 16; k++)
      for (int column = 0; column < 8; column++) product[row][column] += (double)a[row][k] * b[k][column];
  for (int lane = 0; lane < 32; lane++) {
    const Fragments &f = *(const Fragments *)arguments[lane];
    for (int i = 0; i < 4; i++) {
      int row = i < 2 ? lane / 4 : lane / 4 + 8, column = lane % 4 * 2 + (i & 1);
      ((float *)results[lane])[i] = (float)(f.c[i] + product[row][column]);
    }
  }
}

DEVICE void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  Fragments f{{a[0], a[1], a[2], a[3]}, {b0, b1}, {c[0], c[1], c[2], c[3]}};
  emulate::together("mma", 0xffffffffu, &f, c, multiply_warp);
}
