// What chooses positions.
#include "check.h"

// add_mask adds zeros and ones, or nothing.
static operand *add_mask(check *c, int type, long n) {
	if (odds(c, 3)) return 0;
	operand *o = add(c, "mask", type, n, INPUT);
	for (long i = 0; i < n; i++) set(o, i, draw(c, 2));
	return o;
}

void check_top_k(check *c) {
	long n = draw(c, 70), count = draw(c, 70);
	int type = draw(c, 2) ? HRM_BF16 : HRM_F32;
	describe(c, "%ld of %ld, bf %d", count, n, type);
	operand *scores = add(c, "scores", type, n, INPUT), *among = add_mask(c, type, n), *out = add(c, "out", type, n, OUTPUT);
	for (long i = 0; i < n; i++)
		if (odds(c, 3)) set(scores, i, 1);
	while (everywhere(c)) hrm_top_k(n, count, scores->at, among ? among->at : 0, out->at, type);
	// The best of those that are left is chosen, count times.
	for (long k = 0; k < count; k++) {
		long best = -1;
		for (long i = 0; i < n; i++)
			if (!out->want[i] && (!among || among->value[i]) && (best < 0 || scores->value[i] > scores->value[best])) best = i;
		if (best >= 0) out->want[best] = 1;
	}
	judge(c, out, 0);
}

void check_unpredicted(check *c) {
	hrm_token_shape s = {1 + draw(c, 30), 1 + draw(c, 5), 0};
	int prefix = draw(c, 4), type = draw(c, 2) ? HRM_BF16 : HRM_F32;
	describe(c, "%d+%d tokens of %d, bf %d", prefix, s.tokens, s.vocabulary, type);
	operand *logits = add(c, "logits", type, (long)s.tokens * s.vocabulary, INPUT), *tokens = add(c, "tokens", HRM_I32, s.tokens, INPUT);
	operand *out = add(c, "out", type, prefix + s.tokens, OUTPUT);
	for (int t = 0; t < s.tokens; t++) set(tokens, t, draw(c, s.vocabulary));
	while (everywhere(c)) hrm_unpredicted(&s, prefix, logits->at, tokens->at, out->at, type);
	for (int i = 0; i < out->n; i++) out->want[i] = i <= prefix;
	for (int t = 1; t < s.tokens; t++) {
		const double *x = logits->value + (t - 1) * s.vocabulary;
		int token = tokens->value[t];
		// The first of the largest logits is the prediction.
		for (int j = 0; j < s.vocabulary; j++) out->want[prefix + t] += j < token ? x[j] >= x[token] : x[j] > x[token];
		out->want[prefix + t] = out->want[prefix + t] > 0;
	}
	judge(c, out, 0);
}

void check_next_tokens(check *c) {
	long n = draw(c, 70);
	int prefix = draw(c, 4), type = draw(c, 2) ? HRM_BF16 : HRM_F32;
	describe(c, "%d+%ld tokens, bf %d", prefix, n, type);
	operand *tokens = add(c, "tokens", HRM_I32, n, INPUT), *wanted = add_mask(c, type, prefix + n), *out = add(c, "out", HRM_I32, n, OUTPUT);
	for (long t = 0; t < n; t++) set(tokens, t, draw(c, 9));
	while (everywhere(c)) hrm_next_tokens(n, prefix, tokens->at, wanted ? wanted->at : 0, type, out->at);
	for (long t = 0; t < n; t++) {
		out->want[t] = -100;
		if (t + 1 < n && (!wanted || wanted->value[prefix + t + 1])) out->want[t] = tokens->value[t + 1];
	}
	judge(c, out, 0);
}
