//go:build onednn && cgo && linux

// Runs a program over one slice of rows: operands are looked up, then each opcode calls its kernel or product.
#include <string.h>
#include <time.h>
#include "kernels.h"
#include "opcodes.h"
#include "products.h"

// frame is one slice being run: n rows from first on.
typedef struct {
	const hrm_program *p;
	hrm_worker *w;
	const hrm_plan *plan;
	const hrm_instruction *i;
	long first;
	int n;
} frame;

static const hrm_value *value(const frame *f, int v) { return f->p->values + v; }

static char *address(const frame *f, int v) {
	const hrm_value *x = value(f, v);
	if (x->role == HRM_TEMPORARY) return f->w->arena + f->n * x->place;
	if (x->role == HRM_GRADIENT) return f->w->gradients[v];
	if (f->p->shadow[v] >= 0) return f->w->shadow + f->n * f->p->shadow[v];
	return f->p->bound[v] + (x->rows ? f->first * x->bytes : 0);
}

// in returns operand k's memory, or null if the instruction does without it.
static void *in(const frame *f, int k) { return f->i->in[k] < 0 ? 0 : address(f, f->i->in[k]); }
static const hrm_value *shape(const frame *f, int k) { return value(f, f->i->in[k]); }
static const hrm_value *out_shape(const frame *f) { return value(f, f->i->out); }
static void *out(const frame *f) { return address(f, f->i->out); }
static int bf(const hrm_value *v) { return v->type == HRM_BF16; }
// row returns row r of a value that has rows.
static void *row(void *base, const hrm_value *v, int r) { return base ? (char *)base + r * v->bytes : 0; }
static void *at(void *base, const hrm_value *v, long element) { return (char *)base + element * (bf(v) ? 2 : 4); }
static long all(const frame *f, const hrm_value *v) { return (v->rows ? f->n : 1) * v->elements; }

// rounded returns n weights as the activations see them: rounded to bfloat16 if those are.
static const void *rounded(const frame *f, const float *w, long n, int slot, int *type) {
	*type = bf(out_shape(f));
	if (!*type) return w;
	uint16_t *r = (uint16_t *)f->w->scratch + slot * n;
	f->p->kernels->to_bf16(n, w, r);
	return r;
}

// put_embedding writes n elements of scale*(a + b) at element i of a row of the output; b may be null.
static void put_embedding(const frame *f, void *to, long i, const float *a, const float *b, long n) {
	int abf = 0, bbf = 0;
	const void *x = rounded(f, a, n, 0, &abf), *y = b ? rounded(f, b, n, 1, &bbf) : 0;
	f->p->kernels->scale_add(n, f->i->scale, x, abf, y, bbf, at(to, out_shape(f), i), bf(out_shape(f)));
}

// embed_prefix writes the puzzle's positions: as much of its row as there is, then zeros.
static void embed_prefix(const frame *f, void *to, const float *puzzle, const float *positions) {
	long end = (long)f->i->prefix * out_shape(f)->last, have = puzzle ? shape(f, 2)->elements : 0;
	if (have > end) have = end;
	if (have) put_embedding(f, to, 0, puzzle, positions, have);
	if (positions) {
		if (end > have) put_embedding(f, to, have, positions + have, 0, end - have);
	} else {
		memset(at(to, out_shape(f), have), 0, (end - have) * (bf(out_shape(f)) ? 2 : 4));
	}
}

static int embed(const frame *f) {
	long dim = out_shape(f)->last, vocabulary = shape(f, 1)->elements / dim, tokens = shape(f, 0)->elements, prefix = f->i->prefix;
	const float *weight = in(f, 1), *positions = in(f, 3);
	for (int r = 0; r < f->n; r++) {
		const int32_t *token = row(in(f, 0), shape(f, 0), r);
		void *to = row(out(f), out_shape(f), r);
		if (prefix) embed_prefix(f, to, in(f, 2) ? row(in(f, 2), shape(f, 2), shape(f, 2)->rows ? r : 0) : 0, positions);
		for (long t = 0; t < tokens; t++) {
			if (token[t] < 0 || token[t] >= vocabulary) return HRM_BAD_TOKEN;
			long i = (prefix + t) * dim;
			put_embedding(f, to, i, weight + token[t] * dim, positions ? positions + i : 0, dim);
		}
	}
	return 0;
}

