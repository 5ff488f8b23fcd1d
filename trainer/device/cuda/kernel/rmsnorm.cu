// Residual and RMSNorm, one warp per position.
//
// AddRMSNorm:     u = x+y; r = 1/sqrt(mean(u²)+epsilon); out = u*r.  x [B,Tx,D], y [B,Ty,D], out [B,T,D], r [B,T]; of longer
//                 operands the first T positions are taken.
// AddRMSNormGrad: du = r * (dOut - out * mean(dOut*out)).            out, dOut, du [B,T,D].
//
// A lane keeps PACKS accesses of 16 bytes in registers, so that a position is read once: add_rms_norm_1 is for D up to
// 32*PACK, _2 and _4 for twice and four times that. add_rms_norm_any is for every other D and reads twice.
#include "common.cuh"

// Lane l has the numbers from (32*i+l)*PACK on, for i < PACKS, if they are below D.
template <int PACKS> DEVICE void add_rms_norm(const act *x, const act *y, act *out, float *r, i64 positions, int T, int Tx, int Ty,
                                              int D, float epsilon) {
  i64 n = thread_index() / 32;
  if (n >= positions) return;
  i64 row = n / T, t = n % T;
  x += (row * Tx + t) * D;
  y += (row * Ty + t) * D;
  float u[PACKS][PACK], v[PACK], squares = 0;
  UNROLL for (int i = 0; i < PACKS; i++) {
    int at = (32 * i + lane_index()) * PACK;
    UNROLL for (int k = 0; k < PACK; k++) u[i][k] = 0;
    if (at >= D) continue;
    load(u[i], x + at);
    load(v, y + at);
    UNROLL for (int k = 0; k < PACK; k++) {
      u[i][k] += v[k];
      squares += u[i][k] * u[i][k];
    }
  }
  float scale = 1 / sqrtf(lanes_sum(squares, 32) / D + epsilon);
  UNROLL for (int i = 0; i < PACKS; i++) {
    int at = (32 * i + lane_index()) * PACK;
    UNROLL for (int k = 0; k < PACK; k++) u[i][k] *= scale;
    if (at < D) store(out + n * D + at, u[i]);
  }
  if (lane_index() == 0) r[n] = scale;
}

KERNEL void add_rms_norm_1(const act *x, const act *y, act *out, float *r, i64 positions, int T, int Tx, int Ty, int D,
                           float epsilon) {
  add_rms_norm<1>(x, y, out, r, positions, T, Tx, Ty, D, epsilon);
}
KERNEL void add_rms_norm_2(const act *x, const act *y, act *out, float *r, i64 positions, int T, int Tx, int Ty, int D,
                           float epsilon) {
  add_rms_norm<2>(x, y, out, r, positions, T, Tx, Ty, D, epsilon);
}
KERNEL void add_rms_norm_4(const act *x, const act *y, act *out, float *r, i64 positions, int T, int Tx, int Ty, int D,
                           float epsilon) {
  add_rms_norm<4>(x, y, out, r, positions, T, Tx, Ty, D, epsilon);
}

KERNEL void add_rms_norm_any(const act *x, const act *y, act *out, float *r, i64 positions, int T, int Tx, int Ty, int D,
                             float epsilon) {
  i64 n = thread_index() / 32;
  if (n >= positions) return;
  i64 row = n / T, t = n % T;
  x += (row * Tx + t) * D;
  y += (row * Ty + t) * D;
  float squares = 0;
  for (int d = lane_index(); d < D; d += 32) {
    float u = widen(x[d]) + widen(y[d]);
    squares += u * u;
  }
  float scale = 1 / sqrtf(lanes_sum(squares, 32) / D + epsilon);
  for (int d = lane_index(); d < D; d += 32) {
    float u[1] = {(widen(x[d]) + widen(y[d])) * scale};
    store(out + n * D + d, u);
  }
  if (lane_index() == 0) r[n] = scale;
}

template <int PACKS> DEVICE void add_rms_norm_grad(const act *out, const act *dOut, const float *r, act *du, i64 positions, int D) {
  i64 n = thread_index() / 32;
  if (n >= positions) return;
  float o[PACKS][PACK], d[PACKS][PACK], sum = 0;
  UNROLL for (int i = 0; i < PACKS; i++) {
    int at = (32 * i + lane_index()) * PACK;
    UNROLL for (int k = 0; k < PACK; k++) o[i][k] = d[i][k] = 0;
    if (at >= D) continue;
    load(o[i], out + n * D + at);
    load(d[i], dOut + n * D + at);
    UNROLL for (int k = 0; k < PACK; k++) sum += o[i][k] * d[i][k];
  }
  float mean = lanes_sum(sum, 32) / D, scale = r[n];
  UNROLL for (int i = 0; i < PACKS; i++) {
    int at = (32 * i + lane_index()) * PACK;
    UNROLL for (int k = 0; k < PACK; k++) d[i][k] = scale * (d[i][k] - o[i][k] * mean);
    if (at < D) store(du + n * D + at, d[i]);
  }
}

KERNEL void add_rms_norm_grad_1(const act *out, const act *dOut, const float *r, act *du, i64 positions,
                                int D) { add_rms_norm_grad<1>(out, dOut, r, du, positions, D); }
KERNEL void add_rms_norm_grad_2(const act *out, const act *dOut, const float *r, act *du, i64 positions,
                                int D) { add_rms_norm_grad<2>(out, dOut, r, du, positions, D); }
KERNEL void add_rms_norm_grad_4(const act *out, const act *dOut, const float *r, act *du, i64 positions,
                                int D) { add_rms_norm_grad<4>(out, dOut, r, du, positions, D); }

KERNEL void add_rms_norm_grad_any(const act *out, const act *dOut, const float *r, act *du, i64 positions, int D) {
  i64 n = thread_index() / 32;
  if (n >= positions) return;
  float sum = 0;
  for (int d = lane_index(); d < D; d += 32) sum += widen(out[n * D + d]) * widen(dOut[n * D + d]);
  float mean = lanes_sum(sum, 32) / D, scale = r[n];
  for (int d = lane_index(); d < D; d += 32) {
    float x[1] = {scale * (widen(dOut[n * D + d]) - widen(out[n * D + d]) * mean)};
    store(du + n * D + d, x);
  }
}
