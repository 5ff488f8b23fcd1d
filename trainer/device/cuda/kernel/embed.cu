// The input embedding and its gradients. tokens [B,S], weight [V,D], puzzle [B,puzzleDim], positions [T,D] or null, out and
// d [B,T,D].
//
// Embed:              out[t] = scale * (t < prefix ? puzzle[t*D:(t+1)*D] : weight[token[t-prefix]]) (+ scale * positions[t]).
//                     The puzzle's row is padded with zeros. scale is sqrt(D), times 0.707106781 with positions.
// EmbedGradWeight:    dWeight[token[t]] += scale * d[prefix+t].
// EmbedGradPuzzle:    dPuzzle[i] = scale * d[i/D][i%D].
// EmbedGradPositions: dPositions += scale * Σ_rows d.
#include "common.cuh"

// blockIdx.y is the row.
template <int N> DEVICE void embed_at(const int *tokens, const float *weight, const float *puzzle, const float *positions,
                                      act *out, u32 *fault, int S, int prefix, int D, int V, int puzzleDim, float scale) {
  int i = (int)thread_index() * N, size = (prefix + S) * D;
  if (i >= size) return;
  i64 row = blockIdx.y;
  int t = i / D - prefix, d = i % D;
  float x[N], p[N];
  if (t >= 0) {
    int token = tokens[row * S + t];
    if (token < 0 || token >= V) {
      raise(fault, BAD_TOKEN);
      token = 0;
    }
    load_weights(x, weight + (i64)token * D + d);
  } else {
    // A puzzle's row need not end, nor begin, where an access does.
    UNROLL for (int k = 0; k < N; k++) {
      float one[1] = {0};
      if (i + k < puzzleDim) load_weights(one, puzzle + row * puzzleDim + i + k);
      x[k] = one[0];
    }
  }
  if (positions) {
    load_weights(p, positions + i);
    UNROLL for (int k = 0; k < N; k++) x[k] = scale * x[k] + scale * p[k];
  } else {
    UNROLL for (int k = 0; k < N; k++) x[k] *= scale;
  }
  store(out + row * size + i, x);
}

KERNEL void embed(const int *tokens, const float *weight, const float *puzzle, const float *positions, act *out, u32 *fault, int S,
                  int prefix, int D, int V, int puzzleDim, float scale) {
  embed_at<PACK>(tokens, weight, puzzle, positions, out, fault, S, prefix, D, V, puzzleDim, scale);
}

KERNEL void embed_odd(const int *tokens, const float *weight, const float *puzzle, const float *positions, act *out, u32 *fault,
                      int S, int prefix, int D, int V, int puzzleDim, float scale) {
  embed_at<1>(tokens, weight, puzzle, positions, out, fault, S, prefix, D, V, puzzleDim, scale);
}

// The gradient of the weight is summed in two steps, so that its order is fixed. In the first, block x takes `each` tokens
// of the batch and block y blockDim.x columns; a thread sums its column by token in shared memory [V,blockDim.x] and
// leaves it in partial [gridDim.x,V,D].
KERNEL void embed_grad_weight_parts(const int *tokens, const act *d, float *partial, u32 *fault, i64 count, int each, int S,
                                    int prefix, int D, int V) {
  float *sums = (float *)shared_memory() + threadIdx.x;
  int column = blockIdx.y * blockDim.x + threadIdx.x;
  if (column >= D) return;
  for (int v = 0; v < V; v++) sums[v * blockDim.x] = 0;
  i64 from = (i64)blockIdx.x * each, to = from + each < count ? from + each : count;
  for (i64 n = from; n < to; n++) {
    int token = tokens[n];
    if (token < 0 || token >= V) {
      raise(fault, BAD_TOKEN);
      continue;
    }
    sums[token * blockDim.x] += widen(d[(n + (n / S + 1) * prefix) * D + column]);
  }
  for (int v = 0; v < V; v++) partial[((i64)blockIdx.x * V + v) * D + column] = sums[v * blockDim.x];
}

// The second step: n = V*D.
KERNEL void embed_grad_weight(const float *partial, float *dWeight, int parts, i64 n, float scale) {
  i64 i = thread_index();
  if (i >= n) return;
  float sum = 0;
  for (int p = 0; p < parts; p++) sum += partial[p * n + i];
  dWeight[i] += scale * sum;
}

// For vocabularies whose sums shared memory can't hold: block y is a token, and a thread searches the batch for it.
KERNEL void embed_grad_weight_large(const int *tokens, const act *d, float *dWeight, u32 *fault, i64 count, int S, int prefix,
                                    int D, int V, float scale) {
  int column = (int)thread_index(), token = blockIdx.y;
  if (column >= D) return;
  float sum = 0;
  for (i64 n = 0; n < count; n++) {
    int other = tokens[n];
    if (other < 0 || other >= V) raise(fault, BAD_TOKEN);
    if (other == token) sum += widen(d[(n + (n / S + 1) * prefix) * D + column]);
  }
  dWeight[(i64)token * D + column] += scale * sum;
}

// blockIdx.y is the row; used is how many numbers of the puzzle's row are in the prefix, block T*D.
KERNEL void embed_grad_puzzle(const act *d, float *dPuzzle, int puzzleDim, int used, i64 block, float scale) {
  int i = (int)thread_index();
  i64 row = blockIdx.y;
  if (i < puzzleDim) dPuzzle[row * puzzleDim + i] = i < used ? scale * widen(d[row * block + i]) : 0;
}

// block is T*D.
KERNEL void embed_grad_positions(const act *d, float *dPositions, int rows, int block, float scale) {
  int i = (int)thread_index();
  if (i >= block) return;
  float sum = 0;
  for (int row = 0; row < rows; row++) sum += widen(d[(i64)row * block + i]);
  dPositions[i] += scale * sum;
}
