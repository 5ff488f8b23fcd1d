// Attention over T positions of one row: out = softmax(q·kᵀ/sqrt(d))·v for every head, RoPE applied to q and k on load.
// Scores live in scratch for HRM_QUERIES rows at a time, so that memory grows with T and not with T². The backward pass
// recomputes the probabilities from the log-sum-exp.
//
//	qkv [T, 3D], out [Q, D], lse [h, Q] (Q = T if all positions ask); d = D/h, dp and Tp are d and T rounded up to whole vectors.

// turn applies the rotation of RoPE to a head's row x [d] (backwards if sign is -1).
INLINE void turn(float *x, int half, const float *cosine, const float *sine, float sign) {
	for (int i = 0; i < half; i++) {
		float a = x[i], b = x[i + half], s = sign * sine[i];
		x[i] = a * cosine[i] - b * s;
		x[i + half] = b * cosine[i] + a * s;
	}
}

// turn_short is turn for a head as wide as a vector, whose halves then change places in a register.
INLINE vf turn_short(vf v, const float *cosine, const float *sine, float sign) {
	vi other;
	vf signs;
	for (int i = 0; i < L; i++) other[i] = (i + L / 2) % L, signs[i] = i < L / 2 ? -sign : sign;
	return v * load_twice(cosine) + __builtin_shuffle(v, other) * load_twice(sine) * signs;
}

// turn_row turns a head's row x [d] by the angles of position t.
INLINE void turn_row(const hrm_attention_shape *s, float *x, int half, int t, float sign) {
	const float *c = s->rope + (long)t * half, *n = s->rope + (long)(s->positions + t) * half;
	if (2 * half == L) {
		store(x, turn_short(load(x), c, n, sign));
		return;
	}
	if (half % L) {
		turn(x, half, c, n, sign);
		return;
	}
	for (int i = 0; i < half; i += L) {
		vf a = load(x + i), b = load(x + i + half), cosine = load(c + i), sine = sign * load(n + i);
		store(x + i, a * cosine - b * sine);
		store(x + i + half, b * cosine + a * sine);
	}
}

// load_head widens one head of src (stride elements apart) into dst [T, dp], turned and scaled.
INLINE void load_head(const hrm_attention_shape *s, const void *src, long offset, long stride, float *dst, int rope, float scale, int bf) {
	int d = s->width / s->heads, dp = ROUND_UP(d);
	for (int t = 0; t < s->positions; t++) {
		float *x = dst + (long)t * dp;
		for (int i = 0; i < d; i += L) store(x + i, scale * load_act(src, offset + t * stride + i, d - i, bf));
		if (rope) turn_row(s, x, d / 2, t, 1);
	}
}

// store_head is the inverse of load_head without scale.
INLINE void store_head(const hrm_attention_shape *s, float *src, void *dst, long offset, long stride, int rope, int bf) {
	int d = s->width / s->heads, dp = ROUND_UP(d);
	for (int t = 0; t < s->positions; t++) {
		float *x = src + (long)t * dp;
		if (rope) turn_row(s, x, d / 2, t, -1);
		for (int i = 0; i < d; i += L) store_act(dst, offset + t * stride + i, d - i, load(x + i), bf);
	}
}

// transpose writes src [T, dp] as dst [dp, Tp]; columns from T on are zero.
static void transpose(const float *src, int T, int dp, float *dst, int Tp) {
	for (int t = 0; t < Tp; t += L)
		for (int i = 0; i < dp; i += L) {
			vf x[L];
#pragma GCC unroll 16
			for (int a = 0; a < L; a++) x[a] = t + a < T ? load(src + (long)(t + a) * dp + i) : splat(0);
			transpose_block(x);
#pragma GCC unroll 16
			for (int b = 0; b < L; b++) store(dst + (long)(i + b) * Tp + t, x[b]);
		}
}

// padding is what softmax adds to the last L of a row's Tp scores so that those from T on count nothing.
INLINE vf padding(int T, int Tp) {
	vf p;
	for (int k = 0; k < L; k++) p[k] = Tp - L + k < T ? 0 : -1e30f;
	return p;
}

// softmax turns a row of scores into probabilities that are total times too large, and returns its log-sum-exp. What it
// leaves after the first T means nothing.
INLINE float softmax(float *row, int Tp, vf padding, float *total) {
	store(row + Tp - L, load(row + Tp - L) + padding);
	vf top = load(row);
	for (int j = L; j < Tp; j += L) top = vmax(top, load(row + j));
	float max = max_lanes(top);
	vf sum = splat(0);
	for (int j = 0; j < Tp; j += L) {
		vf e = vexp(load(row + j) - max);
		sum += e;
		store(row + j, e);
	}
	*total = sum_lanes(sum);
	return max + logf(*total);
}