static int embed_grad_weight(const frame *f) {
	long dim = out_shape(f)->last, vocabulary = out_shape(f)->elements / dim, tokens = shape(f, 0)->elements;
	const hrm_value *d = shape(f, 1);
	float *to = out(f);
	for (int r = 0; r < f->n; r++) {
		const int32_t *token = row(in(f, 0), shape(f, 0), r);
		void *from = row(in(f, 1), d, r);
		for (long t = 0; t < tokens; t++) {
			if (token[t] < 0 || token[t] >= vocabulary) return HRM_BAD_TOKEN;
			f->p->kernels->accumulate(dim, f->i->scale, at(from, d, (f->i->prefix + t) * dim), bf(d), to + token[t] * dim);
		}
	}
	return 0;
}

static void embed_grad_puzzle(const frame *f) {
	const hrm_value *d = shape(f, 0), *o = out_shape(f);
	long used = (long)f->i->prefix * d->last;
	if (used > o->elements) used = o->elements;
	for (int r = 0; r < f->n; r++) {
		void *to = row(out(f), o, r);
		f->p->kernels->scale_add(used, f->i->scale, row(in(f, 0), d, r), bf(d), 0, 0, to, bf(o));
		memset(at(to, o, used), 0, (o->elements - used) * (bf(o) ? 2 : 4));
	}
}

static void embed_grad_positions(const frame *f) {
	const hrm_value *d = shape(f, 0);
	for (int r = 0; r < f->n; r++) f->p->kernels->accumulate(d->elements, f->i->scale, row(in(f, 0), d, r), bf(d), out(f));
}

static void reset(const frame *f) {
	const hrm_value *o = out_shape(f);
	const int32_t *halted = in(f, 2);
	for (int r = 0; r < f->n; r++) {
		void *to = row(out(f), o, r), *from = row(in(f, 0), o, r);
		if (!halted[r]) {
			if (to != from) memcpy(to, from, o->bytes);
			continue;
		}
		for (long i = 0; i < o->elements; i += o->last)
			f->p->kernels->scale_add(o->last, 1, in(f, 1), 0, 0, 0, at(to, o, i), bf(o));
	}
}

// add computes sums of three in one go over short blocks, so that the first sum is not rounded.
static void add(const frame *f) {
	const hrm_value *o = out_shape(f);
	long n = all(f, o);
	const hrm_kernels *k = f->p->kernels;
	if (!in(f, 2)) {
		k->scale_add(n, 1, in(f, 0), bf(shape(f, 0)), in(f, 1), bf(shape(f, 1)), out(f), bf(o));
		return;
	}
	for (long i = 0; i < n; i += HRM_BLOCK) {
		long m = n - i < HRM_BLOCK ? n - i : HRM_BLOCK;
		k->scale_add(m, 1, at(in(f, 0), shape(f, 0), i), bf(shape(f, 0)), at(in(f, 1), shape(f, 1), i), bf(shape(f, 1)), f->w->scratch, 0);
		k->scale_add(m, 1, f->w->scratch, 0, at(in(f, 2), shape(f, 2), i), bf(shape(f, 2)), at(out(f), o, i), bf(o));
	}
}

static int product(const frame *f, hrm_product *p) {
	void *weight = f->i->weight < 0 ? 0 : f->plan->weights[f->i->weight];
	return hrm_product_run(p, f->w->index, in(f, 0), in(f, 1), weight, out(f)) ? HRM_PRODUCT_FAILED : 0;
}

static hrm_attention_shape attention_shape(const frame *f) {
	const hrm_value *qkv = shape(f, 0), *o = out_shape(f);
	return (hrm_attention_shape){qkv->elements / qkv->last, o->elements / o->last, qkv->last / 3, f->i->heads, bf(qkv), f->i->rope};
}

