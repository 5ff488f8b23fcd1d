// Attention in float32 without tensor cores: every activation type, heads of any width. The formulas are attention.cu's.
//
// A warp owns one position at a time, its lanes share 32 positions of the other side: lane l has the score with position
// l, and then the sums of the numbers l, l+32, ... of the head. A block takes one head of one row (blockIdx.y = row*heads+head)
// and 8*each positions from blockIdx.x*8*each on. dim is the width of a head.
#include "common.cuh"

constexpr int TILE = 32;
constexpr int WARPS = 8;

// Head is where a block's head lies in memory.
struct Head {
  i64 row;
  int head, heads, dim, T;

  DEVICE_MEMBER i64 stride() const { return (i64)3 * heads * dim; }
  // part is 0 for q, 1 for k, 2 for v.
  DEVICE_MEMBER i64 qkv(int part) const { return row * T * stride() + (i64)(part * heads + head) * dim; }
};

DEVICE Head block_head(int heads, int dim, int T) { return Head{blockIdx.y / heads, (int)(blockIdx.y % heads), heads, dim, T}; }

// load_positions widens n positions from first on into rows of `wide` numbers, turned by rope unless that is null; positions
// from `end` on are zero.
DEVICE void load_positions(float *rows, int wide, const act *from, i64 stride, const float *rope, int dim, int first, int n,
                           int end) {
  for (int i = threadIdx.x; i < n * dim; i += blockDim.x) {
    int t = i / dim, d = i % dim, position = first + t, half = dim / 2;
    float x = 0;
    if (position < end) {
      const act *p = from + position * stride;
      x = widen(p[d]);
      if (rope) {
        const float *angles = rope + (i64)position * dim;
        x = d < half ? x * angles[d] - widen(p[d + half]) * angles[d + half] : x * angles[d - half] + widen(p[d - half]) * angles[d];
      }
    }
    rows[t * wide + d] = x;
  }
}

// store_turned_back writes a position's gradient x [dim], times scale and rotated back.
DEVICE void store_turned_back(act *to, const float *x, const float *rope, int dim, int position, float scale) {
  for (int d = lane_index(); d < dim; d += 32) {
    float y = x[d];
    if (rope) {
      const float *angles = rope + (i64)position * dim;
      int half = dim / 2;
      y = d < half ? x[d] * angles[d] + x[d + half] * angles[d + half] : x[d] * angles[d - half] - x[d - half] * angles[d];
    }
    float y1[1] = {y * scale};
    store(to + d, y1);
  }
}

DEVICE float dot(const float *x, const float *y, int dim) {
  float sum = 0;
  for (int d = 0; d < dim; d++) sum += x[d] * y[d];
  return sum;
}

// add_weighted: to += Σ_l weight(lane l) * rows[l]. shared is a warp's own [TILE].
DEVICE void add_weighted(float *to, float weight, float *shared, const float *rows, int wide, int dim) {
  __syncwarp();
  shared[lane_index()] = weight;
  __syncwarp();
  for (int d = lane_index(); d < dim; d += 32) {
    float sum = 0;
    for (int l = 0; l < TILE; l++) sum += shared[l] * rows[l * wide + d];
    to[d] += sum;
  }
}

// Shared memory, own = 8*each: q, o [own,dim]; top, sum [own]; k, v [TILE,dim+1]; weights [WARPS,TILE].
KERNEL void __launch_bounds__(256) attention_plain(const act *qkv, const float *rope, act *out, float *lse, int T, int Q,
                        int heads, int dim, int each, float scale) {
  int own = WARPS * each, base = blockIdx.x * own, wide = dim + 1;
  float *q = (float *)shared_memory(), *o = q + own * dim, *top = o + own * dim, *sum = top + own, *k = sum + own,
        *v = k + TILE * wide, *weights = v + TILE * wide + warp_index() * TILE;
  Head h = block_head(heads, dim, T);
  load_positions(q, dim, qkv + h.qkv(0), h.stride(), rope, dim, base, own, Q);
  for (int i = threadIdx.x; i < own * dim; i += blockDim.x) o[i] = 0;
  for (int i = threadIdx.x; i < own; i += blockDim.x) top[i] = -infinity(), sum[i] = 0;
  for (int from = 0; from < T; from += TILE) {
    __syncthreads();
    load_positions(k, wide, qkv + h.qkv(1), h.stride(), rope, dim, from, TILE, T);
    load_positions(v, wide, qkv + h.qkv(2), h.stride(), nullptr, dim, from, TILE, T);
    __syncthreads();
    for (int p = warp_index(); p < own && base + p < Q; p += WARPS) {
      float s = from + lane_index() < T ? scale * dot(q + p * dim, k + lane_index() * wide, dim) : -infinity();
      float before = top[p], now = fmaxf(before, lanes_max(s, 32)), factor = expf(before - now), weight = expf(s - now);
      float added = lanes_sum(weight, 32);
      for (int d = lane_index(); d < dim; d += 32) o[p * dim + d] *= factor;
      add_weighted(o + p * dim, weight, weights, v, wide, dim);
      if (lane_index() == 0) top[p] = now, sum[p] = sum[p] * factor + added;
      __syncwarp();
    }
  }
  for (int p = warp_index(); p < own && base + p < Q; p += WARPS) {
    for (int d = lane_index(); d < dim; d += 32) {
      float x[1] = {o[p * dim + d] / sum[p]};
      store(out + ((h.row * Q + base + p) * heads + h.head) * dim + d, x);
    }
    if (lane_index() == 0) lse[(h.row * heads + h.head) * Q + base + p] = top[p] + logf(sum[p]);
  }
}

