// Attention (attention.h has the shapes) over bfloat16 activations where the processor multiplies bfloat16: as the official
// code does, q and k are rounded after RoPE, probabilities before they meet v, and all sums are float32.
//
// Products sum over pairs of elements, so that what they sum over lies in pairs, 32 bits each:
//
//	rows   [T, pairs of d]   q, do                 left side of a sum over d
//	across [pairs of d, Tp]  k, v                  right side of a sum over d
//	down   [pairs of T, dp]  q, k, v, do           right side of a sum over positions
//
// Scores are made for some queries and HRM_KEYS keys at a time, with a running maximum and sum, so that they stay in the
// nearest cache however long the sequence.

#define LOG2E 1.44269504f
// NOTHING is the maximum of no scores.
#define NOTHING -1e30f

// extents are the sizes of one head: wide and dp are pairs and d rounded up to whole vectors, halves the pairs of positions.
typedef struct {
	int T, Tp, d, dp, pairs, wide, halves;
	float scale;
} extents;

INLINE extents extents_of(const hrm_attention_shape *s) {
	int d = s->width / s->heads, pairs = (d + 1) / 2;
	return (extents){s->positions, ROUND_UP(s->positions), d, ROUND_UP(d), pairs, ROUND_UP(pairs), (s->positions + 1) / 2, 1 / sqrtf(d)};
}

// turned reads two halves of a head's row x, L elements at i of each, and writes them turned by the angles of position t.
INLINE void turned(const hrm_attention_shape *s, const uint16_t *x, uint16_t *to, int i, int half, int t, int rope) {
	vf a = widen(*(const vh_mem *)(x + i)), b = widen(*(const vh_mem *)(x + i + half)), c = a, d = b;
	if (rope) {
		vf cosine = load(s->rope + (long)t * half + i), sine = load(s->rope + (long)(s->positions + t) * half + i);
		c = a * cosine - b * sine;
		d = b * cosine + a * sine;
	}
	*(vh_mem *)(to + i) = narrow(c);
	*(vh_mem *)(to + i + half) = narrow(d);
}

// turned_short is turned for a whole row that is one vector.
INLINE void turned_short(const hrm_attention_shape *s, const uint16_t *x, uint16_t *to, int t, int rope) {
	vf v = widen(*(const vh_mem *)x);
	if (rope) v = turn_short(v, s->rope + (long)t * (L / 2), s->rope + (long)(s->positions + t) * (L / 2), 1);
	*(vh_mem *)to = narrow(v);
}

// turned_odd is turned for a whole row whose halves are no whole vectors.
INLINE void turned_odd(const hrm_attention_shape *s, const extents *e, const uint16_t *x, uint16_t *to, int t, int rope) {
	float wide[e->dp];
	for (int i = 0; i < e->d; i += L) store(wide + i, load_act(x, i, e->d - i, 1));
	if (rope) turn_row(s, wide, e->d / 2, t, 1);
	for (int i = 0; i < e->dp; i += L) *(vh_mem *)(to + i) = narrow(load(wide + i));
}

// load_rows reads one head of src (stride elements apart), turned if rope is set, as rows [T, wide].
INLINE void load_rows(const hrm_attention_shape *s, const extents *e, const uint16_t *src, long stride, float *dst, int rope) {
	int half = e->d / 2, even = e->d % (2 * L) == 0;
	for (int t = 0; t < e->T; t++) {
		const uint16_t *x = src + t * stride;
		uint16_t *to = (uint16_t *)(dst + (long)t * e->wide);
		for (int i = 0; even && i < half; i += L) turned(s, x, to, i, half, t, rope);
		if (e->d == L) turned_short(s, x, to, t, rope);
		else if (!even) turned_odd(s, e, x, to, t, rope);
		for (int i = e->dp; i < 2 * e->wide; i += L) *(vh_mem *)(to + i) = (vh){};
	}
}

// across turns rows into [wide, Tp]; columns from T on are zero.
INLINE void across(const extents *e, const float *rows, float *dst) { transpose(rows, e->T, e->wide, dst, e->Tp); }

// interleave pairs two vectors of bfloat16: lane i is a[i] below b[i].
INLINE vf interleave(vh a, vh b) {
	return (vf)((vu)_mm512_cvtepu16_epi32((__m256i)a) | (vu)_mm512_cvtepu16_epi32((__m256i)b) << 16);
}

// down turns rows into [halves, dp]; a position beyond T is zero.
INLINE void down(const extents *e, const float *rows, float *dst) {
	for (int t = 0; t < e->T; t += 2) {
		const uint16_t *a = (const uint16_t *)(rows + (long)t * e->wide), *b = a + 2 * e->wide;
		for (int i = 0; i < e->dp; i += L) {
			vh next = {};
			if (t + 1 < e->T) next = *(const vh_mem *)(b + i);
			store(dst + (long)(t / 2) * e->dp + i, interleave(*(const vh_mem *)(a + i), next));
		}
	}
}

