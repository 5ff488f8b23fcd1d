// Memory of past states.
#include <math.h>
#include "check.h"

static hrm_recall_shape sizes(check *c) {
	hrm_recall_shape s = {1 + draw(c, 20), 0, 1 + draw(c, 70), 0.5f, 0.75f, draw(c, 2) ? HRM_BF16 : HRM_F32};
	s.count = draw(c, s.positions + 1);
	describe(c, "%ld of %ld positions of %ld, bf %d", s.count, s.positions, s.width, s.bf);
	return s;
}

// match is weight(i)*dot(past[i], x).
static double match(const hrm_recall_shape *s, const operand *past, const operand *x, long i) {
	double sum = 0;
	for (long d = 0; d < s->width; d++) sum += past->value[i * s->width + d] * x->value[d];
	return s->rate * pow(s->decay, s->count - 1 - i) * sum;
}

void check_recall(check *c) {
	hrm_recall_shape s = sizes(c);
	operand *past = add(c, "past", s.bf, s.positions * s.width, INPUT), *query = add(c, "query", s.bf, s.width, INPUT);
	operand *scratch = add(c, "scratch", HRM_F32, 2 * s.width, SCRATCH), *out = add(c, "out", s.bf, s.width, OUTPUT);
	while (everywhere(c)) hrm_recall(c->k, &s, past->at, query->at, out->at, scratch->at);
	for (long i = 0; i < s.count; i++)
		for (long d = 0; d < s.width; d++) out->want[d] += match(&s, past, query, i) * past->value[i * s.width + d];
	judge(c, out, tolerance(s.bf));
}

void check_recall_grad_past(check *c) {
	hrm_recall_shape s = sizes(c);
	int add_to = draw(c, 2);
	operand *past = add(c, "past", s.bf, s.positions * s.width, INPUT), *query = add(c, "query", s.bf, s.width, INPUT);
	operand *dout = add(c, "dout", s.bf, s.width, INPUT), *scratch = add(c, "scratch", HRM_F32, 3 * s.width, SCRATCH);
	operand *dpast = add(c, "dpast", s.bf, past->n, add_to ? UPDATED : OUTPUT);
	while (everywhere(c)) hrm_recall_grad_past(c->k, &s, past->at, query->at, dout->at, dpast->at, add_to, scratch->at);
	for (long i = 0; i < s.positions; i++)
		for (long d = 0; d < s.width; d++) {
			double *want = dpast->want + i * s.width + d;
			*want = add_to ? dpast->value[i * s.width + d] : 0;
			if (i < s.count) *want += match(&s, past, query, i) * dout->value[d] + match(&s, past, dout, i) * query->value[d];
		}
	judge(c, dpast, tolerance(s.bf));
}
