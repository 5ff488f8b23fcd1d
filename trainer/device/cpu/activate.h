// Functions of n numbers of one type, and their gradients.

// tanh_of is 2*sigmoid(2x)-1, but the first terms of its series near 0, where that has no digits left.
INLINE vf tanh_of(vf x) {
	vf s = x * x, near = x * (1 + s * (-1.0f / 3 + s * (2.0f / 15 - s * (17.0f / 315))));
	return choose((vi)(s < 0.04f), near, 2 / (1 + vexp(-2 * x)) - 1);
}

INLINE void activate_typed(long n, int function, const void *x, void *out, int bf) {
	for (long i = 0; i < n; i += L) {
		vf v = load_act(x, i, n - i, bf);
		vf y = function == HRM_TANH ? tanh_of(v) : function == HRM_SIGMOID ? sigmoid(v, bf) : choose((vi)(v > 0), splat(1), splat(0));
		store_act(out, i, n - i, y, bf);
	}
}

// activate: out = tanh(x), sigmoid(x), or 1 where x > 0 and else 0.
static void activate(long n, int function, const void *x, void *out, int bf) {
	if (bf) activate_typed(n, function, x, out, 1);
	else activate_typed(n, function, x, out, 0);
}

INLINE void activate_grad_typed(long n, int function, float scale, const void *x, const void *dout, void *dx, int bf) {
	for (long i = 0; i < n; i += L) {
		vf v = load_act(x, i, n - i, bf), steep = scale * v;
		vf slope = function == HRM_TANH ? 1 - v * v : function == HRM_SIGMOID ? v * (1 - v) : choose((vi)(steep * steep < 1), splat(scale / 2), splat(0));
		store_act(dx, i, n - i, slope * load_act(dout, i, n - i, bf), bf);
	}
}

// activate_grad: dx = (1-y²)*dout of y = tanh, y(1-y)*dout of y = sigmoid; x stands for y. Of the step scale/2*dout where |scale*x| < 1.
static void activate_grad(long n, int function, float scale, const void *x, const void *dout, void *dx, int bf) {
	if (bf) activate_grad_typed(n, function, scale, x, dout, dx, 1);
	else activate_grad_typed(n, function, scale, x, dout, dx, 0);
}