// load_deltas computes dOut·out of n positions from first on, whose dOut are rows of `wide` numbers.
DEVICE void load_deltas(float *delta, const float *dOut, int wide, const act *out, Head h, int first, int n) {
  for (int p = warp_index(); p < n; p += WARPS) {
    float sum = 0;
    if (first + p < h.T)
      for (int d = lane_index(); d < h.dim; d += 32) sum += dOut[p * wide + d] * widen(out[((h.row * h.T + first + p) * h.heads + h.head) * h.dim + d]);
    sum = lanes_sum(sum, 32);
    if (lane_index() == 0) delta[p] = sum;
  }
}

// Where dOut and out of position 0 lie.
DEVICE i64 answers(Head h) { return (h.row * h.T * h.heads + h.head) * h.dim; }

// Shared memory, own = 8*each: k, v, dk, dv [own,dim]; q, dOut [TILE,dim+1]; delta [TILE]; weights [WARPS,TILE].
KERNEL void __launch_bounds__(256) attention_plain_grad_keys(const act *qkv, const float *rope, const act *out, const act *dOut,
                        const float *lse, act *dqkv, int T, int heads, int dim, int each, float scale) {
  int own = WARPS * each, base = blockIdx.x * own, wide = dim + 1;
  float *k = (float *)shared_memory(), *v = k + own * dim, *dk = v + own * dim, *dv = dk + own * dim,
        *q = dv + own * dim, *g = q + TILE * wide, *delta = g + TILE * wide,
        *weights = delta + TILE + warp_index() * TILE;
  Head h = block_head(heads, dim, T);
  load_positions(k, dim, qkv + h.qkv(1), h.stride(), rope, dim, base, own, T);
  load_positions(v, dim, qkv + h.qkv(2), h.stride(), nullptr, dim, base, own, T);
  for (int i = threadIdx.x; i < own * dim; i += blockDim.x) dk[i] = dv[i] = 0;
  for (int from = 0; from < T; from += TILE) {
    __syncthreads();
    load_positions(q, wide, qkv + h.qkv(0), h.stride(), rope, dim, from, TILE, T);
    load_positions(g, wide, dOut + answers(h), (i64)heads * dim, nullptr, dim, from, TILE, T);
    __syncthreads();
    load_deltas(delta, g, wide, out, h, from, TILE);
    __syncthreads();
    for (int p = warp_index(); p < own && base + p < T; p += WARPS) {
      int asks = from + lane_index();
      float weight = 0, dS = 0;
      if (asks < T) {
        weight = expf(scale * dot(k + p * dim, q + lane_index() * wide, dim) - lse[(h.row * heads + h.head) * T + asks]);
        dS = weight * (dot(v + p * dim, g + lane_index() * wide, dim) - delta[lane_index()]);
      }
      add_weighted(dv + p * dim, weight, weights, g, wide, dim);
      add_weighted(dk + p * dim, dS, weights, q, wide, dim);
    }
  }
  __syncthreads();
  for (int p = warp_index(); p < own && base + p < T; p += WARPS) {
    i64 at = (base + p) * h.stride();
    store_turned_back(dqkv + h.qkv(1) + at, dk + p * dim, rope, dim, base + p, scale);
    store_turned_back(dqkv + h.qkv(2) + at, dv + p * dim, nullptr, dim, base + p, 1);
  }
}

// Shared memory, own = 8*each: q, dOut, dq [own,dim]; delta [own]; k, v [TILE,dim+1]; weights [WARPS,TILE].
KERNEL void __launch_bounds__(256) attention_plain_grad_queries(const act *qkv, const float *rope, const act *out, const act *dOut,
                        const float *lse, act *dqkv, int T, int heads, int dim, int each, float scale) {
  int own = WARPS * each, base = blockIdx.x * own, wide = dim + 1;
  float *q = (float *)shared_memory(), *g = q + own * dim, *dq = g + own * dim, *delta = dq + own * dim,
        *k = delta + own, *v = k + TILE * wide, *weights = v + TILE * wide + warp_index() * TILE;
  Head h = block_head(heads, dim, T);
  load_positions(q, dim, qkv + h.qkv(0), h.stride(), rope, dim, base, own, T);
  load_positions(g, dim, dOut + answers(h), (i64)heads * dim, nullptr, dim, base, own, T);
  for (int i = threadIdx.x; i < own * dim; i += blockDim.x) dq[i] = 0;
  __syncthreads();
  load_deltas(delta, g, dim, out, h, base, own);
  for (int from = 0; from < T; from += TILE) {
    __syncthreads();
    load_positions(k, wide, qkv + h.qkv(1), h.stride(), rope, dim, from, TILE, T);
    load_positions(v, wide, qkv + h.qkv(2), h.stride(), nullptr, dim, from, TILE, T);
    __syncthreads();
    for (int p = warp_index(); p < own && base + p < T; p += WARPS) {
      float dS = 0;
      if (from + lane_index() < T) {
        float weight = expf(scale * dot(q + p * dim, k + lane_index() * wide, dim) - lse[(h.row * heads + h.head) * T + base + p]);
        dS = weight * (dot(g + p * dim, v + lane_index() * wide, dim) - delta[p]);
      }
      add_weighted(dq + p * dim, dS, weights, k, wide, dim);
    }
  }
  __syncthreads();
  for (int p = warp_index(); p < own && base + p < T; p += WARPS)
    store_turned_back(dqkv + h.qkv(0) + (base + p) * h.stride(), dq + p * dim, rope, dim, base + p, scale);
}
