// Attention and its gradient: one query at a time, from the formulas.
#include <math.h>
#include <stdlib.h>
#include "check.h"

// sizes draws a shape. Every fourth round takes one at the borders of the kernels' blocks of queries and keys.
static hrm_attention_shape sizes(check *c) {
	static const int borders[] = {HRM_QUERIES - 1, HRM_QUERIES, HRM_QUERIES + 1, 2 * HRM_QUERIES, 2 * HRM_QUERIES + 1,
		HRM_KEYS - 1, HRM_KEYS, HRM_KEYS + 1, HRM_KEYS + HRM_QUERIES + 5, 2 * HRM_KEYS + 1};
	static const int wide[] = {4, 8, 16, 32, 64};
	int positions = 1 + draw(c, 40), d = odds(c, 2) ? 1 + draw(c, 80) : wide[draw(c, 5)], heads = 1 + draw(c, 3);
	if (c->round % 4 == 3) {
		positions = borders[c->round / 4 % 10];
		d = 16 + draw(c, 20);
		heads = 1;
	}
	return (hrm_attention_shape){positions, positions, heads * d, heads, draw(c, 2) ? HRM_BF16 : HRM_F32, 0};
}

// add_rope gives half of the shapes whose heads have an even width a table of angles.
static operand *add_rope(check *c, const hrm_attention_shape *s) {
	int half = s->width / s->heads / 2, t = s->positions;
	if (s->width / s->heads % 2 || odds(c, 2)) return 0;
	operand *o = add(c, "rope", HRM_F32, 2L * t * half, INPUT);
	for (int i = 0; i < t * half; i++) {
		double angle = i / half * pow(10000, -(double)(i % half) / half);
		set(o, i, cos(angle));
		set(o, t * half + i, sin(angle));
	}
	return o;
}

// turn rotates the rows of x [T, d], backwards if sign is -1.
static void turn(const hrm_attention_shape *s, const operand *rope, double *x, double sign) {
	int d = s->width / s->heads, half = d / 2;
	for (int i = 0; rope && i < s->positions * half; i++) {
		double *a = x + i / half * d + i % half, *b = a + half, p = *a, q = *b;
		double cosine = rope->value[i], sine = sign * rope->value[s->positions * half + i];
		*a = p * cosine - q * sine;
		*b = q * cosine + p * sine;
	}
}

// head copies one head of columns out of x [T, width] that begin at first.
static double *head(const hrm_attention_shape *s, const double *x, int width, int first) {
	int d = s->width / s->heads;
	double *to = malloc(sizeof *to * s->positions * d);
	for (int i = 0; i < s->positions * d; i++) to[i] = x[(long)(i / d) * width + first + i % d];
	return to;
}

static double dot(int n, const double *a, const double *b) {
	double sum = 0;
	for (int i = 0; i < n; i++) sum += a[i] * b[i];
	return sum;
}

// probabilities of one query into p [T]; it returns their log-sum-exp.
static double softmax(int T, int d, const double *q, const double *k, double *p) {
	double top = -INFINITY, sum = 0;
	for (int j = 0; j < T; j++) top = fmax(top, p[j] = dot(d, q, k + (long)j * d) / sqrt(d));
	for (int j = 0; j < T; j++) sum += p[j] = exp(p[j] - top);
	for (int j = 0; j < T; j++) p[j] /= sum;
	return top + log(sum);
}

// attend fills out [Q, D] and lse [h, Q].
static void attend(const hrm_attention_shape *s, const double *qkv, const operand *rope, double *out, double *lse) {
	int T = s->positions, D = s->width, d = D / s->heads;
	double *p = malloc(sizeof *p * T);
	for (int h = 0; h < s->heads; h++) {
		double *q = head(s, qkv, 3 * D, h * d), *k = head(s, qkv, 3 * D, D + h * d), *v = head(s, qkv, 3 * D, 2 * D + h * d);
		turn(s, rope, q, 1);
		turn(s, rope, k, 1);
		for (int i = 0; i < s->queries; i++) {
			lse[h * s->queries + i] = softmax(T, d, q + (long)i * d, k, p);
			double *o = out + (long)i * D + h * d;
			for (int m = 0; m < d; m++) o[m] = 0;
			for (int j = 0; j < T; j++)
				for (int m = 0; m < d; m++) o[m] += p[j] * v[(long)j * d + m];
		}
		free(q);
		free(k);
		free(v);
	}
	free(p);
}

// put_head is the inverse of head.
static void put_head(const hrm_attention_shape *s, const double *from, double *x, int width, int first) {
	int d = s->width / s->heads;
	for (int i = 0; i < s->positions * d; i++) x[(long)(i / d) * width + first + i % d] = from[i];
}

