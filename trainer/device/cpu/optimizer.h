// Optimizer updates over n elements of float32 masters.

// arctangent of y/x for x >= 0 and any y, with atan2(0, 0) = 0; about two units in the last place.
INLINE vf atan2_right(vf y, vf x) {
	vf absolute = vmax(y, -y);
	vi steep = absolute > x;
	vf small = choose(steep, x, absolute), large = choose(steep, absolute, x);
	vf t = choose(large > 0, small / choose(large > 0, large, splat(1)), splat(0));
	vi upper = t > 0.414213562f;
	vf r = choose(upper, (t - 1) / (t + 1), t), z = r * r;
	vf p = ((z * 8.05374449538e-2f - 1.38776856032e-1f) * z + 1.99777106478e-1f) * z - 3.33329491539e-1f;
	vf a = p * z * r + r + choose(upper, splat(0.785398163f), splat(0));
	a = choose(steep, 1.57079632679f - a, a);
	return choose(y < 0, -a, a);
}

static void adam(long n, float *p, const float *g, float *m, float *v, float *average, const hrm_adam_step *h) {
	for (long i = 0; i < n; i += L) {
		long k = n - i;
		vf gradient = load_act(g, i, k, 0);
		vf mean = h->beta1 * load_act(m, i, k, 0) + (1 - h->beta1) * gradient;
		vf square = h->beta2 * load_act(v, i, k, 0) + (1 - h->beta2) * gradient * gradient;
		vf w = load_act(p, i, k, 0) * h->decay - h->rate * atan2_right(mean, vsqrt(square) * h->denominator);
		store_act(m, i, k, mean, 0);
		store_act(v, i, k, square, 0);
		store_act(p, i, k, w, 0);
		if (average) store_act(average, i, k, h->ema * load_act(average, i, k, 0) + (1 - h->ema) * w, 0);
	}
}

static void sign_sgd(long n, float *w, const float *g, float keep, float rate) {
	for (long i = 0; i < n; i++) w[i] = w[i] * keep - rate * ((g[i] > 0) - (g[i] < 0));
}
