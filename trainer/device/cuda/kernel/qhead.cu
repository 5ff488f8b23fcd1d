// The head that predicts q_halt and q_continue from position 0. z [B,T,D], weight [2,D], bias [2], q and dq [B,2]; all but z float32.
//
// QHead:           q[k] = Σ_d weight[k,d] z[0,d] + bias[k].
// QHeadGradInput:  dz[0,d] = Σ_k dq[k] weight[k,d], zero at the other positions; or added to what is there.
// QHeadGradWeight: dWeight[k,d] += Σ_rows dq[k] z[0,d].
// QHeadGradBias:   dBias[k] += Σ_rows dq[k].
//
// block is T*D.
#include "common.cuh"

// A warp per row.
KERNEL void q_head(const act *z, const float *weight, const float *bias, float *q, int rows, i64 block, int D) {
  i64 row = thread_index() / 32;
  if (row >= rows) return;
  float halt = 0, go = 0;
  for (int d = lane_index(); d < D; d += 32) {
    float x = widen(z[row * block + d]);
    halt += weight[d] * x;
    go += weight[D + d] * x;
  }
  halt = lanes_sum(halt, 32);
  go = lanes_sum(go, 32);
  if (lane_index() == 0) q[2 * row] = halt + bias[0], q[2 * row + 1] = go + bias[1];
}

// blockIdx.y is the row; size is T*D, or D if the result is added.
KERNEL void q_head_grad_input(const float *dq, const float *weight, act *dz, int size, i64 block, int D, int accumulate) {
  int i = (int)thread_index();
  if (i >= size) return;
  i64 row = blockIdx.y;
  act *to = dz + row * block + i;
  float x[1] = {i < D ? dq[2 * row] * weight[i] + dq[2 * row + 1] * weight[D + i] : 0};
  if (accumulate) x[0] += widen(*to);
  store(to, x);
}

// A block takes 32 columns of one k (blockIdx.y); its warps share the rows. Shared memory [warps,32].
KERNEL void q_head_grad_weight(const float *dq, const act *z, float *dWeight, int rows, i64 block, int D) {
  float *sums = (float *)shared_memory();
  int d = blockIdx.x * 32 + lane_index(), k = blockIdx.y, warps = blockDim.x / 32;
  float sum = 0;
  if (d < D)
    for (int row = warp_index(); row < rows; row += warps) sum += dq[2 * row + k] * widen(z[row * block + d]);
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (warp_index() > 0 || d >= D) return;
  for (int w = 1; w < warps; w++) sum += sums[w * 32 + lane_index()];
  dWeight[k * D + d] += sum;
}

// One block. Shared memory [warps].
KERNEL void q_head_grad_bias(const float *dq, float *dBias, int rows) {
  float *scratch = (float *)shared_memory(), halt = 0, go = 0;
  for (int row = threadIdx.x; row < rows; row += blockDim.x) halt += dq[2 * row], go += dq[2 * row + 1];
  halt = block_sum(halt, scratch);
  go = block_sum(go, scratch);
  if (threadIdx.x == 0) dBias[0] += halt, dBias[1] += go;
}
