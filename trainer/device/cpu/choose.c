//go:build onednn && cgo && linux

// What chooses positions of one row: the best scores, and the tokens that were not predicted.
#include "kernels.h"
#include "scalar.h"

// hrm_top_k: scores, among (or null) and out [positions].
void hrm_top_k(long positions, long count, const void *scores, const void *among, void *out, int bf) {
	for (long i = 0; i < positions; i++) {
		long better = 0;
		double x = number(scores, bf, i);
		int taken = !among || number(among, bf, i) != 0;
		for (long j = 0; taken && j < positions; j++) {
			if (among && number(among, bf, j) == 0) continue;
			double y = number(scores, bf, j);
			better += y > x || (y == x && j < i);
		}
		put(out, bf, i, taken && better < count);
	}
}

// hrm_unpredicted: logits [S, V], tokens [S], out [prefix + S].
void hrm_unpredicted(const hrm_token_shape *s, int prefix, const void *logits, const int32_t *tokens, void *out, int bf) {
	for (int i = 0; i <= prefix; i++) put(out, bf, i, 1);
	for (int t = 1; t < s->tokens; t++)
		put(out, bf, prefix + t, largest_of(s->vocabulary, logits, bf, (long)(t - 1) * s->vocabulary) != tokens[t]);
}

// hrm_next_tokens: tokens and out [S], wanted [prefix + S] or null.
void hrm_next_tokens(long tokens, int prefix, const int32_t *token, const void *wanted, int bf, int32_t *out) {
	for (long t = 0; t < tokens; t++) {
		int there = t + 1 < tokens && (!wanted || number(wanted, bf, prefix + t + 1) != 0);
		out[t] = there ? token[t + 1] : HRM_NO_LABEL;
	}
}
