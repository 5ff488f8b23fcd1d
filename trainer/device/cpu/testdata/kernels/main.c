// Checks every kernel on operands of random sizes: kernels SEED ROUNDS [INSTRUCTION-SET...], all that this processor has if
// none is named. It exits with 77 if the processor lacks one that is.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"

static const struct {
	const char *name;
	kernel_case *run;
} cases[] = {
	{"attention", check_attention},
	{"attention_grad", check_attention_grad},
	{"rmsnorm", check_rmsnorm},
	{"rmsnorm_grad", check_rmsnorm_grad},
	{"swiglu", check_swiglu},
	{"swiglu_grad", check_swiglu_grad},
	{"gate", check_gate},
	{"gate_grad_gate", check_gate_grad_gate},
	{"gate_grad_input", check_gate_grad_input},
	{"transpose", check_transpose},
	{"activate", check_activate},
	{"activate_grad", check_activate_grad},
	{"multiply", check_multiply},
	{"blend", check_blend},
	{"blend_grad_weight", check_blend_grad_weight},
	{"scale_add", check_scale_add},
	{"accumulate", check_accumulate},
	{"dot", check_dot},
	{"adam", check_adam},
	{"sign_sgd", check_sign_sgd},
	{"sum", check_sum},
	{"to_bf16", check_to_bf16},
	// These have one version, but are compiled for every processor.
	{"labels_fit", check_labels_fit},
	{"lm_loss", check_lm_loss},
	{"lm_loss_grad", check_lm_loss_grad},
	{"token_stats", check_token_stats},
	{"q_target", check_q_target},
	{"q_loss", check_q_loss},
	{"q_loss_grad", check_q_loss_grad},
	{"squared_error", check_squared_error},
	{"squared_error_grad", check_squared_error_grad},
	{"top_k", check_top_k},
	{"unpredicted", check_unpredicted},
	{"next_tokens", check_next_tokens},
	{"recall", check_recall},
	{"recall_grad_past", check_recall_grad_past},
};

enum { CASES = sizeof cases / sizeof *cases, OF_NO_TABLE = 14 };

_Static_assert(sizeof(hrm_kernels) == (1 + CASES - OF_NO_TABLE) * sizeof(void *), "a kernel of the table has no case here");

enum { LACKING = 77, FAILURES_SHOWN = 20 };

static int run(const hrm_kernels *k, long seed, int rounds) {
	static check c;
	c = (check){.k = k, .place = -1};
	report_crashes(&c);
	for (int i = 0; i < CASES; i++)
		for (c.round = 0; c.round < rounds && c.failures < FAILURES_SHOWN; c.round++) {
			c.kernel = cases[i].name;
			c.state = (uint64_t)seed << 32 | i << 24 | c.round;
			cases[i].run(&c);
			finish(&c);
		}
	if (c.failures) fprintf(stderr, "%s: %d failures with seed %ld\n", k->name, c.failures, seed);
	else printf("%s: %d kernels, %d times each in %d places\n", k->name, CASES, rounds, PLACES);
	return c.failures != 0;
}

int main(int argc, char **argv) {
	static const char *all[] = {"portable", "avx2", "avx512", "avx512bf16"};
	if (argc < 3) {
		fprintf(stderr, "usage: %s SEED ROUNDS [INSTRUCTION-SET...]\n", argv[0]);
		return 2;
	}
	int failed = 0, named = argc - 3, count = named ? named : 4;
	for (int i = 0; i < count; i++) {
		const char *name = named ? argv[3 + i] : all[i];
		const hrm_kernels *k = hrm_select(name);
		if (!k) {
			printf("%s: not on this processor\n", name);
			if (named) return LACKING;
			continue;
		}
		failed |= run(k, atol(argv[1]), atoi(argv[2]));
	}
	return failed;
}
