// Gates of n numbers, one thread per access of 16 bytes. All operands are [n]; σ(x) = 1/(1+exp(-x)).
//
// Gate:          out = 2(σ(gate)*x + σ(-gate)*y).
// GateGradGate:  dgate = 2*σ(gate)*σ(-gate)*(x-y)*d.
// GateGradInput: dx = 2*σ(scale*gate)*d.                  The gradient of x with scale 1, of y with -1.
#include "common.cuh"

template <int N> DEVICE void gate_at(const act *gate, const act *x, const act *y, act *out, i64 i) {
  float g[N], a[N], b[N];
  load(g, gate + i);
  load(a, x + i);
  load(b, y + i);
  UNROLL for (int k = 0; k < N; k++) {
    float s = sigmoid_fast(g[k]);
    a[k] = 2 * (s * a[k] + (1 - s) * b[k]);
  }
  store(out + i, a);
}

KERNEL void gate(const act *gate, const act *x, const act *y, act *out, i64 n) {
  i64 i = thread_index() * PACK;
  if (i + PACK <= n)
    gate_at<PACK>(gate, x, y, out, i);
  else
    for (; i < n; i++) gate_at<1>(gate, x, y, out, i);
}

template <int N> DEVICE void gate_grad_gate_at(const act *gate, const act *x, const act *y, const act *d, act *dgate, i64 i) {
  float g[N], a[N], b[N], c[N];
  load(g, gate + i);
  load(a, x + i);
  load(b, y + i);
  load(c, d + i);
  UNROLL for (int k = 0; k < N; k++) {
    float s = sigmoid_fast(g[k]);
    c[k] *= 2 * s * (1 - s) * (a[k] - b[k]);
  }
  store(dgate + i, c);
}

KERNEL void gate_grad_gate(const act *gate, const act *x, const act *y, const act *d, act *dgate, i64 n) {
  i64 i = thread_index() * PACK;
  if (i + PACK <= n)
    gate_grad_gate_at<PACK>(gate, x, y, d, dgate, i);
  else
    for (; i < n; i++) gate_grad_gate_at<1>(gate, x, y, d, dgate, i);
}

template <int N> DEVICE void gate_grad_input_at(const act *gate, const act *d, act *dx, float scale, i64 i) {
  float g[N], a[N];
  load(g, gate + i);
  load(a, d + i);
  UNROLL for (int k = 0; k < N; k++) a[k] *= 2 * sigmoid_fast(scale * g[k]);
  store(dx + i, a);
}

KERNEL void gate_grad_input(const act *gate, const act *d, act *dx, i64 n, float scale) {
  i64 i = thread_index() * PACK;
  if (i + PACK <= n)
    gate_grad_input_at<PACK>(gate, d, dx, scale, i);
  else
    for (; i < n; i++) gate_grad_input_at<1>(gate, d, dx, scale, i);
}
