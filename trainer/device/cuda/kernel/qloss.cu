// The losses of q_halt and q_continue, a thread per row. q, next, stats, loss, dLoss and out [B,2], target [B] or null, last [B].
//
// QTarget:   target = sigmoid(last ? next_halt : max(next_halt, next_continue)).
// QLoss:     loss = (bce(q_halt, exact), bce(q_continue, target) or 0); exact = all labelled tokens are right.
// QLossGrad: out = (dLoss[0] * (sigmoid(q_halt) - exact), dLoss[1] * (sigmoid(q_continue) - target) or 0).
#include "common.cuh"

DEVICE float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// bce is the binary cross-entropy of a logit.
DEVICE float bce(float x, float target) { return fmaxf(x, 0) - x * target + log1pf(expf(-fabsf(x))); }

DEVICE float exact(const float *stats, i64 row) { return stats[2 * row] == stats[2 * row + 1]; }

KERNEL void q_target(const float *next, const int *last, float *target, int rows) {
  i64 row = thread_index();
  if (row >= rows) return;
  float halt = next[2 * row];
  target[row] = sigmoid(last[row] ? halt : fmaxf(halt, next[2 * row + 1]));
}

KERNEL void q_loss(const float *q, const float *stats, const float *target, float *loss, int rows) {
  i64 row = thread_index();
  if (row >= rows) return;
  loss[2 * row] = bce(q[2 * row], exact(stats, row));
  loss[2 * row + 1] = target ? bce(q[2 * row + 1], target[row]) : 0;
}

KERNEL void q_loss_grad(const float *q, const float *stats, const float *dLoss, const float *target, float *out, int rows) {
  i64 row = thread_index();
  if (row >= rows) return;
  out[2 * row] = dLoss[2 * row] * (sigmoid(q[2 * row]) - exact(stats, row));
  out[2 * row + 1] = target ? dLoss[2 * row + 1] * (sigmoid(q[2 * row + 1]) - target[row]) : 0;
}