// attend_block replaces a row of n scores by 2^(scale*(score - *top)) in bfloat16, *top being the largest score so far, adds
// their sum to *total, and returns by what the earlier part of both sums has to be multiplied.
INLINE float attend_block(float *row, int n, float scale, float *top, float *total) {
	vf most = load(row);
	for (int j = L; j < n; j += L) most = vmax(most, load(row + j));
	float before = *top, now = max_lanes(most);
	if (now < before) now = before;
	vf sum = splat(0), shift = splat(now * scale);
	for (int j = 0; j < n; j += L) {
		vf p = vexp2(load(row + j) * scale - shift);
		sum += p;
		*(vh_mem *)((uint16_t *)row + j) = narrow(p);
	}
	float keep = before == NOTHING ? 0 : exp2f((before - now) * scale);
	*total = *total * keep + sum_lanes(sum);
	*top = now;
	return keep;
}

// finish divides n rows of sums o by their totals into out, and writes their log-sum-exp.
INLINE void finish(const extents *e, int n, const float *top, const float *total, const float *o, uint16_t *out, long stride, float *lse) {
	for (int i = 0; i < n; i += L) store_act(lse, i, n - i, load(top + i) * e->scale + vlog(load(total + i)), 0);
	for (int i = 0; i < n; i++) {
		float share = 1 / total[i];
		for (int j = 0; j < e->d; j += L) store_act(out, i * stride + j, e->d - j, share * load(o + (long)i * e->dp + j), 1);
	}
}

static void attention_bf16(const hrm_attention_shape *s, const uint16_t *qkv, uint16_t *out, float *lse, float *scratch) {
	extents e = extents_of(s);
	int D = s->width, Q = s->queries;
	vf pad = padding(e.T, e.Tp);
	float *q = scratch, *k = q + (long)e.T * e.wide, *kt = k + (long)e.T * e.wide, *v = kt + (long)e.wide * e.Tp;
	float *scores = v + (long)e.halves * e.dp, *o = scores + (long)HRM_QUERIES * HRM_KEYS;
	float top[HRM_QUERIES] = {0}, total[HRM_QUERIES];
	for (int i = 0; i < HRM_QUERIES; i++) total[i] = 1;
	for (int h = 0; h < s->heads; h++) {
		const uint16_t *head = qkv + (long)h * e.d;
		load_rows(s, &e, head + 2L * D, 3L * D, k, 0);
		down(&e, k, v);
		load_rows(s, &e, head + D, 3L * D, k, s->rope != 0);
		across(&e, k, kt);
		load_rows(s, &e, head, 3L * D, q, s->rope != 0);
		for (int first = 0; first < Q; first += HRM_QUERIES) {
			int n = Q - first < HRM_QUERIES ? Q - first : HRM_QUERIES;
			for (int i = 0; i < n; i++) top[i] = NOTHING, total[i] = 0;
			for (int key = 0; key < e.Tp; key += HRM_KEYS) {
				int keys = e.Tp - key < HRM_KEYS ? e.Tp - key : HRM_KEYS, last = key + keys == e.Tp;
				matmul_pairs(n, keys, e.pairs, q + (long)first * e.wide, e.wide, 1, kt + key, e.Tp, scores, HRM_KEYS, 0);
				for (int i = 0; i < n; i++) {
					float *row = scores + (long)i * HRM_KEYS;
					if (last) store(row + keys - L, load(row + keys - L) + pad);
					float keep = attend_block(row, keys, e.scale * LOG2E, top + i, total + i);
					for (int j = 0; key && j < e.dp; j += L) store(o + (long)i * e.dp + j, keep * load(o + (long)i * e.dp + j));
				}
				matmul_pairs(n, e.dp, last ? e.halves - key / 2 : keys / 2, scores, HRM_KEYS, 1, v + (long)(key / 2) * e.dp, e.dp, o, e.dp, key > 0);
			}
			finish(&e, n, top, total, o, out + (long)first * D + (long)h * e.d, D, lse + (long)h * Q + first);
		}
	}
}

// pair_grad turns the scores and dP of two queries into P and dS = P*(dP - delta), both [Tp] in pairs of the queries, and
// leaves dS in pairs of keys in place of dP. The second query is left out if its lse is null.
INLINE void pair_grad(const float *scores, float *dp, long stride, int Tp, vi live, float scale, const float *lse, const float *delta, int both,
	float *p_pairs, float *ds_pairs) {
	float a = lse[0] * LOG2E, b = both ? lse[1] * LOG2E : 0;
	for (int j = 0; j < Tp; j += L) {
		vf p = vexp2(load(scores + j) * scale - a), r = splat(0), ds, dr = splat(0);
		if (j + L == Tp) p = (vf)((vi)p & live);
		ds = p * (load(dp + j) - delta[0]);
		if (both) {
			r = vexp2(load(scores + stride + j) * scale - b);
			if (j + L == Tp) r = (vf)((vi)r & live);
			dr = r * (load(dp + stride + j) - delta[1]);
		}
		vh ds_short = narrow(ds), dr_short = narrow(dr);
		store(p_pairs + j, interleave(narrow(p), narrow(r)));
		store(ds_pairs + j, interleave(ds_short, dr_short));
		*(vh_mem *)((uint16_t *)dp + j) = ds_short;
		if (both) *(vh_mem *)((uint16_t *)(dp + stride) + j) = dr_short;
	}
}

