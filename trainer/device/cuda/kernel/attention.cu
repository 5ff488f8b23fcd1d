// Attention with tensor cores: bfloat16, heads of DIM = 32, 64 or 128 numbers; attention_plain.cu has the rest.
//
// Forward, for every head, scores s[p,j] = scale * q[p]·k[j]: lse[p] = log Σ_j exp(s[p,j]); out[p] = Σ_j exp(s[p,j]-lse[p]) v[j].
// Gradient, P[p,j] = exp(s[p,j]-lse[p]), dP[p,j] = dOut[p]·v[j], delta[p] = dOut[p]·out[p], dS = P (dP - delta):
// dv[j] = Σ_p P dOut[p]; dk[j] = scale Σ_p dS q[p]; dq[p] = scale Σ_j dS k[j].
//
// qkv [B,T,3D] is q, k and v side by side, heads side by side in each; out and dOut [B,Q,D]; lse [B,heads,Q]; Q <= T positions
// ask. q and k are turned by RoPE when they are loaded, dq and dk turned back when they are stored: rope [T,2,DIM/2] has the
// cosines and sines of every position, or is null.
//
// No score leaves the registers. A block takes one head of one row (blockIdx.y = row*heads+head) and 16 positions per
// warp; neighbouring blocks (blockIdx.x) share a head, which stays in the L2 cache. The positions of the other side come
// through shared memory, `stage` at a time (FlashAttention-2, arXiv 2307.08691). What sums over the other side has one
// owner, so there are no atomic additions and results do not depend on timing. The gradient of short rows
// (attention_grad) keeps all of dS in shared memory and takes five products; that of long ones takes seven, in two
// kernels: attention_grad_keys owns keys, attention_grad_queries owns queries.
#include "common.cuh"

constexpr int HALF = DIM / 2;
// A row of a tile in shared memory; 8 more numbers than DIM let the 8 rows of a matrix lie in different banks.
constexpr int STRIDE = DIM + 8;
// Positions of the other side that are multiplied at a time. Wide heads leave registers for fewer.
constexpr int CHUNK = DIM <= 64 ? 32 : 16;

// Head is where a block's head lies in memory.
struct Head {
  i64 row;
  int head, heads, T;

  DEVICE_MEMBER i64 stride() const { return (i64)3 * heads * DIM; }
  // part is 0 for q, 1 for k, 2 for v.
  DEVICE_MEMBER i64 qkv(int part) const { return row * T * stride() + (i64)(part * heads + head) * DIM; }
};

DEVICE Head block_head(int heads, int T) { return Head{blockIdx.y / heads, (int)(blockIdx.y % heads), heads, T}; }

// turn rotates N pairs (a[i], b[i]) of one position by the angles from number i on, or back if direction is -1.
template <int N> DEVICE void turn(float (&a)[N], float (&b)[N], const float *angles, float direction) {
  float cosine[N], sine[N];
  load(cosine, angles);
  load(sine, angles + HALF);
  UNROLL for (int i = 0; i < N; i++) {
    float x = a[i], y = b[i], s = direction * sine[i];
    a[i] = x * cosine[i] - y * s;
    b[i] = y * cosine[i] + x * s;
  }
}

// load_turned fills a tile with n positions of q or k from first on; those from `end` on are zero.
DEVICE void load_turned(bf16 *tile, const bf16 *from, i64 stride, const float *rope, int first, int n, int end) {
  constexpr int PACKS = HALF / 8;
  for (int i = threadIdx.x; i < n * PACKS; i += blockDim.x) {
    int t = i / PACKS, at = i % PACKS * 8, position = first + t;
    float a[8] = {}, b[8] = {};
    if (position < end) {
      load(a, from + position * stride + at);
      load(b, from + position * stride + at + HALF);
      if (rope) turn(a, b, rope + (i64)position * DIM + at, 1);
    }
    store(tile + t * STRIDE + at, a);
    store(tile + t * STRIDE + at + HALF, b);
  }
}

