//go:build onednn && cgo && linux

// Matrix products by oneDNN 2.6 or 3.x. Every product runs on the calling thread alone: parallelism is over rows, outside.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dnnl.h>
#include "products.h"

// Declared here because omp.h is in no directory that clang or a bare cc would search.
extern void omp_set_num_threads(int);

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t descriptor;
typedef const_dnnl_memory_desc_t descriptor_view;
#define DESCRIPTOR(d) (d)
#else
typedef dnnl_memory_desc_t descriptor;
typedef const dnnl_memory_desc_t *descriptor_view;
#define DESCRIPTOR(d) (&(d))
#endif

_Static_assert((int)HRM_UNIMPLEMENTED == (int)dnnl_unimplemented, "oneDNN's status has another number");

struct hrm_product {
	int kind, workers;
	long in, out;
	dnnl_primitive_desc_t description;
	dnnl_primitive_t primitive;
	// source, second operand (unless packed), destination, scratchpad of every worker
	dnnl_memory_t *memory;
	void **scratch;
};

struct hrm_pack {
	descriptor_view layout;
	// owner keeps layout alive.
	dnnl_primitive_desc_t owner;
	dnnl_memory_t master, packed;
	dnnl_primitive_t reorder;
	void *data;
};

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static int start(void) {
	omp_set_num_threads(1);
	if (stream) return 0;
	int s = engine ? 0 : dnnl_engine_create(&engine, dnnl_cpu, 0);
	return s ? s : dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
}

static int describe(descriptor *d, long rows, long columns, long row_stride, long column_stride, dnnl_data_type_t type) {
	dnnl_dims_t dims = {rows, columns}, strides = {row_stride, column_stride};
#if DNNL_VERSION_MAJOR >= 3
	return dnnl_memory_desc_create_with_strides(d, 2, dims, type, strides);
#else
	return dnnl_memory_desc_init_by_strides(d, 2, dims, type, strides);
#endif
}

static int describe_any(descriptor *d, long rows, long columns, dnnl_data_type_t type) {
	dnnl_dims_t dims = {rows, columns};
#if DNNL_VERSION_MAJOR >= 3
	return dnnl_memory_desc_create_with_tag(d, 2, dims, type, dnnl_format_tag_any);
#else
	return dnnl_memory_desc_init_by_tag(d, 2, dims, type, dnnl_format_tag_any);
#endif
}

static void forget(descriptor d) {
#if DNNL_VERSION_MAJOR >= 3
	dnnl_memory_desc_destroy(d);
#else
	(void)d;
#endif
}

// attributes: scratchpads are ours, and accumulating products add to what the destination holds.
static int attributes(dnnl_primitive_attr_t *a, int accumulate, dnnl_data_type_t type) {
	int s = dnnl_primitive_attr_create(a);
	if (!s) s = dnnl_primitive_attr_set_scratchpad_mode(*a, dnnl_scratchpad_mode_user);
	if (s || !accumulate) return s;
	dnnl_post_ops_t ops;
	if ((s = dnnl_post_ops_create(&ops))) return s;
#if DNNL_VERSION_MAJOR >= 3
	s = dnnl_post_ops_append_sum(ops, 1, 0, type);
#else
	(void)type;
	s = dnnl_post_ops_append_sum(ops, 1);
#endif
	if (!s) s = dnnl_primitive_attr_set_post_ops(*a, ops);
	dnnl_post_ops_destroy(ops);
	return s;
}

static int describe_product(dnnl_primitive_desc_t *pd, descriptor a, descriptor b, descriptor c, dnnl_primitive_attr_t attr) {
#if DNNL_VERSION_MAJOR >= 3
	return dnnl_matmul_primitive_desc_create(pd, engine, a, b, 0, c, attr);
#else
	dnnl_matmul_desc_t op;
	int s = dnnl_matmul_desc_init(&op, &a, &b, 0, &c);
	return s ? s : dnnl_primitive_desc_create(pd, &op, attr, engine, 0);
#endif
}

static int prepare(hrm_product *p, int kind, long m, int bf, int accumulate) {
	dnnl_data_type_t act = bf ? dnnl_bf16 : dnnl_f32, result = kind == HRM_GRAD_WEIGHT ? dnnl_f32 : act;
	descriptor a, b, c;
	dnnl_primitive_attr_t attr;
	int s = attributes(&attr, accumulate, result);
	if (s) return s;
	if (kind == HRM_FORWARD) {
		s = describe(&a, m, p->in, p->in, 1, act) || describe_any(&b, p->in, p->out, act) || describe(&c, m, p->out, p->out, 1, act);
	} else if (kind == HRM_GRAD_INPUT) {
		s = describe(&a, m, p->out, p->out, 1, act) || describe_any(&b, p->out, p->in, act) || describe(&c, m, p->in, p->in, 1, act);
	} else {
		s = describe(&a, p->out, m, 1, p->out, act) || describe(&b, m, p->in, p->in, 1, act) ||
			describe(&c, p->out, p->in, p->in, 1, result);
	}
	if (!s) {
		s = describe_product(&p->description, a, b, c, attr);
		forget(a);
		forget(b);
		forget(c);
	}
	dnnl_primitive_attr_destroy(attr);
	return s ? s : dnnl_primitive_create(&p->primitive, p->description);
}

static size_t size_of(descriptor_view d) { return dnnl_memory_desc_get_size(d); }

static descriptor_view query(const hrm_product *p, dnnl_query_t what) { return dnnl_primitive_desc_query_md(p->description, what, 0); }

