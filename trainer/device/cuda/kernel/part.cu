// Parts of values, such as one position of all, or some of the columns: whole [count,stride], part [count,length] from number first
// of each stride on.
//
// Slice:     part = whole there.
// Join:      whole there = part, a launch for every part.
// SliceGrad: whole = part there, 0 elsewhere; or whole += part there alone.
//
// One thread per access: N numbers of 16 bytes where length, stride and first allow, else 1. n is the number of elements that are
// written.
#include "common.cuh"

template <int N> DEVICE void slice_at(const act *whole, act *part, i64 n, int length, int stride, int first) {
  i64 i = thread_index() * N;
  if (i >= n) return;
  float x[N];
  load(x, whole + i / length * stride + first + i % length);
  store(part + i, x);
}

KERNEL void slice(const act *whole, act *part, i64 n, int length, int stride, int first) {
  slice_at<PACK>(whole, part, n, length, stride, first);
}

KERNEL void slice_odd(const act *whole, act *part, i64 n, int length, int stride, int first) {
  slice_at<1>(whole, part, n, length, stride, first);
}

template <int N> DEVICE void join_at(const act *part, act *whole, i64 n, int length, int stride, int first) {
  i64 i = thread_index() * N;
  if (i >= n) return;
  float x[N];
  load(x, part + i);
  store(whole + i / length * stride + first + i % length, x);
}

KERNEL void join(const act *part, act *whole, i64 n, int length, int stride, int first) {
  join_at<PACK>(part, whole, n, length, stride, first);
}

KERNEL void join_odd(const act *part, act *whole, i64 n, int length, int stride, int first) {
  join_at<1>(part, whole, n, length, stride, first);
}

template <int N> DEVICE void slice_grad_at(const act *part, act *whole, i64 n, int length, int stride, int first) {
  i64 i = thread_index() * N;
  if (i >= n) return;
  int k = (int)(i % stride) - first;
  float x[N] = {};
  if (k >= 0 && k < length) load(x, part + i / stride * length + k);
  store(whole + i, x);
}

KERNEL void slice_grad(const act *part, act *whole, i64 n, int length, int stride, int first) {
  slice_grad_at<PACK>(part, whole, n, length, stride, first);
}

KERNEL void slice_grad_odd(const act *part, act *whole, i64 n, int length, int stride, int first) {
  slice_grad_at<1>(part, whole, n, length, stride, first);
}

template <int N> DEVICE void slice_grad_add_at(const act *part, act *whole, i64 n, int length, int stride, int first) {
  i64 i = thread_index() * N;
  if (i >= n) return;
  act *to = whole + i / length * stride + first + i % length;
  float x[N], sum[N];
  load(x, part + i);
  load(sum, to);
  UNROLL for (int k = 0; k < N; k++) sum[k] += x[k];
  store(to, sum);
}

KERNEL void slice_grad_add(const act *part, act *whole, i64 n, int length, int stride, int first) {
  slice_grad_add_at<PACK>(part, whole, n, length, stride, first);
}

KERNEL void slice_grad_add_odd(const act *part, act *whole, i64 n, int length, int stride, int first) {
  slice_grad_add_at<1>(part, whole, n, length, stride, first);
}
