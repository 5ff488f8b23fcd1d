// The optimizers. Scalars come from device memory, so that a captured graph of a step may be run with other ones. Both do
// nothing while *finite is 0: a step whose loss is not finite leaves the weights as they are.
//
// AdamATan2: m = β1 m + (1-β1) g; v = β2 v + (1-β2) g²; p = p*(1-lr*decay) - lr/(1-β1^t) * atan2(m, sqrt(v)/sqrt(1-β2^t)).
//            Then average = μ average + (1-μ) p of those that have one.
// SignSGD:   w = w*(1-lr*decay) - lr*sign(Σ g) for every row of a table that a batch used; the sum is over the row's repetitions.
#include "common.cuh"

// Tensor is one parameter of n numbers with its gradient and its moments. copy receives p in bfloat16, unless null; average may
// be null.
struct Tensor {
  float *p;
  const float *g;
  float *m, *v;
  bf16 *copy;
  float *average;
  i64 n;
};

// AdamATan2's scalars: lr*decay, lr/(1-β1^t), sqrt(1-β2^t), β1, 1-β1, β2, 1-β2, μ, 1-μ.
struct Adam {
  float decay, stepSize, correction, beta1, rest1, beta2, rest2, ema, restEMA;
};

constexpr int CHUNK = 1024;

template <int N> DEVICE void update(const Tensor &t, const Adam &h, i64 i) {
  float p[N], g[N], m[N], v[N];
  load(p, t.p + i), load(g, t.g + i), load(m, t.m + i), load(v, t.v + i);
  UNROLL for (int k = 0; k < N; k++) {
    m[k] = h.beta1 * m[k] + h.rest1 * g[k];
    v[k] = h.beta2 * v[k] + h.rest2 * g[k] * g[k];
    // What is taken away is small and summed first, so that p is rounded once.
    p[k] -= p[k] * h.decay + h.stepSize * atan2f(m[k], sqrtf(v[k]) / h.correction);
  }
  store(t.p + i, p), store(t.m + i, m), store(t.v + i, v);
  if (t.average) {
    float a[N];
    load(a, t.average + i);
    UNROLL for (int k = 0; k < N; k++) a[k] = h.ema * a[k] + h.restEMA * p[k];
    store(t.average + i, a);
  }
  if (t.copy) {
    if constexpr (N == 4)
      *(u64 *)(t.copy + i) = round_pair(p[0], p[1]) | (u64)round_pair(p[2], p[3]) << 32;
    else
      store(t.copy + i, p);
  }
}

// chunks has, for every block, the tensor and which CHUNK numbers of it the block updates.
KERNEL void __launch_bounds__(CHUNK / 4) adam_atan2(const Tensor *tensors, const int *chunks, const Adam *scalars,
                        const int *finite) {
  if (!*finite) return;
  const Tensor t = tensors[chunks[2 * blockIdx.x]];
  const Adam h = *scalars;
  i64 i = (i64)chunks[2 * blockIdx.x + 1] * CHUNK + threadIdx.x * 4;
  if (i + 4 <= t.n)
    update<4>(t, h, i);
  else
    for (; i < t.n; i++) update<1>(t, h, i);
}

// Block i has the example i of a batch. If no earlier one has the same row, it sums the gradients [rows,D] of all that do, in
// their order, and updates the row of the table [size,D]. scalars is (1-lr*decay, lr).
KERNEL void sign_sgd(float *table, const int *ids, const float *gradients, const double *scalars, const int *finite, u32 *fault,
                     int rows, int D, int size) {
  if (!*finite) return;
  int own = blockIdx.x, id = ids[own];
  if (id < 0 || id >= size) {
    raise(fault, BAD_ROW);
    return;
  }
  for (int i = 0; i < own; i++)
    if (ids[i] == id) return;
  for (int d = threadIdx.x; d < D; d += blockDim.x) {
    float sum = 0;
    for (int i = own; i < rows; i++)
      if (ids[i] == id) sum += gradients[(i64)i * D + d];
    float *w = table + (i64)id * D + d;
    *w = (float)(*w * scalars[0] - (sum > 0 ? scalars[1] : sum < 0 ? -scalars[1] : 0));
  }
}