// begin_load starts to fill a tile with n positions from first on; those from `end` on are zero.
DEVICE void begin_load(bf16 *tile, const bf16 *from, i64 stride, int first, int n, int end) {
  constexpr int PACKS = DIM / 8;
  for (int i = threadIdx.x; i < n * PACKS; i += blockDim.x) {
    int t = i / PACKS, at = i % PACKS * 8, position = first + t;
    bool wanted = position < end;
    copy_async(tile + t * STRIDE + at, from + (wanted ? position : 0) * stride + at, wanted);
  }
}

// load_answers fills a tile with n positions of dOut from first on, and lse2 and delta with their log-sum-exp (base 2) and
// dOut·out. A position from T on has the log-sum-exp infinity: its probabilities are zero.
DEVICE void load_answers(bf16 *tile, float *lse2, float *delta, const bf16 *out, const bf16 *dOut, const float *lse, Head h,
                         int first, int n) {
  constexpr int PACKS = DIM / 8;
  for (int i = threadIdx.x; i < n * PACKS; i += blockDim.x) {
    int t = i / PACKS, at = i % PACKS * 8, position = first + t;
    float o[8] = {}, d[8] = {}, sum = 0;
    if (position < h.T) {
      i64 from = ((h.row * h.T + position) * h.heads + h.head) * DIM + at;
      load(o, out + from);
      load(d, dOut + from);
    }
    store(tile + t * STRIDE + at, d);
    UNROLL for (int k = 0; k < 8; k++) sum += o[k] * d[k];
    sum = lanes_sum(sum, PACKS);
    if (at == 0) {
      delta[t] = sum;
      lse2[t] = position < h.T ? lse[(h.row * h.heads + h.head) * h.T + position] * LOG2E : infinity();
    }
  }
}

// The 16x16 fragment of a left operand, whose rows or, transposed, columns are rows of a tile.
DEVICE void left(u32 (&a)[4], const bf16 *tile) {
  int l = lane_index();
  load_matrices(a, tile + l % 16 * STRIDE + l / 16 * 8);
}

DEVICE void left_transposed(u32 (&a)[4], const bf16 *tile, int stride) {
  int l = lane_index();
  load_matrices_transposed(a, tile + (l / 16 * 8 + l % 8) * stride + l / 8 % 2 * 8);
}

// The two 16x8 fragments of a right operand, 16 columns in all, whose columns or, transposed, rows are rows of a tile.
DEVICE void right(u32 (&b)[4], const bf16 *tile) {
  int l = lane_index();
  load_matrices(b, tile + (l / 16 * 8 + l % 8) * STRIDE + l / 8 % 2 * 8);
}

DEVICE void right_transposed(u32 (&b)[4], const bf16 *tile) {
  int l = lane_index();
  load_matrices_transposed(b, tile + l % 16 * STRIDE + l / 16 * 8);
}

// dot_rows: s[i,j] = x[i]·y[j] for 16 rows of x and CHUNK rows of y.
DEVICE void dot_rows(float (&s)[CHUNK / 8][4], const bf16 *x, const bf16 *y) {
  UNROLL for (int j = 0; j < CHUNK / 8; j++)
    UNROLL for (int e = 0; e < 4; e++) s[j][e] = 0;
  UNROLL for (int k = 0; k < DIM; k += 16) {
    u32 a[4], b[4];
    left(a, x + k);
    UNROLL for (int j = 0; j < CHUNK / 8; j += 2) {
      right(b, y + j * 8 * STRIDE + k);
      multiply(s[j], a, b[0], b[1]);
      multiply(s[j + 1], a, b[2], b[3]);
    }
  }
}

// round_weights makes left operands [16,CHUNK] of weights: the fragments of sums are those of operands, pair by pair.
DEVICE void round_weights(u32 (&a)[CHUNK / 16][4], const float (&w)[CHUNK / 8][4]) {
  UNROLL for (int k = 0; k < CHUNK / 16; k++)
    UNROLL for (int i = 0; i < 4; i++) {
      const float *pair = w[2 * k + i / 2] + i % 2 * 2;
      a[k][i] = round_pair(pair[0], pair[1]);
    }
}

