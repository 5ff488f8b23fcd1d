//go:build onednn && cgo && linux

// Losses of one row, in double precision. s(x) of the stablemax is x+1 for x >= 0 and 1/(1-x) below.
// logits [S, V], labels [S] with -100 for tokens that do not count.
#include <math.h>
#include "kernels.h"
#include "scalar.h"

static double stable(double x) { return x < 0 ? 1 / (1 - x + 1e-30) : x + 1; }

static int valid(const hrm_token_shape *s, int32_t label) { return label >= 0 && label < s->vocabulary; }

// hrm_labels_fit says whether every label is -100 or a token.
int hrm_labels_fit(const hrm_token_shape *s, const int32_t *labels) {
	for (int t = 0; t < s->tokens; t++)
		if (labels[t] != HRM_NO_LABEL && !valid(s, labels[t])) return 0;
	return 1;
}

static int labelled(const hrm_token_shape *s, const int32_t *labels) {
	int n = 0;
	for (int t = 0; t < s->tokens; t++) n += valid(s, labels[t]);
	return n;
}

static double largest(const hrm_token_shape *s, const void *logits, int bf, long row) {
	double top = number(logits, bf, row);
	for (int j = 1; j < s->vocabulary; j++) {
		// Not fmax: gcc 12 fails to compile it here for arm64.
		double x = number(logits, bf, row + j);
		if (x > top) top = x;
	}
	return top;
}

// total is the denominator: the sum of s(x), or of exp(x - top).
static double total(const hrm_token_shape *s, const void *logits, int bf, long row, double top) {
	double sum = 0;
	for (int j = 0; j < s->vocabulary; j++) {
		double x = number(logits, bf, row + j);
		sum += s->softmax ? exp(x - top) : stable(x);
	}
	return sum;
}

float hrm_lm_loss(const hrm_token_shape *s, const void *logits, int bf, const int32_t *labels) {
	double loss = 0;
	int n = labelled(s, labels);
	for (int t = 0; t < s->tokens; t++) {
		if (!valid(s, labels[t])) continue;
		long row = (long)t * s->vocabulary;
		double x = number(logits, bf, row + labels[t]), top = s->softmax ? largest(s, logits, bf, row) : 0;
		double sum = total(s, logits, bf, row, top);
		loss -= s->softmax ? x - top - log(sum) : log(stable(x) / sum);
	}
	return n ? loss / n : 0;
}

void hrm_lm_loss_grad(const hrm_token_shape *s, const void *logits, int bf, const int32_t *labels, float dloss, void *out) {
	int n = labelled(s, labels);
	for (int t = 0; t < s->tokens; t++) {
		long row = (long)t * s->vocabulary;
		if (!valid(s, labels[t])) {
			for (int j = 0; j < s->vocabulary; j++) put(out, bf, row + j, 0);
			continue;
		}
		double top = s->softmax ? largest(s, logits, bf, row) : 0, sum = total(s, logits, bf, row, top), scale = (double)dloss / n;
		for (int j = 0; j < s->vocabulary; j++) {
			double x = number(logits, bf, row + j), here = j == labels[t], value = stable(x), slope = x < 0 ? value * value : 1;
			double g = s->softmax ? exp(x - top) / sum - here : slope / sum - here * slope / value;
			put(out, bf, row + j, scale * g);
		}
	}
}

float hrm_squared_error(long n, const void *x, const void *y, int bf) {
	double sum = 0;
	for (long i = 0; i < n; i++) {
		double d = number(x, bf, i) - number(y, bf, i);
		sum += d * d;
	}
	return sum / n;
}

void hrm_squared_error_grad(long n, const void *x, const void *y, float dloss, void *dx, int bf) {
	for (long i = 0; i < n; i++) put(dx, bf, i, 2 * (double)dloss * (number(x, bf, i) - number(y, bf, i)) / n);
}

void hrm_token_stats(const hrm_token_shape *s, const void *logits, int bf, const int32_t *labels, float *out) {
	int correct = 0;
	for (int t = 0; t < s->tokens; t++)
		correct += valid(s, labels[t]) && largest_of(s->vocabulary, logits, bf, (long)t * s->vocabulary) == labels[t];
	out[0] = correct;
	out[1] = labelled(s, labels);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static double cross_entropy(double x, double target) { return fmax(x, 0) - x * target + log1p(exp(-fabs(x))); }

float hrm_q_target(const float *q, int last) { return sigmoid(last || q[0] > q[1] ? q[0] : q[1]); }

void hrm_q_loss(const float *q, const float *stats, const float *target, float *out) {
	out[0] = cross_entropy(q[0], stats[0] == stats[1]);
	out[1] = target ? cross_entropy(q[1], *target) : 0;
}

void hrm_q_loss_grad(const float *q, const float *stats, const float *dloss, const float *target, float *out) {
	out[0] = dloss[0] * (sigmoid(q[0]) - (stats[0] == stats[1]));
	out[1] = target ? dloss[1] * (sigmoid(q[1]) - *target) : 0;
}
