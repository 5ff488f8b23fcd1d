// Functions of n numbers, one thread per access of 16 bytes. All operands are [n].
//
// Activate:     out = tanh(x), sigmoid(x), or 1 where x > 0 and else 0.
// ActivateGrad: dx = (1-y*y)*d of y = tanh, y*(1-y)*d of y = sigmoid: x stands for y. Of the step scale/2*d where |scale*x| < 1.
#include "common.cuh"

// The functions, as device.Activation counts them.
enum { TANH, SIGMOID, STEP };

// tanh_fast is 2*sigmoid(2x)-1, but the first terms of its series near 0, where that has no digits left.
DEVICE float tanh_fast(float x) {
  float s = x * x;
  return s < 0.04f ? x * (1 + s * (-1.0f / 3 + s * (2.0f / 15 - s * (17.0f / 315)))) : 2 / (1 + exp2_fast(-2 * LOG2E * x)) - 1;
}

DEVICE float activated(int function, float x) {
  return function == TANH ? tanh_fast(x) : function == SIGMOID ? sigmoid_fast(x) : x > 0 ? 1 : 0;
}

DEVICE float slope(int function, float scale, float x) {
  return function == TANH ? 1 - x * x : function == SIGMOID ? x * (1 - x) : fabsf(scale * x) < 1 ? scale / 2 : 0;
}

template <int N> DEVICE void activate_at(const act *x, act *out, int function, i64 i) {
  float a[N];
  load(a, x + i);
  UNROLL for (int k = 0; k < N; k++) a[k] = activated(function, a[k]);
  store(out + i, a);
}

KERNEL void activate(const act *x, act *out, i64 n, int function) {
  i64 i = thread_index() * PACK;
  if (i + PACK <= n)
    activate_at<PACK>(x, out, function, i);
  else
    for (; i < n; i++) activate_at<1>(x, out, function, i);
}

template <int N> DEVICE void activate_grad_at(const act *x, const act *d, act *dx, int function, float scale, i64 i) {
  float a[N], b[N];
  load(a, x + i);
  load(b, d + i);
  UNROLL for (int k = 0; k < N; k++) b[k] *= slope(function, scale, a[k]);
  store(dx + i, b);
}

KERNEL void activate_grad(const act *x, const act *d, act *dx, i64 n, int function, float scale) {
  i64 i = thread_index() * PACK;
  if (i + PACK <= n)
    activate_grad_at<PACK>(x, d, dx, function, scale, i);
  else
    for (; i < n; i++) activate_grad_at<1>(x, d, dx, function, scale, i);
}