// add_weighted: o[i] += Σ_j w[i,j] y[j] for CHUNK rows of y.
DEVICE void add_weighted(float (&o)[DIM / 8][4], const u32 (&w)[CHUNK / 16][4], const bf16 *y) {
  UNROLL for (int k = 0; k < CHUNK / 16; k++) {
    UNROLL for (int n = 0; n < DIM / 8; n += 2) {
      u32 b[4];
      right_transposed(b, y + k * 16 * STRIDE + n * 8);
      multiply(o[n], w[k], b[0], b[1]);
      multiply(o[n + 1], w[k], b[2], b[3]);
    }
  }
}

// The row and the column of number e of fragment j that the running lane has.
DEVICE int row_of(int e) { return lane_index() / 4 + e / 2 * 8; }
DEVICE int column_of(int j, int e) { return j * 8 + lane_index() % 4 * 2 + e % 2; }

// turn_back scales 16 rows of a gradient by scale and rotates them back; the first is of position first.
DEVICE void turn_back(float (&x)[DIM / 8][4], const float *rope, int first, int T, float scale) {
  UNROLL for (int j = 0; j < DIM / 8; j++)
    UNROLL for (int e = 0; e < 4; e++) x[j][e] *= scale;
  if (!rope) return;
  UNROLL for (int j = 0; j < DIM / 16; j++) {
    UNROLL for (int e = 0; e < 4; e += 2) {
      int position = first + row_of(e);
      if (position >= T) continue;
      float a[2] = {x[j][e], x[j][e + 1]}, b[2] = {x[j + DIM / 16][e], x[j + DIM / 16][e + 1]};
      turn(a, b, rope + (i64)position * DIM + column_of(j, e), -1);
      x[j][e] = a[0], x[j][e + 1] = a[1], x[j + DIM / 16][e] = b[0], x[j + DIM / 16][e + 1] = b[1];
    }
  }
}

// store_rows writes 16 rows of the running warp to positions from first on, as far as there are any. own is a tile of 16 rows
// that no other warp touches.
DEVICE void store_rows(bf16 *to, i64 stride, bf16 *own, const float (&x)[DIM / 8][4], int first, int end) {
  __syncwarp();
  UNROLL for (int j = 0; j < DIM / 8; j++)
    UNROLL for (int e = 0; e < 4; e += 2) *(u32 *)(own + row_of(e) * STRIDE + column_of(j, e)) = round_pair(x[j][e], x[j][e + 1]);
  __syncwarp();
  constexpr int PACKS = DIM / 8;
  for (int i = lane_index(); i < 16 * PACKS; i += 32) {
    int t = i / PACKS, at = i % PACKS * 8;
    if (first + t < end) move(to + (first + t) * stride + at, own + t * STRIDE + at);
  }
}

// Softmax is the running softmax of a lane's two rows: scores so far are weighted relative to 2^top.
struct Softmax {
  float top[2], sum[2];
};

// weigh turns scores into weights relative to the new top and rescales what has been summed. Keys from `keys` on do not exist.
DEVICE void weigh(float (&s)[CHUNK / 8][4], Softmax &state, float (&o)[DIM / 8][4], float scale2, int keys) {
  float top[2] = {state.top[0], state.top[1]};
  UNROLL for (int j = 0; j < CHUNK / 8; j++)
    UNROLL for (int e = 0; e < 4; e++) {
      s[j][e] = column_of(j, e) < keys ? s[j][e] * scale2 : -infinity();
      top[e / 2] = fmaxf(top[e / 2], s[j][e]);
    }
  UNROLL for (int r = 0; r < 2; r++) {
    top[r] = lanes_max(top[r], 4);
    float factor = exp2_fast(state.top[r] - top[r]);
    state.top[r] = top[r];
    state.sum[r] *= factor;
    UNROLL for (int n = 0; n < DIM / 8; n++) o[n][2 * r] *= factor, o[n][2 * r + 1] *= factor;
  }
  UNROLL for (int j = 0; j < CHUNK / 8; j++)
    UNROLL for (int e = 0; e < 4; e++) {
      s[j][e] = exp2_fast(s[j][e] - top[e / 2]);
      state.sum[e / 2] += s[j][e];
    }
}

