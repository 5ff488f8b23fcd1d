// Kernels that only move or add numbers, one thread per access: N numbers of 16 bytes where rows allow, else 1.
//
// Reset:          out[t] = halted ? init : z[t].      z, out [B,T,D], init [D], halted [B].
// Add:            out = x + y (+ z).                  All [n]; out may be one of them.
// DropPrefix:     out[t] = x[prefix+t].               x [B,T,V], out [B,S,V].
// DropPrefixGrad: out[prefix+t] = d[t], zero before.  d [B,S,V], out [B,T,V].
// Fill:           out = value.                        [n], float32.
// Round:          out = x in bfloat16.                [n], of parameters, for the products.
//
// Where rows matter, blockIdx.y is the row and size the number of elements in a row of out.
#include "common.cuh"

template <int N> DEVICE void reset_at(const act *z, const float *init, const int *halted, act *out, int size, int D) {
  int i = (int)thread_index() * N;
  if (i >= size) return;
  i64 row = blockIdx.y;
  float x[N];
  if (halted[row])
    load_weights(x, init + i % D);
  else
    load(x, z + row * size + i);
  store(out + row * size + i, x);
}

KERNEL void reset(const act *z, const float *init, const int *halted, act *out, int size, int D) {
  reset_at<PACK>(z, init, halted, out, size, D);
}

KERNEL void reset_odd(const act *z, const float *init, const int *halted, act *out, int size, int D) {
  reset_at<1>(z, init, halted, out, size, D);
}

// sum_at adds up N numbers from i on; z may be null.
template <int N> DEVICE void sum_at(const act *x, const act *y, const act *z, act *out, i64 i) {
  float a[N], b[N];
  load(a, x + i);
  load(b, y + i);
  for (int k = 0; k < N; k++) a[k] += b[k];
  if (z) {
    load(b, z + i);
    for (int k = 0; k < N; k++) a[k] += b[k];
  }
  store(out + i, a);
}

KERNEL void add(const act *x, const act *y, const act *z, act *out, i64 n) {
  i64 i = thread_index() * PACK;
  if (i + PACK <= n)
    sum_at<PACK>(x, y, z, out, i);
  else
    for (; i < n; i++) sum_at<1>(x, y, z, out, i);
}

// In both, skip is prefix*V. A row's numbers need not begin at a multiple of 16 bytes, so they move one by one.
KERNEL void drop_prefix(const act *x, act *out, int size, int skip) {
  int i = (int)thread_index();
  i64 row = blockIdx.y;
  if (i < size) out[row * size + i] = x[row * (size + skip) + skip + i];
}

KERNEL void drop_prefix_grad(const act *d, act *out, int size, int skip) {
  int i = (int)thread_index();
  i64 row = blockIdx.y;
  if (i < size) out[row * size + i] = i < skip ? act{} : d[row * (size - skip) + i - skip];
}

KERNEL void fill(float *out, i64 n, float value) {
  i64 i = thread_index();
  if (i < n) out[i] = value;
}

KERNEL void round_all(const float *x, bf16 *out, i64 n) {
  i64 i = thread_index() * 8;
  if (i + 8 <= n) {
    float a[8];
    load(a, x + i);
    store(out + i, a);
  } else {
    for (; i < n; i++) out[i] = narrow(x[i]);
  }
}