static void attend(const frame *f) {
	hrm_attention_shape s = attention_shape(f);
	const hrm_value *lse = value(f, f->i->aux);
	for (int r = 0; r < f->n; r++)
		f->p->kernels->attention(&s, row(in(f, 0), shape(f, 0), r), row(out(f), out_shape(f), r),
			row(address(f, f->i->aux), lse, r), f->w->scratch);
}

static void attend_grad(const frame *f) {
	hrm_attention_shape s = attention_shape(f);
	const hrm_value *lse = value(f, f->i->aux);
	for (int r = 0; r < f->n; r++)
		f->p->kernels->attention_grad(&s, row(in(f, 0), shape(f, 0), r), row(in(f, 1), shape(f, 1), r),
			row(in(f, 2), shape(f, 2), r), row(address(f, f->i->aux), lse, r), row(out(f), out_shape(f), r), f->w->scratch);
}

// add_rmsnorm takes row by row what has more positions than the output.
static void add_rmsnorm(const frame *f) {
	const hrm_value *x = shape(f, 0), *y = shape(f, 1), *o = out_shape(f), *r = value(f, f->i->aux);
	int whole = x->elements == o->elements && y->elements == o->elements;
	for (int k = 0; k < (whole ? 1 : f->n); k++)
		f->p->kernels->rmsnorm((whole ? f->n : 1) * o->elements / o->last, o->last, f->i->epsilon, row(in(f, 0), x, k), row(in(f, 1), y, k),
			row(out(f), o, k), row(address(f, f->i->aux), r, k), bf(o));
}

static void drop_prefix(const frame *f, int gradient) {
	const hrm_value *a = shape(f, 0), *o = out_shape(f);
	for (int r = 0; r < f->n; r++) {
		char *from = row(in(f, 0), a, r), *to = row(out(f), o, r);
		if (gradient) {
			memset(to, 0, o->bytes - a->bytes);
			memcpy(to + o->bytes - a->bytes, from, a->bytes);
		} else {
			memcpy(to, from + a->bytes - o->bytes, o->bytes);
		}
	}
}

static void q_head(const frame *f) {
	const hrm_value *z = shape(f, 0);
	const float *w = in(f, 1), *b = in(f, 2);
	float *q = out(f);
	for (int r = 0; r < f->n; r++)
		for (int k = 0; k < 2; k++)
			q[2 * r + k] = f->p->kernels->dot(z->last, row(in(f, 0), z, r), bf(z), w + k * z->last) + b[k];
}

static void q_head_grad_input(const frame *f) {
	const hrm_value *o = out_shape(f);
	const float *dq = in(f, 0), *w = in(f, 1);
	float *sum = f->w->scratch;
	const hrm_kernels *k = f->p->kernels;
	for (int r = 0; r < f->n; r++) {
		void *to = row(out(f), o, r);
		if (!f->i->accumulate) memset(to, 0, o->bytes);
		k->scale_add(o->last, 1, to, bf(o), 0, 0, sum, 0);
		k->accumulate(o->last, dq[2 * r], w, 0, sum);
		k->accumulate(o->last, dq[2 * r + 1], w + o->last, 0, sum);
		k->scale_add(o->last, 1, sum, 0, 0, 0, to, bf(o));
	}
}

static void q_head_grad_weight(const frame *f) {
	const hrm_value *z = shape(f, 1);
	const float *dq = in(f, 0);
	float *to = out(f);
	for (int r = 0; r < f->n; r++)
		for (int k = 0; k < 2; k++) f->p->kernels->accumulate(z->last, dq[2 * r + k], row(in(f, 1), z, r), bf(z), to + k * z->last);
}

static void q_head_grad_bias(const frame *f) {
	const float *dq = in(f, 0);
	float *to = out(f);
	for (int i = 0; i < 2 * f->n; i++) to[i % 2] += dq[i];
}

