//go:build onednn && cgo && linux

// Memory of past states [T, D], of one row: what resembles a query is recalled, the more the later it was.
#include <string.h>
#include "kernels.h"

static const void *state(const hrm_recall_shape *s, const void *past, long i) {
	return (const char *)past + i * s->width * (s->bf ? 2 : 4);
}

// hrm_recall: out = the sum of weight(i)*past[i]*dot(past[i], query); scratch holds 2*D floats.
void hrm_recall(const hrm_kernels *k, const hrm_recall_shape *s, const void *past, const void *query, void *out, float *scratch) {
	long n = s->width;
	float *q = scratch, *sum = scratch + n, weight = s->rate;
	k->scale_add(n, 1, query, s->bf, 0, 0, q, 0);
	memset(sum, 0, n * sizeof *sum);
	for (long i = s->count - 1; i >= 0; i--, weight *= s->decay) {
		const void *x = state(s, past, i);
		k->accumulate(n, weight * k->dot(n, x, s->bf, q), x, s->bf, sum);
	}
	k->scale_add(n, 1, sum, 0, 0, 0, out, s->bf);
}

// hrm_recall_grad_past: dpast[i] = weight(i)*(dot(past[i], query)*dout + dot(past[i], dout)*query); scratch holds 3*D floats.
void hrm_recall_grad_past(const hrm_kernels *k, const hrm_recall_shape *s, const void *past, const void *query, const void *dout,
	void *dpast, int add, float *scratch) {
	long n = s->width;
	float *q = scratch, *d = scratch + n, *sum = scratch + 2 * n, weight = s->rate;
	k->scale_add(n, 1, query, s->bf, 0, 0, q, 0);
	k->scale_add(n, 1, dout, s->bf, 0, 0, d, 0);
	for (long i = s->count - 1; i >= 0; i--, weight *= s->decay) {
		const void *x = state(s, past, i);
		void *to = (void *)state(s, dpast, i);
		if (add) k->scale_add(n, 1, to, s->bf, 0, 0, sum, 0);
		else memset(sum, 0, n * sizeof *sum);
		k->accumulate(n, weight * k->dot(n, x, s->bf, q), d, 0, sum);
		k->accumulate(n, weight * k->dot(n, x, s->bf, d), q, 0, sum);
		k->scale_add(n, 1, sum, 0, 0, 0, to, s->bf);
	}
	if (!add) memset((void *)state(s, dpast, s->count), 0, (s->positions - s->count) * n * (s->bf ? 2 : 4));
}