// Shared memory: q [16*warps], k [stage], v [stage]. Grid: blocks of 16*warps queries, B*heads.
KERNEL void __launch_bounds__(256) attention(const bf16 *qkv, const float *rope, bf16 *out, float *lse, int T, int Q, int heads,
                        int stage, float scale) {
  int warps = blockDim.x / 32, own = warp_index() * 16, base = blockIdx.x * warps * 16, first = base + own;
  bf16 *q = (bf16 *)shared_memory(), *k = q + 16 * warps * STRIDE, *v = k + stage * STRIDE;
  Head h = block_head(heads, T);
  load_turned(q, qkv + h.qkv(0), h.stride(), rope, base, 16 * warps, Q);
  float o[DIM / 8][4] = {};
  Softmax state = {{-infinity(), -infinity()}, {0, 0}};
  for (int from = 0; from < T; from += stage) {
    __syncthreads();
    begin_load(v, qkv + h.qkv(2), h.stride(), from, stage, T);
    load_turned(k, qkv + h.qkv(1), h.stride(), rope, from, stage, T);
    copies_arrived();
    __syncthreads();
    if (first >= Q) continue;
    for (int at = 0; at < stage && from + at < T; at += CHUNK) {
      float s[CHUNK / 8][4];
      u32 w[CHUNK / 16][4];
      dot_rows(s, q + own * STRIDE, k + at * STRIDE);
      weigh(s, state, o, scale * LOG2E, T - from - at);
      round_weights(w, s);
      add_weighted(o, w, v + at * STRIDE);
    }
  }
  if (first >= Q) return;
  UNROLL for (int r = 0; r < 2; r++) {
    float sum = lanes_sum(state.sum[r], 4);
    int position = first + row_of(2 * r);
    UNROLL for (int n = 0; n < DIM / 8; n++) o[n][2 * r] /= sum, o[n][2 * r + 1] /= sum;
    if (lane_index() % 4 == 0 && position < Q) lse[(h.row * heads + h.head) * Q + position] = (state.top[r] + log2_fast(sum)) * LN2;
  }
  store_rows(out + (h.row * Q * heads + h.head) * DIM, (i64)heads * DIM, q + own * STRIDE, o, first, Q);
}

// own_keys adds to dk and dv of 16 keys what CHUNK queries give, and leaves dSᵀ of them rounded in dS.
DEVICE void own_keys(float (&dk)[DIM / 8][4], float (&dv)[DIM / 8][4], u32 (&dS)[CHUNK / 16][4], const bf16 *k, const bf16 *v,
                     const bf16 *q,
                     const bf16 *dOut, const float *lse2, const float *delta, float scale2, int keys) {
  float p[CHUNK / 8][4], dP[CHUNK / 8][4];
  u32 w[CHUNK / 16][4];
  dot_rows(p, k, q);
  UNROLL for (int j = 0; j < CHUNK / 8; j++) {
    float l[2];
    load(l, lse2 + column_of(j, 0));
    UNROLL for (int e = 0; e < 4; e++) p[j][e] = row_of(e) < keys ? exp2_fast(p[j][e] * scale2 - l[e % 2]) : 0;
  }
  round_weights(w, p);
  add_weighted(dv, w, dOut);
  dot_rows(dP, v, dOut);
  UNROLL for (int j = 0; j < CHUNK / 8; j++) {
    float d[2];
    load(d, delta + column_of(j, 0));
    UNROLL for (int e = 0; e < 4; e++) p[j][e] *= dP[j][e] - d[e % 2];
  }
  round_weights(dS, p);
  add_weighted(dk, dS, q);
}

