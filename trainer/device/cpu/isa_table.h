// Includes every kernel for the instruction set chosen by HRM_LANES and HRM_LEVEL and fills its table HRM_TABLE.
#include "simd.h"
#define MATMUL(name) name
#define MULTIPLY_ADD(c, a, b) ((c) + (a) * (b))
#include "matmul.h"
#include "attention.h"
#if HRM_LEVEL == 3
#define MATMUL(name) name##_pairs
#define MULTIPLY_ADD(c, a, b) (vf)_mm512_dpbf16_ps((__m512)(c), (__m512bh)(a), (__m512bh)(b))
#include "matmul.h"
#include "attention_bf16.h"
#endif
#include "rmsnorm.h"
#include "swiglu.h"
#include "gate.h"
#include "transpose.h"
#include "activate.h"
#include "blend.h"
#include "elementwise.h"
#include "optimizer.h"

const hrm_kernels HRM_TABLE = {
	.name = HRM_NAME,
	.attention = attention,
	.attention_grad = attention_grad,
	.rmsnorm = rmsnorm,
	.rmsnorm_grad = rmsnorm_grad,
	.swiglu = swiglu,
	.swiglu_grad = swiglu_grad,
	.gate = gate,
	.gate_grad_gate = gate_grad_gate,
	.gate_grad_input = gate_grad_input,
	.transpose = transpose_act,
	.activate = activate,
	.activate_grad = activate_grad,
	.multiply = multiply,
	.blend = blend,
	.blend_grad_weight = blend_grad_weight,
	.scale_add = scale_add,
	.accumulate = accumulate,
	.dot = dot,
	.adam = adam,
	.sign_sgd = sign_sgd,
	.sum = sum,
	.to_bf16 = to_bf16,
};
