// What chooses positions. Scores, masks [B,T], logits [B,S,V], tokens and labels [B,S].
//
// TopK:        mask = 1 at the count largest scores of those that are among (all if among is null); the first of equal scores wins.
// Unpredicted: mask[prefix+s] = s == 0 || argmax(logits[s-1]) != tokens[s], and 1 at the prefix.
// NextTokens:  labels[s] = tokens[s+1], -100 at the last one and where wanted, if it is not null, is 0 at prefix+s+1.
//
// A thread takes a position, blockIdx.y is the row.
#include "common.cuh"

DEVICE int position_index() { return blockIdx.x * blockDim.x + threadIdx.x; }
DEVICE void store_mask(act *p, bool chosen) {
  float x[1] = {chosen ? 1.0f : 0.0f};
  store(p, x);
}

KERNEL void top_k(const act *scores, const act *among, act *mask, int T, int count) {
  i64 row = (i64)blockIdx.y * T;
  int i = position_index();
  if (i >= T) return;
  bool taken = !among || widen(among[row + i]) != 0;
  float score = widen(scores[row + i]);
  int better = 0;
  for (int j = 0; taken && j < T; j++) {
    if (among && widen(among[row + j]) == 0) continue;
    float other = widen(scores[row + j]);
    better += other > score || (other == score && j < i);
  }
  store_mask(mask + row + i, taken && better < count);
}

KERNEL void unpredicted(const act *logits, const int *tokens, act *mask, int S, int V, int prefix) {
  i64 row = blockIdx.y;
  int i = position_index(), s = i - prefix;
  if (s >= S) return;
  bool missed = true;
  if (s > 0) {
    const act *x = logits + (row * S + s - 1) * V;
    int best = 0;
    for (int v = 1; v < V; v++)
      if (widen(x[v]) > widen(x[best])) best = v;
    missed = best != tokens[row * S + s];
  }
  store_mask(mask + row * (prefix + S) + i, missed);
}

KERNEL void next_tokens(const int *tokens, const act *wanted, int *labels, int S, int prefix) {
  i64 row = blockIdx.y;
  int s = position_index();
  if (s >= S) return;
  bool there = s + 1 < S && (!wanted || widen(wanted[row * (prefix + S) + prefix + s + 1]) != 0);
  labels[row * S + s] = there ? tokens[row * S + s + 1] : IGNORED;
}