// store_keys writes dk and dv of a warp's 16 keys.
DEVICE void store_keys(bf16 *dqkv, Head h, const float *rope, bf16 *own, float (&dk)[DIM / 8][4], float (&dv)[DIM / 8][4],
                       int first, float scale) {
  turn_back(dk, rope, first, h.T, scale);
  store_rows(dqkv + h.qkv(1), h.stride(), own, dk, first, h.T);
  store_rows(dqkv + h.qkv(2), h.stride(), own, dv, first, h.T);
}

// The whole gradient of rows of at most 16*warps positions, a multiple of 32. Shared memory, n = 16*warps: q, k, v, dOut [n]; dSᵀ [n,n+8];
// lse2, delta [n]. Grid: 1, B*heads.
KERNEL void __launch_bounds__(256) attention_grad(const bf16 *qkv, const float *rope, const bf16 *out, const bf16 *dOut,
                        const float *lse, bf16 *dqkv, int T, int heads, float scale) {
  int n = blockDim.x / 2, own = warp_index() * 16, wide = n + 8;
  bf16 *q = (bf16 *)shared_memory(), *k = q + n * STRIDE, *v = k + n * STRIDE, *d = v + n * STRIDE, *dS = d + n * STRIDE;
  float *lse2 = (float *)(dS + n * wide), *delta = lse2 + n;
  Head h = block_head(heads, T);
  begin_load(v, qkv + h.qkv(2), h.stride(), 0, n, T);
  load_turned(q, qkv + h.qkv(0), h.stride(), rope, 0, n, T);
  load_turned(k, qkv + h.qkv(1), h.stride(), rope, 0, n, T);
  load_answers(d, lse2, delta, out, dOut, lse, h, 0, n);
  copies_arrived();
  __syncthreads();
  float x[DIM / 8][4] = {}, dv[DIM / 8][4] = {};
  for (int at = 0; at < n; at += CHUNK) {
    u32 s[CHUNK / 16][4];
    own_keys(x, dv, s, k + own * STRIDE, v + own * STRIDE, q + at * STRIDE, d + at * STRIDE, lse2 + at, delta + at, scale * LOG2E, T - own);
    UNROLL for (int j = 0; j < CHUNK / 16; j++)
      UNROLL for (int i = 0; i < 4; i++) *(u32 *)(dS + (own + row_of(i % 2 * 2)) * wide + at + column_of(2 * j + i / 2, 0)) = s[j][i];
  }
  // From here on only k and dSᵀ are read, and v and q hold what is stored.
  __syncthreads();
  store_keys(dqkv, h, rope, v + own * STRIDE, x, dv, own, scale);
  UNROLL for (int j = 0; j < DIM / 8; j++)
    UNROLL for (int e = 0; e < 4; e++) x[j][e] = 0;
  for (int at = 0; at < n; at += 16) {
    u32 a[4], b[4];
    left_transposed(a, dS + at * wide + own, wide);
    UNROLL for (int j = 0; j < DIM / 8; j += 2) {
      right_transposed(b, k + at * STRIDE + j * 8);
      multiply(x[j], a, b[0], b[1]);
      multiply(x[j + 1], a, b[2], b[3]);
    }
  }
  turn_back(x, rope, own, T, scale);
  store_rows(dqkv + h.qkv(0), h.stride(), q + own * STRIDE, x, own, T);
}

