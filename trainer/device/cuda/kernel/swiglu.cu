// SwiGLU, one thread per access: N numbers of 16 bytes where F allows, else 1. x [n,2F], gate first; out, d [n,F].
//
// SwiGLU:     out = gate*σ*up, σ = 1/(1+exp(-gate)).
// SwiGLUGrad: dgate = d*up*σ*(1+gate*(1-σ)); dup = d*gate*σ.     dx [n,2F].
#include "common.cuh"

// Position n of the running thread, and its first number i. There are fewer than 2^32 threads.
template <int N> DEVICE bool place(i64 positions, int F, i64 &n, int &i) {
  u32 accesses = F / N, thread = blockIdx.x * blockDim.x + threadIdx.x, position = thread / accesses;
  n = position;
  i = (thread - position * accesses) * N;
  return n < positions;
}

template <int N> DEVICE void swiglu_at(const act *x, act *out, i64 positions, int F) {
  i64 n;
  int i;
  if (!place<N>(positions, F, n, i)) return;
  float gate[N], up[N];
  load(gate, x + n * 2 * F + i);
  load(up, x + n * 2 * F + F + i);
  UNROLL for (int k = 0; k < N; k++) gate[k] *= sigmoid_fast(gate[k]) * up[k];
  store(out + n * F + i, gate);
}

KERNEL void swiglu(const act *x, act *out, i64 positions, int F) { swiglu_at<PACK>(x, out, positions, F); }
KERNEL void swiglu_odd(const act *x, act *out, i64 positions, int F) { swiglu_at<1>(x, out, positions, F); }

template <int N> DEVICE void swiglu_grad_at(const act *x, const act *d, act *dx, i64 positions, int F) {
  i64 n;
  int i;
  if (!place<N>(positions, F, n, i)) return;
  float gate[N], up[N], g[N];
  load(gate, x + n * 2 * F + i);
  load(up, x + n * 2 * F + F + i);
  load(g, d + n * F + i);
  UNROLL for (int k = 0; k < N; k++) {
    float s = sigmoid_fast(gate[k]), dUp = g[k] * gate[k] * s;
    gate[k] = g[k] * up[k] * s * (1 + gate[k] * (1 - s));
    up[k] = dUp;
  }
  store(dx + n * 2 * F + i, gate);
  store(dx + n * 2 * F + F + i, up);
}

KERNEL void swiglu_grad(const act *x, const act *d, act *dx, i64 positions, int F) { swiglu_grad_at<PACK>(x, d, dx, positions, F); }
KERNEL void swiglu_grad_odd(const act *x, const act *d, act *dx, i64 positions, int F) { swiglu_grad_at<1>(x, d, dx, positions,
                            F); }