static int token_op(const frame *f) {
	const hrm_value *x = shape(f, 0);
	hrm_token_shape s = {x->elements / x->last, x->last, f->i->softmax};
	for (int r = 0; r < f->n; r++) {
		const int32_t *labels = row(in(f, 1), shape(f, 1), r);
		void *logits = row(in(f, 0), x, r), *to = row(out(f), out_shape(f), r);
		if (!hrm_labels_fit(&s, labels)) return HRM_BAD_LABEL;
		if (f->i->op == HRM_LM_LOSS) *(float *)to = hrm_lm_loss(&s, logits, bf(x), labels);
		else if (f->i->op == HRM_TOKEN_STATS) hrm_token_stats(&s, logits, bf(x), labels, to);
		else hrm_lm_loss_grad(&s, logits, bf(x), labels, ((float *)in(f, 2))[r], to);
	}
	return 0;
}

static void q_op(const frame *f) {
	const float *q = in(f, 0), *b = in(f, 1), *c = in(f, 2), *d = in(f, 3);
	float *to = out(f);
	for (int r = 0; r < f->n; r++) {
		if (f->i->op == HRM_Q_TARGET) to[r] = hrm_q_target(q + 2 * r, ((const int32_t *)b)[r]);
		else if (f->i->op == HRM_Q_LOSS) hrm_q_loss(q + 2 * r, b + 2 * r, c ? c + r : 0, to + 2 * r);
		else hrm_q_loss_grad(q + 2 * r, b + 2 * r, c + 2 * r, d ? d + r : 0, to + 2 * r);
	}
}

static void fill(const frame *f) {
	float *to = out(f);
	for (long i = 0; i < all(f, out_shape(f)); i++) to[i] = f->i->scale;
}

static void transpose(const frame *f) {
	const hrm_value *x = shape(f, 0), *o = out_shape(f);
	for (int r = 0; r < f->n; r++)
		f->p->kernels->transpose(x->elements / x->last, x->last, row(in(f, 0), x, r), row(out(f), o, r), bf(o));
}

// part_of describes a part of a value of two dimensions, from index from of the instruction's axis on: count times, stride elements
// after one another, length elements from the one at first on.
typedef struct {
	long count, length, stride, first;
} part;

static part part_of(const frame *f, const hrm_value *whole, const hrm_value *part_shape, int from) {
	if (f->i->axis == 0) return (part){f->n, part_shape->elements, whole->elements, (long)from * whole->last};
	return (part){all(f, whole) / whole->last, part_shape->last, whole->last, from};
}

static void slice(const frame *f) {
	const hrm_value *x = shape(f, 0), *o = out_shape(f);
	part p = part_of(f, x, o, f->i->from);
	for (long k = 0; k < p.count; k++) memcpy(at(out(f), o, k * p.length), at(in(f, 0), x, k * p.stride + p.first), p.length * (bf(o) ? 2 : 4));
}

// put copies operand k into its part of the result, or adds it to that.
static void put(const frame *f, int k, int from, int add) {
	const hrm_value *x = shape(f, k), *o = out_shape(f);
	part p = part_of(f, o, x, from);
	for (long r = 0; r < p.count; r++) {
		void *to = at(out(f), o, r * p.stride + p.first), *with = at(in(f, k), x, r * p.length);
		if (add) f->p->kernels->scale_add(p.length, 1, to, bf(o), with, bf(x), to, bf(o));
		else memcpy(to, with, p.length * (bf(o) ? 2 : 4));
	}
}

static void slice_grad(const frame *f) {
	if (!f->i->accumulate) memset(out(f), 0, all(f, out_shape(f)) * (bf(out_shape(f)) ? 2 : 4));
	put(f, 0, f->i->from, f->i->accumulate);
}

static void join(const frame *f) {
	int from = 0;
	for (int k = 0; k < f->i->in_count; k++) {
		const hrm_value *x = shape(f, k);
		put(f, k, from, 0);
		from += f->i->axis == 0 ? x->elements / x->last : x->last;
	}
}

// each says whether operand k has one number for each position of a wider value.
static int each(const frame *f, const hrm_value *w, int k) { return w->last < shape(f, k)->last; }

