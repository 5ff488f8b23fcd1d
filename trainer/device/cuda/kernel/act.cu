// The bookkeeping of adaptive computation time between segments, for `rows` rows of a batch. The host's part is to keep a new
// batch ready in fresh*; everything that depends on a segment's outcome stays on the device.
//
// act_admit:  rows that have halted take the new batch's example and zero steps; every row counts the coming segment;
//             last = steps >= maxSteps; puzzle = table[puzzles].
// act_finite: finite = finite and no loss is NaN or infinite.
// act_halt:   halted = maxSteps <= 1, or (steps >= maxSteps or early) and steps >= minimum, where early is q_halt > q_continue,
//             q_halt > 0 or never, as the rule says, and minimum is uniform in {2..maxSteps} with probability exploration, else
//             0; then sums of the metrics. Nothing if not finite.
//
// tokens, labels and freshTokens, freshLabels [rows,S]; puzzles, freshPuzzles, steps, halted, last [rows]; puzzle [rows,dim];
// table [size,dim]; loss [rows]; lossQ, q, stats [rows,2]; sums [9].
#include "common.cuh"

// The random numbers of a row in a step: Philox4x32-10 (Salmon et al. 2011) of the counter (step, row) under the seed, as in
// trainer/model.
struct Random {
  u32 x[4];
};

DEVICE Random philox(u64 seed, u64 step, u32 row) {
  Random r = {{(u32)step, (u32)(step >> 32), row, 0}};
  u32 key[2] = {(u32)seed, (u32)(seed >> 32)};
  UNROLL for (int round = 0; round < 10; round++) {
    u32 high0 = __umulhi(0xD2511F53u, r.x[0]), low0 = 0xD2511F53u * r.x[0];
    u32 high1 = __umulhi(0xCD9E8D57u, r.x[2]), low1 = 0xCD9E8D57u * r.x[2];
    r = Random{{high1 ^ r.x[1] ^ key[0], low1, high0 ^ r.x[3] ^ key[1], low0}};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return r;
}

// exploration_minimum is the least number of segments of a row: the first number decides whether there is one, the second
// which.
DEVICE int exploration_minimum(u64 seed, u64 step, u32 row, int maxSteps, double exploration) {
  Random r = philox(seed, step, row);
  if (r.x[0] * 0x1p-32 >= exploration) return 0;
  return (int)__umulhi(r.x[1], maxSteps > 2 ? maxSteps - 1 : 1) + 2;
}

// A block per row. table may be null.
KERNEL void act_admit(const int *freshTokens, const int *freshLabels, const int *freshPuzzles, int *tokens, int *labels,
                      int *puzzles, int *steps, const int *halted, int *last, const float *table, float *puzzle, u32 *fault, int S,
                      int dim, int size, int maxSteps) {
  i64 row = blockIdx.x;
  bool fresh = halted[row];
  int id = fresh ? freshPuzzles[row] : puzzles[row];
  if (fresh)
    for (int t = threadIdx.x; t < S; t += blockDim.x) {
      tokens[row * S + t] = freshTokens[row * S + t];
      labels[row * S + t] = freshLabels[row * S + t];
    }
  if (table) {
    if (id < 0 || id >= size) {
      if (threadIdx.x == 0) raise(fault, BAD_ROW);
      id = 0;
    }
    for (int d = threadIdx.x; d < dim; d += blockDim.x) puzzle[row * dim + d] = table[(i64)id * dim + d];
  }
  // Nobody else reads what the first thread writes.
  if (threadIdx.x > 0) return;
  int step = (fresh ? 0 : steps[row]) + 1;
  if (fresh) puzzles[row] = freshPuzzles[row];
  steps[row] = step;
  last[row] = step >= maxSteps;
}

// One block. Shared memory: an int per warp.
KERNEL void act_finite(const float *loss, const float *lossQ, int *finite, int rows) {
  int bad = 0;
  for (int row = threadIdx.x; row < rows; row += blockDim.x) {
    double sum = (double)loss[row] + lossQ[2 * row] + lossQ[2 * row + 1];
    bad += !(fabs(sum) < 1e300);
  }
  bad = block_sum(bad, (int *)shared_memory());
  if (threadIdx.x == 0 && bad) *finite = 0;
}

constexpr int SUMS = 9;

// The rules of halting, as device.Halting counts them.
enum { HALT_ABOVE_CONTINUE, HALT_ABOVE_ZERO, HALT_AT_LAST };

DEVICE bool halts_early(int rule, float qHalt, float qContinue) {
  return rule == HALT_ABOVE_CONTINUE ? qHalt > qContinue : rule == HALT_ABOVE_ZERO && qHalt > 0;
}

// One block. Row i is row first+i of the global batch, of which each row draws its own random numbers; *step counts steps from 1.
// sums are those of the step, row after row in float64, as in trainer/loop: rows, loss, q_halt loss, q_continue loss, and of rows
// that have halted and have labels: their number, accuracy, exactness, accuracy of q_halt, steps. Shared memory [blockDim.x,SUMS] doubles.
KERNEL void act_halt(const float *loss, const float *lossQ, const float *q, const float *stats, const int *steps, int *halted,
                     double *sums, const int *finite, const i64 *step, u64 seed, double exploration, int rows, int first,
                     int maxSteps, int rule) {
  if (!*finite) return;
  double *terms = (double *)shared_memory();
  double sum = 0;
  for (int from = 0; from < rows; from += blockDim.x) {
    int row = from + threadIdx.x, n = rows - from < (int)blockDim.x ? rows - from : (int)blockDim.x;
    if (row < rows) {
      int minimum = exploration_minimum(seed, *step, first + row, maxSteps, exploration);
      bool early = halts_early(rule, q[2 * row], q[2 * row + 1]);
      bool halts = maxSteps <= 1 || ((steps[row] >= maxSteps || early) && steps[row] >= minimum);
      halted[row] = halts;
      float correct = stats[2 * row], labelled = stats[2 * row + 1];
      bool counts = halts && labelled != 0, exact = correct == labelled;
      double *t = terms + threadIdx.x * SUMS;
      t[0] = 1, t[1] = loss[row], t[2] = lossQ[2 * row], t[3] = lossQ[2 * row + 1];
      t[4] = counts, t[5] = counts ? correct / labelled : 0, t[6] = counts && exact;
      t[7] = counts && (q[2 * row] >= 0) == exact, t[8] = counts ? steps[row] : 0;
    }
    __syncthreads();
    if (threadIdx.x < SUMS)
      for (int i = 0; i < n; i++) sum += terms[i * SUMS + threadIdx.x];
    __syncthreads();
  }
  if (threadIdx.x < SUMS) sums[threadIdx.x] = sum;
}
