// Sums, scales, conversions and optimizer updates, element by element.
#include <math.h>
#include "check.h"

static long sizes(check *c) {
	long n = odds(c, 10) ? 2000 + draw(c, 100) : draw(c, 70);
	describe(c, "%ld elements", n);
	return n;
}

static int type(check *c) { return draw(c, 2) ? HRM_BF16 : HRM_F32; }

// The output may lie where the first operand does, as it does when embeddings are summed in place.
void check_scale_add(check *c) {
	long n = sizes(c);
	int in_place = odds(c, 4);
	operand *a = add(c, "a", type(c), n, in_place ? UPDATED : INPUT), *b = odds(c, 3) ? 0 : add(c, "b", type(c), n, INPUT);
	operand *out = in_place ? a : add(c, "out", type(c), n, OUTPUT);
	describe(c, "%ld elements, bf %d %d %d%s", n, a->type, b ? b->type : -1, out->type, in_place ? " in place" : "");
	while (everywhere(c)) c->k->scale_add(n, 1.5f, a->at, a->type, b ? b->at : 0, b ? b->type : 0, out->at, out->type);
	for (long i = 0; i < n; i++) out->want[i] = 1.5 * (a->value[i] + (b ? b->value[i] : 0));
	judge(c, out, tolerance(out->type));
}

void check_accumulate(check *c) {
	long n = sizes(c);
	operand *a = add(c, "a", type(c), n, INPUT), *out = add(c, "out", HRM_F32, n, UPDATED);
	while (everywhere(c)) c->k->accumulate(n, -0.75f, a->at, a->type, out->at);
	for (long i = 0; i < n; i++) out->want[i] = out->value[i] - 0.75 * a->value[i];
	judge(c, out, tolerance(HRM_F32));
}

void check_dot(check *c) {
	long n = sizes(c);
	operand *a = add(c, "a", type(c), n, INPUT), *b = add(c, "b", HRM_F32, n, INPUT), *out = add(c, "result", HRM_F32, 1, OUTPUT);
	while (everywhere(c)) *(float *)out->at = c->k->dot(n, a->at, a->type, b->at);
	double size = 1;
	for (long i = 0; i < n; i++) {
		out->want[0] += a->value[i] * b->value[i];
		size += fabs(a->value[i] * b->value[i]);
	}
	// What cancels out counts for the error too.
	judge(c, out, tolerance(HRM_F32) * size / fmax(fabs(out->want[0]), 1e-3));
}

void check_sum(check *c) {
	long n = sizes(c), offset = draw(c, 20);
	int count = draw(c, 4);
	operand *parts[3], *out = add(c, "out", HRM_F32, n, UPDATED);
	for (int k = 0; k < count; k++) parts[k] = add(c, "part", HRM_F32, offset + n, INPUT);
	while (everywhere(c)) {
		float *at[3];
		for (int k = 0; k < count; k++) at[k] = parts[k]->at;
		c->k->sum(n, count, at, offset, out->at);
	}
	for (long i = 0; i < n; i++) {
		out->want[i] = out->value[i];
		for (int k = 0; k < count; k++) out->want[i] += parts[k]->value[offset + i];
	}
	judge(c, out, tolerance(HRM_F32));
}

// Rounding is exact, also of ties, of what is beyond the largest bfloat16, and of what is no number. Denormal numbers are
// left out: some processors round them to zero.
void check_to_bf16(check *c) {
	long n = sizes(c);
	operand *in = add(c, "src", HRM_F32, n, INPUT), *out = add(c, "dst", HRM_BF16, n, OUTPUT);
	for (long i = 0; i < n; i++) {
		double tie = 1 + (2 * draw(c, 128) + 1) * 0x1p-8;
		const double choices[] = {in->value[i], ldexp(in->value[i], draw(c, 200) - 100), tie, -tie, 0, 0x1.fffffep127, -INFINITY, NAN};
		set(in, i, choices[draw(c, 8)]);
		out->want[i] = rounded(HRM_BF16, in->value[i]);
	}
	while (everywhere(c)) c->k->to_bf16(n, in->at, out->at);
	judge(c, out, 0);
}

void check_adam(check *c) {
	long n = sizes(c);
	hrm_adam_step h = {.decay = 0.99f, .rate = 0.03f, .beta1 = 0.9f, .beta2 = 0.95f, .denominator = 1.7f, .ema = 0.8f};
	operand *p = add(c, "p", HRM_F32, n, UPDATED), *g = add(c, "g", HRM_F32, n, INPUT);
	operand *m = add(c, "m", HRM_F32, n, UPDATED), *v = add(c, "v", HRM_F32, n, UPDATED);
	operand *average = odds(c, 2) ? add(c, "average", HRM_F32, n, UPDATED) : 0;
	for (long i = 0; i < n; i++) {
		set(v, i, v->value[i] * v->value[i]);
		// A weight that no gradient has reached yet: the angle of nothing is zero.
		if (odds(c, 10)) set(g, i, 0), set(m, i, 0), set(v, i, 0);
		m->want[i] = h.beta1 * m->value[i] + (1 - h.beta1) * g->value[i];
		v->want[i] = h.beta2 * v->value[i] + (1 - h.beta2) * g->value[i] * g->value[i];
		p->want[i] = h.decay * p->value[i] - h.rate * atan2(m->want[i], h.denominator * sqrt(v->want[i]));
		if (average) average->want[i] = h.ema * average->value[i] + (1 - h.ema) * p->want[i];
	}
	while (everywhere(c)) c->k->adam(n, p->at, g->at, m->at, v->at, average ? average->at : 0, &h);
	judge(c, p, tolerance(HRM_F32));
	judge(c, m, tolerance(HRM_F32));
	judge(c, v, tolerance(HRM_F32));
	if (average) judge(c, average, tolerance(HRM_F32));
}

void check_sign_sgd(check *c) {
	long n = sizes(c);
	float keep = 0.99f, rate = 0.01f;
	operand *w = add(c, "w", HRM_F32, n, UPDATED), *g = add(c, "g", HRM_F32, n, INPUT);
	for (long i = 0; i < n; i++) {
		if (odds(c, 5)) set(g, i, 0);
		w->want[i] = w->value[i] * keep - (g->value[i] == 0 ? 0 : copysign(rate, g->value[i]));
	}
	while (everywhere(c)) c->k->sign_sgd(n, w->at, g->at, keep, rate);
	judge(c, w, tolerance(HRM_F32));
}
