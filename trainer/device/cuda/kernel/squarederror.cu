// Squared error. x, y, dx [B,N], loss and dLoss [B].
//
// SquaredError:     loss = Σ(x-y)²/N, a block per row. Shared memory: one float per warp.
// SquaredErrorGrad: dx = 2*dLoss*(x-y)/N, a thread per number, blockIdx.y is the row.
#include "common.cuh"

KERNEL void squared_error(const act *x, const act *y, float *loss, int N) {
  i64 row = (i64)blockIdx.x * N;
  float sum = 0;
  for (int i = threadIdx.x; i < N; i += blockDim.x) {
    float d = widen(x[row + i]) - widen(y[row + i]);
    sum += d * d;
  }
  sum = block_sum(sum, (float *)shared_memory());
  if (threadIdx.x == 0) loss[blockIdx.x] = sum / N;
}

KERNEL void squared_error_grad(const act *x, const act *y, const float *dLoss, act *dx, int N) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= N) return;
  i64 at = (i64)blockIdx.y * N + i;
  float d[1] = {2 * dLoss[blockIdx.y] * (widen(x[at]) - widen(y[at])) / N};
  store(dx + at, d);
}
