// The losses.
#include <limits.h>
#include <math.h>
#include "check.h"

// tokens are the operands of the token losses.
typedef struct {
	hrm_token_shape s;
	operand *logits, *labels;
} tokens;

static tokens add_tokens(check *c) {
	tokens t = {.s = {draw(c, 30), 1 + draw(c, 20), draw(c, 2)}};
	int type = draw(c, 2) ? HRM_BF16 : HRM_F32;
	describe(c, "%d tokens of %d, softmax %d, bf %d", t.s.tokens, t.s.vocabulary, t.s.softmax, type);
	t.logits = add(c, "logits", type, (long)t.s.tokens * t.s.vocabulary, INPUT);
	t.labels = add(c, "labels", HRM_I32, t.s.tokens, INPUT);
	for (int i = 0; i < t.s.tokens; i++) set(t.labels, i, odds(c, 4) ? -100 : draw(c, t.s.vocabulary));
	return t;
}

static int counted(const tokens *t) {
	int n = 0;
	for (int i = 0; i < t->s.tokens; i++) n += t->labels->value[i] >= 0;
	return n;
}

// weight is what a logit counts in the denominator, slope its derivative.
static double weight(const tokens *t, double x) { return t->s.softmax ? exp(x) : x < 0 ? 1 / (1 - x) : 1 + x; }
static double slope(const tokens *t, double x) { return t->s.softmax ? exp(x) : x < 0 ? 1 / ((1 - x) * (1 - x)) : 1; }

static double denominator(const tokens *t, int token) {
	double sum = 0;
	for (int j = 0; j < t->s.vocabulary; j++) sum += weight(t, t->logits->value[token * t->s.vocabulary + j]);
	return sum;
}

void check_labels_fit(check *c) {
	tokens t = add_tokens(c);
	operand *fit = add(c, "fit", HRM_I32, 1, OUTPUT);
	fit->want[0] = 1;
	const double wrong[] = {-1, -99, -101, t.s.vocabulary, INT_MIN, INT_MAX};
	if (t.s.tokens && odds(c, 2)) {
		set(t.labels, draw(c, t.s.tokens), wrong[draw(c, 6)]);
		fit->want[0] = 0;
	}
	while (everywhere(c)) *(int32_t *)fit->at = hrm_labels_fit(&t.s, t.labels->at);
	judge(c, fit, 0);
}

void check_lm_loss(check *c) {
	tokens t = add_tokens(c);
	operand *loss = add(c, "loss", HRM_F32, 1, OUTPUT);
	while (everywhere(c)) *(float *)loss->at = hrm_lm_loss(&t.s, t.logits->at, t.logits->type, t.labels->at);
	for (int i = 0; i < t.s.tokens; i++) {
		int label = t.labels->value[i];
		if (label >= 0) loss->want[0] -= log(weight(&t, t.logits->value[i * t.s.vocabulary + label]) / denominator(&t, i)) / counted(&t);
	}
	judge(c, loss, tolerance(HRM_F32));
}

void check_lm_loss_grad(check *c) {
	tokens t = add_tokens(c);
	operand *out = add(c, "out", t.logits->type, t.logits->n, OUTPUT);
	float dloss = 1.5f;
	while (everywhere(c)) hrm_lm_loss_grad(&t.s, t.logits->at, t.logits->type, t.labels->at, dloss, out->at);
	for (long i = 0; i < out->n; i++) {
		int token = i / t.s.vocabulary, label = t.labels->value[token];
		double x = t.logits->value[i], here = i % t.s.vocabulary == label;
		if (label >= 0) out->want[i] = dloss / counted(&t) * (slope(&t, x) / denominator(&t, token) - here * slope(&t, x) / weight(&t, x));
	}
	judge(c, out, tolerance(out->type));
}

void check_token_stats(check *c) {
	tokens t = add_tokens(c);
	operand *out = add(c, "out", HRM_F32, 2, OUTPUT);
	while (everywhere(c)) hrm_token_stats(&t.s, t.logits->at, t.logits->type, t.labels->at, out->at);
	for (int i = 0; i < t.s.tokens; i++) {
		const double *x = t.logits->value + i * t.s.vocabulary;
		int label = t.labels->value[i], best = label >= 0;
		// The first of the largest logits is the answer.
		for (int j = 0; label >= 0 && j < t.s.vocabulary; j++) best &= j < label ? x[j] < x[label] : x[j] <= x[label];
		out->want[0] += best;
	}
	out->want[1] = counted(&t);
	judge(c, out, 0);
}