// Shared memory: k, v [16*warps]; q, dOut [stage]; lse2, delta [stage]. Grid: blocks of 16*warps keys, B*heads.
KERNEL void __launch_bounds__(256) attention_grad_keys(const bf16 *qkv, const float *rope, const bf16 *out, const bf16 *dOut,
                        const float *lse, bf16 *dqkv, int T, int heads, int stage, float scale) {
  int n = blockDim.x / 2, own = warp_index() * 16, base = blockIdx.x * n, first = base + own;
  bf16 *k = (bf16 *)shared_memory(), *v = k + n * STRIDE, *q = v + n * STRIDE, *d = q + stage * STRIDE;
  float *lse2 = (float *)(d + stage * STRIDE), *delta = lse2 + stage;
  Head h = block_head(heads, T);
  begin_load(v, qkv + h.qkv(2), h.stride(), base, n, T);
  load_turned(k, qkv + h.qkv(1), h.stride(), rope, base, n, T);
  float dk[DIM / 8][4] = {}, dv[DIM / 8][4] = {};
  for (int from = 0; from < T; from += stage) {
    __syncthreads();
    load_turned(q, qkv + h.qkv(0), h.stride(), rope, from, stage, T);
    load_answers(d, lse2, delta, out, dOut, lse, h, from, stage);
    copies_arrived();
    __syncthreads();
    if (first >= T) continue;
    for (int at = 0; at < stage && from + at < T; at += CHUNK) {
      u32 s[CHUNK / 16][4];
      own_keys(dk, dv, s, k + own * STRIDE, v + own * STRIDE, q + at * STRIDE, d + at * STRIDE, lse2 + at, delta + at, scale * LOG2E, T - first);
    }
  }
  if (first < T) store_keys(dqkv, h, rope, v + own * STRIDE, dk, dv, first, scale);
}

// Shared memory: q, dOut [16*warps]; k, v [stage]; lse2, delta [16*warps]. Grid: blocks of 16*warps queries, B*heads.
KERNEL void __launch_bounds__(256) attention_grad_queries(const bf16 *qkv, const float *rope, const bf16 *out, const bf16 *dOut,
                        const float *lse, bf16 *dqkv, int T, int heads, int stage, float scale) {
  int n = blockDim.x / 2, own = warp_index() * 16, base = blockIdx.x * n, first = base + own;
  bf16 *q = (bf16 *)shared_memory(), *d = q + n * STRIDE, *k = d + n * STRIDE, *v = k + stage * STRIDE;
  float *lse2 = (float *)(v + stage * STRIDE), *delta = lse2 + n;
  Head h = block_head(heads, T);
  load_turned(q, qkv + h.qkv(0), h.stride(), rope, base, n, T);
  load_answers(d, lse2, delta, out, dOut, lse, h, base, n);
  float dq[DIM / 8][4] = {};
  for (int from = 0; from < T; from += stage) {
    __syncthreads();
    begin_load(v, qkv + h.qkv(2), h.stride(), from, stage, T);
    load_turned(k, qkv + h.qkv(1), h.stride(), rope, from, stage, T);
    copies_arrived();
    __syncthreads();
    if (first >= T) continue;
    for (int at = 0; at < stage && from + at < T; at += CHUNK) {
      float p[CHUNK / 8][4], dP[CHUNK / 8][4];
      u32 w[CHUNK / 16][4];
      dot_rows(p, q + own * STRIDE, k + at * STRIDE);
      dot_rows(dP, d + own * STRIDE, v + at * STRIDE);
      float l[2] = {lse2[own + row_of(0)], lse2[own + row_of(2)]}, answer[2] = {delta[own + row_of(0)], delta[own + row_of(2)]};
      UNROLL for (int j = 0; j < CHUNK / 8; j++)
        UNROLL for (int e = 0; e < 4; e++) {
          float weight = from + at + column_of(j, e) < T ? exp2_fast(p[j][e] * scale * LOG2E - l[e / 2]) : 0;
          p[j][e] = weight * (dP[j][e] - answer[e / 2]);
        }
      round_weights(w, p);
      add_weighted(dq, w, k + at * STRIDE);
    }
  }
  if (first >= T) return;
  turn_back(dq, rope, first, T, scale);
  store_rows(dqkv + h.qkv(0), h.stride(), q + own * STRIDE, dq, first, T);
}