// choose is what chooses positions, row by row.
static void choose(const frame *f) {
	const hrm_instruction *i = f->i;
	const hrm_value *a = shape(f, 0), *o = out_shape(f);
	hrm_token_shape s = {a->elements / a->last, a->last, 0};
	for (int r = 0; r < f->n; r++) {
		void *x = row(in(f, 0), a, r), *y = i->in[1] < 0 ? 0 : row(in(f, 1), shape(f, 1), r), *to = row(out(f), o, r);
		if (i->op == HRM_TOP_K) hrm_top_k(o->elements, i->count, x, y, to, bf(o));
		else if (i->op == HRM_UNPREDICTED) hrm_unpredicted(&s, i->prefix, x, y, to, bf(o));
		else hrm_next_tokens(o->elements, i->prefix, x, y, y && bf(shape(f, 1)), to);
	}
}

static void squared_error(const frame *f) {
	const hrm_value *a = shape(f, 0);
	for (int r = 0; r < f->n; r++) {
		void *x = row(in(f, 0), a, r), *y = row(in(f, 1), a, r), *to = row(out(f), out_shape(f), r);
		if (f->i->op == HRM_SQUARED_ERROR) *(float *)to = hrm_squared_error(a->elements, x, y, bf(a));
		else hrm_squared_error_grad(a->elements, x, y, ((float *)in(f, 2))[r], to, bf(a));
	}
}

static void recall(const frame *f) {
	const hrm_instruction *i = f->i;
	const hrm_value *past = shape(f, 0), *query = shape(f, 1), *o = out_shape(f);
	hrm_recall_shape s = {past->elements / past->last, i->count, past->last, i->scale, i->decay, bf(past)};
	for (int r = 0; r < f->n; r++) {
		void *x = row(in(f, 0), past, r), *q = row(in(f, 1), query, r), *to = row(out(f), o, r);
		if (i->op == HRM_RECALL) hrm_recall(f->p->kernels, &s, x, q, to, f->w->scratch);
		else hrm_recall_grad_past(f->p->kernels, &s, x, q, row(in(f, 2), query, r), to, i->accumulate, f->w->scratch);
	}
}

static long lines(const frame *f, const hrm_value *v) { return all(f, v) / v->last; }