// provide makes the memory objects of every worker.
static int provide(hrm_product *p) {
	p->memory = calloc(4 * p->workers, sizeof *p->memory);
	p->scratch = calloc(p->workers, sizeof *p->scratch);
	dnnl_query_t what[4] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md, dnnl_query_scratchpad_md};
	for (int w = 0; w < p->workers; w++)
		for (int k = 0; k < 4; k++) {
			void *data = 0;
			if (k == 1 && p->kind != HRM_GRAD_WEIGHT) continue;
			if (k == 3) {
				size_t bytes = (size_of(query(p, what[k])) + 4095) / 4096 * 4096;
				if (bytes) data = p->scratch[w] = aligned_alloc(4096, bytes);
			}
			int s = dnnl_memory_create(&p->memory[4 * w + k], query(p, what[k]), engine, data);
			if (s) return s;
		}
	return 0;
}

hrm_product *hrm_product_new(int kind, long m, long in, long out, int bf, int accumulate, int workers, int *status) {
	if ((*status = start())) return 0;
	hrm_product *p = calloc(1, sizeof *p);
	p->kind = kind;
	p->workers = workers;
	p->in = in;
	p->out = out;
	*status = prepare(p, kind, m, bf, accumulate || kind == HRM_GRAD_WEIGHT);
	if (!*status) *status = provide(p);
	if (*status) {
		hrm_product_free(p);
		return 0;
	}
	return p;
}

void hrm_product_free(hrm_product *p) {
	for (int i = 0; p->memory && i < 4 * p->workers; i++)
		if (p->memory[i]) dnnl_memory_destroy(p->memory[i]);
	for (int w = 0; p->scratch && w < p->workers; w++) free(p->scratch[w]);
	if (p->primitive) dnnl_primitive_destroy(p->primitive);
	if (p->description) dnnl_primitive_desc_destroy(p->description);
	free(p->memory);
	free(p->scratch);
	free(p);
}

int hrm_product_run(hrm_product *p, int worker, void *a, void *b, void *weight, void *out) {
	dnnl_memory_t *m = p->memory + 4 * worker;
	dnnl_memory_t second = weight ? weight : m[1];
	int s = dnnl_memory_set_data_handle(m[0], a);
	if (!s && !weight) s = dnnl_memory_set_data_handle(second, b);
	if (!s) s = dnnl_memory_set_data_handle(m[2], out);
	if (s) return s;
	dnnl_exec_arg_t args[4] = {
		{DNNL_ARG_SRC, m[0]}, {DNNL_ARG_WEIGHTS, second}, {DNNL_ARG_DST, m[2]}, {DNNL_ARG_SCRATCHPAD, m[3]}};
	omp_set_num_threads(1);
	return dnnl_primitive_execute(p->primitive, stream, 4, args);
}

int hrm_product_takes(const hrm_product *p, const hrm_pack *q) { return dnnl_memory_desc_equal(query(p, dnnl_query_weights_md), q->layout); }

// prepare_pack: the master is seen as the product's [K, N], whichever way W lies in it.
static int prepare_pack(hrm_pack *q, const hrm_product *p, const float *master) {
	int s = dnnl_primitive_desc_clone(&q->owner, p->description);
	if (s) return s;
	q->layout = dnnl_primitive_desc_query_md(q->owner, dnnl_query_weights_md, 0);
	descriptor plain;
	s = p->kind == HRM_FORWARD ? describe(&plain, p->in, p->out, 1, p->in, dnnl_f32) : describe(&plain, p->out, p->in, p->in, 1, dnnl_f32);
	if (s) return s;
	q->data = aligned_alloc(64, (size_of(q->layout) + 63) / 64 * 64);
	if (!s) s = dnnl_memory_create(&q->master, DESCRIPTOR(plain), engine, (void *)master);
	if (!s) s = dnnl_memory_create(&q->packed, q->layout, engine, q->data);
	dnnl_primitive_desc_t pd = 0;
	if (!s) s = dnnl_reorder_primitive_desc_create(&pd, DESCRIPTOR(plain), engine, q->layout, engine, 0);
	if (!s) s = dnnl_primitive_create(&q->reorder, pd);
	if (pd) {
		const char *how = 0;
		dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &how);
		if (getenv("HRM_CPU_VERBOSE")) fprintf(stderr, "pack %ld x %ld: %s\n", p->out, p->in, how);
		dnnl_primitive_desc_destroy(pd);
	}
	forget(plain);
	return s;
}

hrm_pack *hrm_pack_new(const hrm_product *p, const float *master, int *status) {
	if ((*status = start())) return 0;
	hrm_pack *q = calloc(1, sizeof *q);
	*status = prepare_pack(q, p, master);
	if (*status) {
		hrm_pack_free(q);
		return 0;
	}
	return q;
}

int hrm_pack_update(hrm_pack *q) {
	omp_set_num_threads(1);
	dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, q->master}, {DNNL_ARG_TO, q->packed}};
	return dnnl_primitive_execute(q->reorder, stream, 2, args);
}

void *hrm_pack_memory(hrm_pack *q) { return q->packed; }

void hrm_pack_free(hrm_pack *q) {
	if (q->reorder) dnnl_primitive_destroy(q->reorder);
	if (q->master) dnnl_memory_destroy(q->master);
	if (q->packed) dnnl_memory_destroy(q->packed);
	if (q->owner) dnnl_primitive_desc_destroy(q->owner);
	free(q->data);
	free(q);
}

const char *hrm_products_version(void) {
	static char text[64];
	const dnnl_version_t *v = dnnl_version();
	snprintf(text, sizeof text, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
	return text;
}
