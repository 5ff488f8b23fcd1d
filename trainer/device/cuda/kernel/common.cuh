// What all kernels share: the activation type, accesses of 16 bytes, and sums over a warp in a fixed order.
//
// Memory rule: an instruction overwrites its result, but adds to gradients of parameters. No sum is made with atomic
// additions, so the same input gives the same bits. Arrays begin at multiples of 16 bytes. B rows (examples),
// T = prefix+S positions, S tokens, D hidden, V vocabulary, F SwiGLU width.
#pragma once
#include "prelude.cuh"

#ifdef BFLOAT16
typedef bf16 act;
#else
typedef float act;
#endif

// PACK is how many activations one access moves.
constexpr int PACK = 16 / sizeof(act);
constexpr u32 ALL_LANES = 0xffffffffu;
constexpr float LOG2E = 1.44269504f, LN2 = 0.693147181f;

// Bits of the fault word.
constexpr u32 BAD_TOKEN = 1, BAD_LABEL = 2, BAD_ROW = 4;

// The label of tokens that do not count.
constexpr int IGNORED = -100;

DEVICE i64 thread_index() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
DEVICE int lane_index() { return threadIdx.x % 32; }
DEVICE int warp_index() { return threadIdx.x / 32; }

DEVICE float infinity() { return float_of(0x7f800000u); }

DEVICE float widen(bf16 x) { return float_of((u32)x.bits << 16); }
DEVICE float widen(float x) { return x; }
DEVICE bf16 narrow(float x) { return bf16{(unsigned short)round_pair(x, 0)}; }

// sigmoid_fast is 1/(1+exp(-x)) to a few units in the last place.
DEVICE float sigmoid_fast(float x) { return 1 / (1 + exp2_fast(-x * LOG2E)); }

// move copies 16 bytes. Number by number, for whole structures are copied by halves.
DEVICE void move(void *to, const void *from) {
  quad q = *(const quad *)from;
  *(quad *)to = quad{q.x, q.y, q.z, q.w};
}

// load fills x from p, by accesses of 16 bytes if N is a multiple of such, or of 8 if N is 2.
template <int N> DEVICE void load(float (&x)[N], const float *p) {
  if constexpr (N == 2) {
    u64 pair = *(const u64 *)p;
    x[0] = float_of((u32)pair), x[1] = float_of((u32)(pair >> 32));
  } else if constexpr (N % 4 == 0) {
    UNROLL for (int i = 0; i < N; i += 4) {
      quad q = *(const quad *)(p + i);
      x[i] = float_of(q.x), x[i + 1] = float_of(q.y), x[i + 2] = float_of(q.z), x[i + 3] = float_of(q.w);
    }
  } else {
    UNROLL for (int i = 0; i < N; i++) x[i] = p[i];
  }
}

DEVICE void widen_pair(float *x, u32 pair) {
  x[0] = float_of(pair << 16);
  x[1] = float_of(pair & 0xffff0000u);
}

template <int N> DEVICE void load(float (&x)[N], const bf16 *p) {
  if constexpr (N % 8 == 0) {
    UNROLL for (int i = 0; i < N; i += 8) {
      quad q = *(const quad *)(p + i);
      widen_pair(x + i, q.x), widen_pair(x + i + 2, q.y), widen_pair(x + i + 4, q.z), widen_pair(x + i + 6, q.w);
    }
  } else {
    UNROLL for (int i = 0; i < N; i++) x[i] = widen(p[i]);
  }
}

template <int N> DEVICE void store(float *p, const float (&x)[N]) {
  if constexpr (N % 4 == 0) {
    UNROLL for (int i = 0; i < N; i += 4) *(quad *)(p + i) = quad{bits_of(x[i]), bits_of(x[i + 1]), bits_of(x[i + 2]), bits_of(x[i + 3])};
  } else {
    UNROLL for (int i = 0; i < N; i++) p[i] = x[i];
  }
}

template <int N> DEVICE void store(bf16 *p, const float (&x)[N]) {
  if constexpr (N % 8 == 0) {
    UNROLL for (int i = 0; i < N; i += 8)
      *(quad *)(p + i) = quad{round_pair(x[i], x[i + 1]), round_pair(x[i + 2], x[i + 3]),
                              round_pair(x[i + 4], x[i + 5]), round_pair(x[i + 6], x[i + 7])};
  } else {
    UNROLL for (int i = 0; i < N; i++) p[i] = narrow(x[i]);
  }
}

// load_weights is load of a parameter, which is rounded to the activations' type as the official code casts it.
template <int N> DEVICE void load_weights(float (&x)[N], const float *p) {
  load(x, p);
#ifdef BFLOAT16
  UNROLL for (int i = 0; i < N; i++) x[i] = widen(narrow(x[i]));
#endif
}

// The sum and the maximum over neighbouring lanes, of whom there are a power of two; every lane gets it.
template <class X> DEVICE X lanes_sum(X x, int lanes) {
  for (int distance = lanes / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
  return x;
}

DEVICE float lanes_max(float x, int lanes) {
  for (int distance = lanes / 2; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
  return x;
}

// block_sum is the sum over a block, for every thread; scratch has one X per warp and is free again after it.
template <class X> DEVICE X block_sum(X x, X *scratch) {
  x = lanes_sum(x, 32);
  if (lane_index() == 0) scratch[warp_index()] = x;
  __syncthreads();
  X sum = 0;
  for (int w = 0; w < (int)blockDim.x / 32; w++) sum += scratch[w];
  __syncthreads();
  return sum;
}