INLINE void attention_typed(const hrm_attention_shape *s, const void *qkv, void *out, float *lse, float *scratch, int bf) {
	int T = s->positions, Q = s->queries, D = s->width, d = D / s->heads, dp = ROUND_UP(d), Tp = ROUND_UP(T);
	float *q = scratch, *k = q + (long)T * dp, *v = k + (long)T * dp, *kt = v + (long)T * dp, *scores = kt + (long)dp * Tp;
	float *o = scores + (long)HRM_QUERIES * Tp;
	float total[HRM_QUERIES];
	vf pad = padding(T, Tp);
	for (int h = 0; h < s->heads; h++) {
		load_head(s, qkv, (long)h * d, 3L * D, q, s->rope != 0, 1 / sqrtf(d), bf);
		load_head(s, qkv, D + (long)h * d, 3L * D, k, s->rope != 0, 1, bf);
		load_head(s, qkv, 2L * D + (long)h * d, 3L * D, v, 0, 1, bf);
		transpose(k, T, dp, kt, Tp);
		for (int first = 0; first < Q; first += HRM_QUERIES) {
			int n = Q - first < HRM_QUERIES ? Q - first : HRM_QUERIES;
			matmul(n, Tp, d, q + (long)first * dp, dp, 1, kt, Tp, scores, Tp, 0);
			for (int i = 0; i < n; i++) lse[(long)h * Q + first + i] = softmax(scores + (long)i * Tp, Tp, pad, total + i);
			matmul(n, dp, T, scores, Tp, 1, v, dp, o, dp, 0);
			for (int i = 0; i < n; i++) {
				float share = 1 / total[i];
				for (int j = 0; j < d; j += L)
					store_act(out, (long)(first + i) * D + (long)h * d + j, d - j, share * load(o + (long)i * dp + j), bf);
			}
		}
	}
}

#if HRM_LEVEL < 3 // attention_bf16.h has the others
static void attention(const hrm_attention_shape *s, const void *qkv, void *out, float *lse, float *scratch) {
	if (s->bf) attention_typed(s, qkv, out, lse, scratch, 1);
	else attention_typed(s, qkv, out, lse, scratch, 0);
}
#endif

// score_grad turns scores and dP of one query into P and dS = P*(dP - delta).
INLINE void score_grad(float *scores, float *dp, int Tp, float lse, float delta) {
	for (int j = 0; j < Tp; j += L) {
		vf p = vexp(load(scores + j) - lse);
		store(scores + j, p);
		store(dp + j, p * (load(dp + j) - delta));
	}
}

INLINE void attention_grad_typed(const hrm_attention_shape *s, const void *qkv, const void *out, const void *dout, const float *lse,
	void *dqkv, float *scratch, int bf) {
	int T = s->positions, D = s->width, d = D / s->heads, dp = ROUND_UP(d), Tp = ROUND_UP(T);
	long block = (long)T * dp;
	float scale = 1 / sqrtf(d);
	float *q = scratch, *k = q + block, *v = k + block, *o = v + block, *g = o + block;
	float *dq = g + block, *dk = dq + block, *dv = dk + block;
	float *kt = dv + block, *vt = kt + (long)dp * Tp, *scores = vt + (long)dp * Tp, *ds = scores + (long)HRM_QUERIES * Tp;
	for (int h = 0; h < s->heads; h++) {
		load_head(s, qkv, (long)h * d, 3L * D, q, s->rope != 0, scale, bf);
		load_head(s, qkv, D + (long)h * d, 3L * D, k, s->rope != 0, 1, bf);
		load_head(s, qkv, 2L * D + (long)h * d, 3L * D, v, 0, 1, bf);
		load_head(s, out, (long)h * d, D, o, 0, 1, bf);
		load_head(s, dout, (long)h * d, D, g, 0, 1, bf);
		transpose(k, T, dp, kt, Tp);
		transpose(v, T, dp, vt, Tp);
		for (int first = 0; first < T; first += HRM_QUERIES) {
			int n = T - first < HRM_QUERIES ? T - first : HRM_QUERIES, more = first > 0;
			float *qs = q + (long)first * dp, *gs = g + (long)first * dp, *os = o + (long)first * dp;
			matmul(n, Tp, d, qs, dp, 1, kt, Tp, scores, Tp, 0);
			matmul(n, Tp, d, gs, dp, 1, vt, Tp, ds, Tp, 0);
			for (int i = 0; i < n; i++) {
				vf delta = splat(0);
				for (int j = 0; j < dp; j += L) delta += load(os + (long)i * dp + j) * load(gs + (long)i * dp + j);
				score_grad(scores + (long)i * Tp, ds + (long)i * Tp, Tp, lse[(long)h * T + first + i], sum_lanes(delta));
			}
			matmul(n, dp, T, ds, Tp, 1, k, dp, dq + (long)first * dp, dp, 0);
			matmul(T, dp, n, ds, 1, Tp, qs, dp, dk, dp, more);
			matmul(T, dp, n, scores, 1, Tp, gs, dp, dv, dp, more);
		}
		for (long i = 0; i < block; i++) dq[i] *= scale;
		store_head(s, dq, dqkv, (long)h * d, 3L * D, s->rope != 0, bf);
		store_head(s, dk, dqkv, D + (long)h * d, 3L * D, s->rope != 0, bf);
		store_head(s, dv, dqkv, 2L * D + (long)h * d, 3L * D, 0, bf);
	}
}

#if HRM_LEVEL < 3 // attention_bf16.h has the others
static void attention_grad(const hrm_attention_shape *s, const void *qkv, const void *out, const void *dout, const float *lse,
	void *dqkv, float *scratch) {
	if (s->bf) attention_grad_typed(s, qkv, out, dout, lse, dqkv, scratch, 1);
	else attention_grad_typed(s, qkv, out, dout, lse, dqkv, scratch, 0);
}
#endif