// delta_of is do·out of n positions from first on.
INLINE void delta_of(const extents *e, const uint16_t *out, const uint16_t *dout, long stride, int first, int n, float *delta) {
	for (int i = 0; i < n; i++) {
		vf sum = splat(0);
		long at = (first + i) * stride;
		for (int j = 0; j < e->d; j += L) sum += load_act(out, at + j, e->d - j, 1) * load_act(dout, at + j, e->d - j, 1);
		delta[i] = sum_lanes(sum);
	}
}

INLINE void scaled(long n, float scale, float *x) {
	for (long i = 0; i < n; i += L) store(x + i, scale * load(x + i));
}

static void attention_grad_bf16(const hrm_attention_shape *s, const uint16_t *qkv, const uint16_t *out, const uint16_t *dout, const float *lse,
	uint16_t *dqkv, float *scratch) {
	extents e = extents_of(s);
	int D = s->width, queries = e.Tp <= 2 * HRM_QUERIES ? HRM_QUERIES : HRM_QUERIES / 2;
	long rows = (long)e.T * e.wide, flat = (long)e.halves * e.dp, full = (long)e.T * e.dp, turned = (long)e.wide * e.Tp;
	float *q = scratch, *g = q + rows, *x = g + rows, *kt = x + rows, *vt = kt + turned;
	float *q2 = vt + turned, *k2 = q2 + flat, *g2 = k2 + flat, *dq = g2 + flat, *dk = dq + full, *dv = dk + full;
	float *scores = dv + full, *ds = scores + (long)queries * e.Tp, *pp = ds + (long)queries * e.Tp, *dsp = pp + (long)queries / 2 * e.Tp;
	float delta[HRM_QUERIES];
	vi live = padding(e.T, e.Tp) == 0;
	for (int h = 0; h < s->heads; h++) {
		long head = (long)h * e.d;
		load_rows(s, &e, qkv + head + 2L * D, 3L * D, x, 0);
		across(&e, x, vt);
		load_rows(s, &e, qkv + head + D, 3L * D, x, s->rope != 0);
		across(&e, x, kt);
		down(&e, x, k2);
		load_rows(s, &e, qkv + head, 3L * D, q, s->rope != 0);
		down(&e, q, q2);
		load_rows(s, &e, dout + head, D, g, 0);
		down(&e, g, g2);
		for (int first = 0; first < e.T; first += queries) {
			int n = e.T - first < queries ? e.T - first : queries, more = first > 0;
			matmul_pairs(n, e.Tp, e.pairs, q + (long)first * e.wide, e.wide, 1, kt, e.Tp, scores, e.Tp, 0);
			matmul_pairs(n, e.Tp, e.pairs, g + (long)first * e.wide, e.wide, 1, vt, e.Tp, ds, e.Tp, 0);
			delta_of(&e, out + head, dout + head, D, first, n, delta);
			for (int i = 0; i < n; i += 2)
				pair_grad(scores + (long)i * e.Tp, ds + (long)i * e.Tp, e.Tp, e.Tp, live, e.scale * LOG2E, lse + (long)h * e.T + first + i, delta + i,
					i + 1 < n, pp + (long)i / 2 * e.Tp, dsp + (long)i / 2 * e.Tp);
			matmul_pairs(n, e.dp, e.halves, ds, e.Tp, 1, k2, e.dp, dq + (long)first * e.dp, e.dp, 0);
			matmul_pairs(e.T, e.dp, (n + 1) / 2, dsp, 1, e.Tp, q2 + (long)first / 2 * e.dp, e.dp, dk, e.dp, more);
			matmul_pairs(e.T, e.dp, (n + 1) / 2, pp, 1, e.Tp, g2 + (long)first / 2 * e.dp, e.dp, dv, e.dp, more);
		}
		scaled(full, e.scale, dq);
		scaled(full, e.scale, dk);
		store_head(s, dq, dqkv, head, 3L * D, s->rope != 0, 1);
		store_head(s, dk, dqkv, D + head, 3L * D, s->rope != 0, 1);
		store_head(s, dv, dqkv, 2L * D + head, 3L * D, 0, 1);
	}
}

static void attention(const hrm_attention_shape *s, const void *qkv, void *out, float *lse, float *scratch) {
	if (s->bf) attention_bf16(s, qkv, out, lse, scratch);
	else attention_typed(s, qkv, out, lse, scratch, 0);
}

static void attention_grad(const hrm_attention_shape *s, const void *qkv, const void *out, const void *dout, const float *lse, void *dqkv,
	float *scratch) {
	if (s->bf) attention_grad_bf16(s, qkv, out, dout, lse, dqkv, scratch);
	else attention_grad_typed(s, qkv, out, dout, lse, dqkv, scratch, 0);
}