static int execute(const frame *f, hrm_product *p) {
	const hrm_kernels *k = f->p->kernels;
	const hrm_instruction *i = f->i;
	switch (i->op) {
	case HRM_EMBED: return embed(f);
	case HRM_EMBED_GRAD_WEIGHT: return embed_grad_weight(f);
	case HRM_EMBED_GRAD_PUZZLE: embed_grad_puzzle(f); break;
	case HRM_EMBED_GRAD_POSITIONS: embed_grad_positions(f); break;
	case HRM_RESET: reset(f); break;
	case HRM_ADD: add(f); break;
	case HRM_LINEAR:
	case HRM_LINEAR_GRAD_INPUT:
	case HRM_LINEAR_GRAD_WEIGHT: return product(f, p);
	case HRM_ATTENTION: attend(f); break;
	case HRM_ATTENTION_GRAD: attend_grad(f); break;
	case HRM_ADD_RMSNORM: add_rmsnorm(f); break;
	case HRM_ADD_RMSNORM_GRAD:
		k->rmsnorm_grad(lines(f, out_shape(f)), out_shape(f)->last, in(f, 0), in(f, 1), (float *)address(f, i->aux), out(f), bf(out_shape(f)));
		break;
	case HRM_SWIGLU: k->swiglu(lines(f, out_shape(f)), out_shape(f)->last, in(f, 0), out(f), bf(out_shape(f))); break;
	case HRM_SWIGLU_GRAD: k->swiglu_grad(lines(f, shape(f, 1)), shape(f, 1)->last, in(f, 0), in(f, 1), out(f), bf(out_shape(f))); break;
	case HRM_DROP_PREFIX: drop_prefix(f, 0); break;
	case HRM_DROP_PREFIX_GRAD: drop_prefix(f, 1); break;
	case HRM_Q_HEAD: q_head(f); break;
	case HRM_Q_HEAD_GRAD_INPUT: q_head_grad_input(f); break;
	case HRM_Q_HEAD_GRAD_WEIGHT: q_head_grad_weight(f); break;
	case HRM_Q_HEAD_GRAD_BIAS: q_head_grad_bias(f); break;
	case HRM_LM_LOSS:
	case HRM_LM_LOSS_GRAD:
	case HRM_TOKEN_STATS: return token_op(f);
	case HRM_Q_TARGET:
	case HRM_Q_LOSS:
	case HRM_Q_LOSS_GRAD: q_op(f); break;
	case HRM_FILL: fill(f); break;
	case HRM_TRANSPOSE: transpose(f); break;
	case HRM_GATE: k->gate(all(f, out_shape(f)), in(f, 0), in(f, 1), in(f, 2), out(f), bf(out_shape(f))); break;
	case HRM_GATE_GRAD_GATE: k->gate_grad_gate(all(f, out_shape(f)), in(f, 0), in(f, 1), in(f, 2), in(f, 3), out(f), bf(out_shape(f))); break;
	case HRM_GATE_GRAD_INPUT: k->gate_grad_input(all(f, out_shape(f)), i->scale, in(f, 0), in(f, 1), out(f), bf(out_shape(f))); break;
	case HRM_SLICE: slice(f); break;
	case HRM_SLICE_GRAD: slice_grad(f); break;
	case HRM_JOIN: join(f); break;
	case HRM_ACTIVATE: k->activate(all(f, out_shape(f)), i->function, in(f, 0), out(f), bf(out_shape(f))); break;
	case HRM_ACTIVATE_GRAD: k->activate_grad(all(f, out_shape(f)), i->function, i->scale, in(f, 0), in(f, 1), out(f), bf(out_shape(f))); break;
	case HRM_MULTIPLY:
		k->multiply(lines(f, out_shape(f)), out_shape(f)->last, each(f, shape(f, 1), 0), i->complement, in(f, 0), in(f, 1), out(f), bf(out_shape(f)));
		break;
	case HRM_BLEND:
		k->blend(lines(f, out_shape(f)), out_shape(f)->last, each(f, shape(f, 0), 1), in(f, 0), in(f, 1), in(f, 2), out(f), bf(out_shape(f)));
		break;
	case HRM_BLEND_GRAD_WEIGHT:
		k->blend_grad_weight(lines(f, shape(f, 0)), shape(f, 0)->last, each(f, out_shape(f), 0), in(f, 0), in(f, 1), in(f, 2), out(f), bf(out_shape(f)));
		break;
	case HRM_TOP_K:
	case HRM_UNPREDICTED:
	case HRM_NEXT_TOKENS: choose(f); break;
	case HRM_SQUARED_ERROR:
	case HRM_SQUARED_ERROR_GRAD: squared_error(f); break;
	case HRM_APPEND: put(f, 0, i->from, 0); break;
	case HRM_RECALL:
	case HRM_RECALL_GRAD_PAST: recall(f); break;
	}
	return 0;
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

// keep_inputs copies the inputs that an output of the same array overwrites too early.
static void keep_inputs(const hrm_program *p, hrm_worker *w, long first, int n) {
	for (int v = 0; v < p->value_count; v++) {
		const hrm_value *x = p->values + v;
		if (p->shadow[v] >= 0) memcpy(w->shadow + n * p->shadow[v], p->bound[v] + first * x->bytes, n * x->bytes);
	}
}

int hrm_run_slice(const hrm_program *p, hrm_worker *w, const hrm_plan *plan, long first, int n) {
	frame f = {p, w, plan, 0, first, n};
	keep_inputs(p, w, first, n);
	for (int i = 0; i < p->instruction_count; i++) {
		f.i = p->instructions + i;
		double start = p->profile ? now() : 0;
		int failure = execute(&f, plan->products[i]);
		if (failure) return HRM_REASONS * i + failure;
		if (p->profile) w->seconds[i] += now() - start;
	}
	w->slices++;
	return 0;
}
