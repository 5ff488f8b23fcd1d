// Transpose: out[j,i] = x[i,j]. x [B,T,D], out [B,D,T].
//
// A block of 32x8 threads moves a tile of 32x32 numbers by way of shared memory, so that it reads and writes along rows.
// blockIdx.x and y are the tile's places in D and T, blockIdx.z is the row of the batch.
#include "common.cuh"

constexpr int TILE = 32;

// Shared memory [TILE,TILE+1] numbers: with a column more, those of a column lie in different banks.
KERNEL void transpose(const act *x, act *out, int T, int D) {
  act *tile = (act *)shared_memory();
  i64 row = (i64)blockIdx.z * T * D;
  int d = blockIdx.x * TILE, t = blockIdx.y * TILE, i = threadIdx.x;
  for (int j = threadIdx.y; j < TILE; j += blockDim.y)
    if (t + j < T && d + i < D) tile[j * (TILE + 1) + i] = x[row + (i64)(t + j) * D + d + i];
  __syncthreads();
  for (int j = threadIdx.y; j < TILE; j += blockDim.y)
    if (d + j < D && t + i < T) out[row + (i64)(d + j) * T + t + i] = tile[i * (TILE + 1) + j];
}