void check_squared_error(check *c) {
	long n = 1 + draw(c, 300);
	int type = draw(c, 2) ? HRM_BF16 : HRM_F32;
	describe(c, "%ld, bf %d", n, type);
	operand *x = add(c, "x", type, n, INPUT), *y = add(c, "y", type, n, INPUT), *out = add(c, "loss", HRM_F32, 1, OUTPUT);
	while (everywhere(c)) *(float *)out->at = hrm_squared_error(n, x->at, y->at, type);
	for (long i = 0; i < n; i++) out->want[0] += pow(x->value[i] - y->value[i], 2) / n;
	judge(c, out, tolerance(HRM_F32));
}

void check_squared_error_grad(check *c) {
	long n = draw(c, 300);
	int type = draw(c, 2) ? HRM_BF16 : HRM_F32;
	describe(c, "%ld, bf %d", n, type);
	operand *x = add(c, "x", type, n, INPUT), *y = add(c, "y", type, n, INPUT), *out = add(c, "dx", type, n, OUTPUT);
	float dloss = 1.5f;
	while (everywhere(c)) hrm_squared_error_grad(n, x->at, y->at, dloss, out->at, type);
	for (long i = 0; i < n; i++) out->want[i] = 2 * dloss * (x->value[i] - y->value[i]) / n;
	judge(c, out, tolerance(type));
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static double cross_entropy(double x, double target) { return -target * log(sigmoid(x)) - (1 - target) * log(sigmoid(-x)); }

void check_q_target(check *c) {
	int last = draw(c, 2);
	describe(c, "last %d", last);
	operand *q = add(c, "q", HRM_F32, 2, INPUT), *out = add(c, "target", HRM_F32, 1, OUTPUT);
	while (everywhere(c)) *(float *)out->at = hrm_q_target(q->at, last);
	out->want[0] = last ? sigmoid(q->value[0]) : fmax(sigmoid(q->value[0]), sigmoid(q->value[1]));
	judge(c, out, tolerance(HRM_F32));
}

// add_q adds q, statistics of which all or not all tokens are right, and a target, or none.
static void add_q(check *c, operand **q, operand **stats, operand **target) {
	*q = add(c, "q", HRM_F32, 2, INPUT);
	*stats = add(c, "stats", HRM_F32, 2, INPUT);
	set(*stats, 1, 1 + draw(c, 9));
	set(*stats, 0, (*stats)->value[1] - draw(c, 2));
	*target = odds(c, 3) ? 0 : add(c, "target", HRM_F32, 1, INPUT);
	if (*target) set(*target, 0, sigmoid((*target)->value[0]));
	describe(c, "%s target", *target ? "a" : "no");
}

void check_q_loss(check *c) {
	operand *q, *stats, *target;
	add_q(c, &q, &stats, &target);
	operand *out = add(c, "out", HRM_F32, 2, OUTPUT);
	while (everywhere(c)) hrm_q_loss(q->at, stats->at, target ? target->at : 0, out->at);
	out->want[0] = cross_entropy(q->value[0], stats->value[0] == stats->value[1]);
	if (target) out->want[1] = cross_entropy(q->value[1], target->value[0]);
	judge(c, out, tolerance(HRM_F32));
}

void check_q_loss_grad(check *c) {
	operand *q, *stats, *target;
	add_q(c, &q, &stats, &target);
	operand *dloss = add(c, "dloss", HRM_F32, 2, INPUT), *out = add(c, "out", HRM_F32, 2, OUTPUT);
	while (everywhere(c)) hrm_q_loss_grad(q->at, stats->at, dloss->at, target ? target->at : 0, out->at);
	out->want[0] = dloss->value[0] * (sigmoid(q->value[0]) - (stats->value[0] == stats->value[1]));
	if (target) out->want[1] = dloss->value[1] * (sigmoid(q->value[1]) - target->value[0]);
	judge(c, out, tolerance(HRM_F32));
}
