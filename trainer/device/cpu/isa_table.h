// Includes every kernel for the instruction set chosen by HRM_LANES and HRM_LEVEL and fills its table HRM_TABLE.
#include "simd.h"
#include "matmul.h"
#include "attention.h"
#include "rmsnorm.h"
#include "swiglu.h"
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
	.scale_add = scale_add,
	.accumulate = accumulate,
	.dot = dot,
	.adam = adam,
	.sign_sgd = sign_sgd,
	.sum = sum,
	.to_bf16 = to_bf16,
};
