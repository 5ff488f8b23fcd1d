// Products and mixtures of n numbers x, y, d, out, one thread per access of 16 bytes. There is a weight w for every number, or one for
// every dim of them; dim is 1 in the first case.
//
// Multiply:        out = w*x, (1-w)*x if complement is set.
// Blend:           out = w*x + (1-w)*y.
// BlendGradWeight: dw = (x-y)*d, or its sum over every dim numbers. y may be null.
#include "common.cuh"

// load_each fills w with the weights of N numbers from i on.
template <int N> DEVICE void load_each(float (&w)[N], const act *weight, int dim, i64 i) {
  if (dim == 1) {
    load(w, weight + i);
    return;
  }
  i64 row = i / dim;
  int left = dim - (int)(i % dim);
  UNROLL for (int k = 0; k < N; k++) {
    if (left == 0) row++, left = dim;
    left--;
    w[k] = widen(weight[row]);
  }
}

template <int N> DEVICE void multiply_at(const act *x, const act *weight, act *out, int dim, int complement, i64 i) {
  float w[N], a[N];
  load_each(w, weight, dim, i);
  load(a, x + i);
  UNROLL for (int k = 0; k < N; k++) a[k] *= complement ? 1 - w[k] : w[k];
  store(out + i, a);
}

KERNEL void multiply_each(const act *x, const act *weight, act *out, i64 n, int dim, int complement) {
  i64 i = thread_index() * PACK;
  if (i + PACK <= n)
    multiply_at<PACK>(x, weight, out, dim, complement, i);
  else
    for (; i < n; i++) multiply_at<1>(x, weight, out, dim, complement, i);
}

template <int N> DEVICE void blend_at(const act *weight, const act *x, const act *y, act *out, int dim, i64 i) {
  float w[N], a[N], b[N];
  load_each(w, weight, dim, i);
  load(a, x + i);
  load(b, y + i);
  UNROLL for (int k = 0; k < N; k++) a[k] = w[k] * a[k] + (1 - w[k]) * b[k];
  store(out + i, a);
}

KERNEL void blend(const act *weight, const act *x, const act *y, act *out, i64 n, int dim) {
  i64 i = thread_index() * PACK;
  if (i + PACK <= n)
    blend_at<PACK>(weight, x, y, out, dim, i);
  else
    for (; i < n; i++) blend_at<1>(weight, x, y, out, dim, i);
}

template <int N> DEVICE void blend_grad_weight_at(const act *d, const act *x, const act *y, act *dw, i64 i) {
  float a[N], b[N];
  load(a, x + i);
  if (y) {
    load(b, y + i);
    UNROLL for (int k = 0; k < N; k++) a[k] -= b[k];
  }
  load(b, d + i);
  UNROLL for (int k = 0; k < N; k++) a[k] *= b[k];
  store(dw + i, a);
}

KERNEL void blend_grad_weight(const act *d, const act *x, const act *y, act *dw, i64 n) {
  i64 i = thread_index() * PACK;
  if (i + PACK <= n)
    blend_grad_weight_at<PACK>(d, x, y, dw, i);
  else
    for (; i < n; i++) blend_grad_weight_at<1>(d, x, y, dw, i);
}

// A warp for each of n weights.
KERNEL void blend_grad_weight_sum(const act *d, const act *x, const act *y, act *dw, i64 n, int dim) {
  i64 row = thread_index() / 32;
  if (row >= n) return;
  float sum = 0;
  for (i64 i = row * dim + lane_index(); i < (row + 1) * dim; i += 32) sum += (widen(x[i]) - (y ? widen(y[i]) : 0)) * widen(d[i]);
  sum = lanes_sum(sum, 32);
  float one[1] = {sum};
  if (lane_index() == 0) store(dw + row, one);
}
