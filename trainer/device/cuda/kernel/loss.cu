// The loss of the tokens, a block per row. logits [B,S,V], labels [B,S] (-100 is ignored), loss and dLoss [B], stats [B,2].
//
// LMLoss:     loss = Σ_t loss(t) / max(1, labelled tokens), loss(t) = -log p[label].
//             Stablemax: p = s(x)/Σs(x), s(x) = x<0 ? 1/(1-x+1e-30) : x+1, in float64. Softmax: p = exp(x)/Σexp(x), in float32.
// LMLossGrad: out[t] = dLoss / labelled tokens * dloss(t)/dlogits, zero where nothing is labelled.
// TokenStats: stats = (tokens whose argmax is the label, labelled tokens); the first of equal logits wins.
//
// A thread takes a token: vocabularies of puzzles are small. Shared memory: one number of 8 bytes per warp.
#include "common.cuh"

DEVICE double stable(double x) { return x < 0 ? 1 / (1 - x + 1e-30) : x + 1; }

// stable_slope is the derivative of s.
DEVICE double stable_slope(double x) {
  double s = stable(x);
  return x < 0 ? s * s : 1;
}

DEVICE double stable_sum(const act *x, int V) {
  double sum = 0;
  for (int i = 0; i < V; i++) sum += stable(widen(x[i]));
  return sum;
}

DEVICE float log_sum_exp(const act *x, int V) {
  float top = widen(x[0]), sum = 0;
  for (int i = 1; i < V; i++) top = fmaxf(top, widen(x[i]));
  for (int i = 0; i < V; i++) sum += expf(widen(x[i]) - top);
  return top + logf(sum);
}

// is_labelled says whether a label counts, and reports one that does not exist.
DEVICE bool is_labelled(int label, int V, u32 *fault) {
  if (label == IGNORED) return false;
  if (label >= 0 && label < V) return true;
  raise(fault, BAD_LABEL);
  return false;
}

// labelled_tokens counts those of the block's row, for every thread.
DEVICE int labelled_tokens(const int *labels, u32 *fault, int S, int V) {
  int n = 0;
  for (int t = threadIdx.x; t < S; t += blockDim.x) n += is_labelled(labels[t], V, fault);
  return block_sum(n, (int *)shared_memory());
}

KERNEL void lm_loss(const act *logits, const int *labels, float *loss, u32 *fault, int S, int V, int softmax) {
  i64 row = blockIdx.x;
  logits += row * S * V;
  labels += row * S;
  double sum = 0;
  for (int t = threadIdx.x; t < S; t += blockDim.x) {
    if (!is_labelled(labels[t], V, fault)) continue;
    const act *x = logits + (i64)t * V;
    float at_label = widen(x[labels[t]]);
    sum += softmax ? (double)(log_sum_exp(x, V) - at_label) : log(stable_sum(x, V) / stable(at_label));
  }
  sum = block_sum(sum, (double *)shared_memory());
  int n = labelled_tokens(labels, fault, S, V);
  if (threadIdx.x == 0) loss[row] = (float)(sum / (n > 1 ? n : 1));
}

KERNEL void lm_loss_grad(const act *logits, const int *labels, const float *dLoss, act *out, u32 *fault, int S, int V,
                         int softmax) {
  i64 row = blockIdx.x;
  logits += row * S * V;
  out += row * S * V;
  labels += row * S;
  int n = labelled_tokens(labels, fault, S, V);
  for (int t = threadIdx.x; t < S; t += blockDim.x) {
    const act *x = logits + (i64)t * V;
    act *to = out + (i64)t * V;
    if (!is_labelled(labels[t], V, fault)) {
      for (int i = 0; i < V; i++) to[i] = act{};
      continue;
    }
    double factor = (double)dLoss[row] / n, sum = softmax ? 0 : stable_sum(x, V);
    float top = softmax ? log_sum_exp(x, V) : 0;
    for (int i = 0; i < V; i++) {
      bool is_label = i == labels[t];
      float z = widen(x[i]), d[1];
      if (softmax)
        d[0] = (float)factor * (expf(z - top) - is_label);
      else
        d[0] = (float)(factor * (stable_slope(z) / sum - (is_label ? stable_slope(z) / stable(z) : 0)));
      store(to + i, d);
    }
  }
}

KERNEL void token_stats(const act *logits, const int *labels, float *stats, u32 *fault, int S, int V) {
  i64 row = blockIdx.x;
  logits += row * S * V;
  labels += row * S;
  int correct = 0;
  for (int t = threadIdx.x; t < S; t += blockDim.x) {
    if (!is_labelled(labels[t], V, fault)) continue;
    const act *x = logits + (i64)t * V;
    int best = 0;
    for (int i = 1; i < V; i++)
      if (widen(x[i]) > widen(x[best])) best = i;
    correct += best == labels[t];
  }
  correct = block_sum(correct, (int *)shared_memory());
  int n = labelled_tokens(labels, fault, S, V);
  if (threadIdx.x == 0) stats[2 * row] = correct, stats[2 * row + 1] = n;
}
