// Memory of past states. past, dpast [B,T,D], state, query, dout, out [B,D]; of the T positions the first count are remembered,
// position i with weight(i) = rate*decay^(count-1-i).
//
// Append:         past[from] = state; the other positions stay.
// Recall:         out = Σ_i weight(i)*dot(past[i],query)*past[i].
// RecallGradPast: dpast[i] (+)= weight(i)*(dot(past[i],query)*dout + dot(past[i],dout)*query), 0 (+ 0) from count on.
#include "common.cuh"

// power is x^n.
DEVICE float power(float x, int n) {
  float result = 1;
  for (; n > 0; n /= 2, x *= x)
    if (n % 2) result *= x;
  return result;
}

// warp_dot is the sum over a warp of x[i]*y[i], for every lane.
DEVICE float warp_dot(const act *x, const act *y, int D) {
  float sum = 0;
  for (int d = lane_index(); d < D; d += 32) sum += widen(x[d]) * widen(y[d]);
  return lanes_sum(sum, 32);
}

KERNEL void append_state(const act *state, act *past, int D, int from, i64 size) {
  int d = blockIdx.x * blockDim.x + threadIdx.x;
  if (d < D) past[blockIdx.y * size + (i64)from * D + d] = state[(i64)blockIdx.y * D + d];
}

// A block has a row: a warp matches one position at a time, then a thread sums a column. Shared memory: count floats.
KERNEL void recall(const act *past, const act *query, act *out, int D, int count, i64 size, float rate, float decay) {
  float *matches = (float *)shared_memory();
  past += blockIdx.x * size;
  query += (i64)blockIdx.x * D;
  out += (i64)blockIdx.x * D;
  for (int i = warp_index(); i < count; i += blockDim.x / 32) {
    float match = warp_dot(past + (i64)i * D, query, D);
    if (lane_index() == 0) matches[i] = rate * power(decay, count - 1 - i) * match;
  }
  __syncthreads();
  for (int d = threadIdx.x; d < D; d += blockDim.x) {
    float sum[1] = {0};
    for (int i = 0; i < count; i++) sum[0] += matches[i] * widen(past[(i64)i * D + d]);
    store(out + d, sum);
  }
}

// A warp has a position, blockIdx.y is the row.
KERNEL void recall_grad_past(const act *past, const act *query, const act *dout, act *dpast, int D, int count, int positions, i64 size,
                             float rate, float decay, int add) {
  int i = (int)(thread_index() / 32);
  if (i >= positions) return;
  i64 at = blockIdx.y * size + (i64)i * D;
  query += (i64)blockIdx.y * D;
  dout += (i64)blockIdx.y * D;
  float by_query = 0, by_grad = 0;
  if (i < count) {
    float weight = rate * power(decay, count - 1 - i);
    by_query = weight * warp_dot(past + at, query, D);
    by_grad = weight * warp_dot(past + at, dout, D);
  }
  for (int d = lane_index(); d < D; d += 32) {
    float sum[1] = {add ? widen(dpast[at + d]) : 0};
    if (i < count) sum[0] += by_query * widen(dout[d]) + by_grad * widen(query[d]);
    store(dpast + at + d, sum);
  }
}