static void attend_grad_head(const hrm_attention_shape *s, int h, const double *qkv, const operand *rope, const double *out,
	const double *dout, double *dqkv) {
	int T = s->positions, D = s->width, d = D / s->heads;
	double *q = head(s, qkv, 3 * D, h * d), *k = head(s, qkv, 3 * D, D + h * d), *v = head(s, qkv, 3 * D, 2 * D + h * d);
	double *p = malloc(sizeof *p * T), *dq = calloc(T * d, sizeof *dq), *dk = calloc(T * d, sizeof *dk), *dv = calloc(T * d, sizeof *dv);
	turn(s, rope, q, 1);
	turn(s, rope, k, 1);
	for (int i = 0; i < T; i++) {
		const double *g = dout + (long)i * D + h * d;
		softmax(T, d, q + (long)i * d, k, p);
		double delta = dot(d, g, out + (long)i * D + h * d);
		for (int j = 0; j < T; j++) {
			double ds = p[j] * (dot(d, g, v + (long)j * d) - delta) / sqrt(d);
			for (int m = 0; m < d; m++) {
				dq[(long)i * d + m] += ds * k[(long)j * d + m];
				dk[(long)j * d + m] += ds * q[(long)i * d + m];
				dv[(long)j * d + m] += p[j] * g[m];
			}
		}
	}
	turn(s, rope, dq, -1);
	turn(s, rope, dk, -1);
	put_head(s, dq, dqkv, 3 * D, h * d);
	put_head(s, dk, dqkv, 3 * D, D + h * d);
	put_head(s, dv, dqkv, 3 * D, 2 * D + h * d);
	for (double **x = (double *[]){q, k, v, p, dq, dk, dv, 0}; *x; x++) free(*x);
}

// allowed is the tolerance. The products of few elements have the largest scores, and where those are of bfloat16, what
// rounding q and k after RoPE changes in a score is that much of the probability.
static double allowed(const hrm_attention_shape *s) { return s->bf && s->width / s->heads < 16 ? 5e-2 : tolerance(s->bf); }

// add_qkv adds what both kernels read, and their scratch.
static operand *add_qkv(check *c, const hrm_attention_shape *s, operand **rope, operand **scratch) {
	describe(c, "%d of %d positions, %d heads of %d, bf %d", s->queries, s->positions, s->heads, s->width / s->heads, s->bf);
	*rope = add_rope(c, s);
	*scratch = add(c, "scratch", HRM_F32, hrm_attention_scratch(s) / 4, SCRATCH);
	return add(c, "qkv", s->bf, 3L * s->positions * s->width, INPUT);
}

void check_attention(check *c) {
	hrm_attention_shape s = sizes(c);
	if (odds(c, 3)) s.queries = 1 + draw(c, s.positions);
	operand *rope, *scratch, *qkv = add_qkv(c, &s, &rope, &scratch);
	operand *out = add(c, "out", s.bf, (long)s.queries * s.width, OUTPUT), *lse = add(c, "lse", HRM_F32, (long)s.heads * s.queries, OUTPUT);
	while (everywhere(c)) {
		if (rope) s.rope = rope->at;
		c->k->attention(&s, qkv->at, out->at, lse->at, scratch->at);
	}
	attend(&s, qkv->value, rope, out->want, lse->want);
	judge(c, out, allowed(&s));
	judge(c, lse, allowed(&s));
}

void check_attention_grad(check *c) {
	hrm_attention_shape s = sizes(c);
	operand *rope, *scratch, *qkv = add_qkv(c, &s, &rope, &scratch);
	operand *out = add(c, "out", s.bf, (long)s.positions * s.width, INPUT), *lse = add(c, "lse", HRM_F32, (long)s.heads * s.positions, INPUT);
	operand *dout = add(c, "dout", s.bf, out->n, INPUT), *dqkv = add(c, "dqkv", s.bf, qkv->n, OUTPUT);
	attend(&s, qkv->value, rope, out->want, lse->want);
	for (long i = 0; i < out->n; i++) set(out, i, out->want[i]);
	for (long i = 0; i < lse->n; i++) set(lse, i, lse->want[i]);
	while (everywhere(c)) {
		if (rope) s.rope = rope->at;
		c->k->attention_grad(&s, qkv->at, out->at, dout->at, lse->at, dqkv->at, scratch->at);
	}
	for (int h = 0; h < s.heads; h++) attend_grad_head(&s, h, qkv->value, rope, out->value, dout->value, dqkv->want);
	judge(c, dqkv, allowed(&s));
}
