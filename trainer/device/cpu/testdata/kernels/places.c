// The places of operands: on the heap, or beside pages that cannot be touched, and the report of who touched one.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "check.h"

enum { CANARY = 0xa5 };

// What outputs and scratch hold before the call, by place: a kernel that depends on it gives different results.
static const int dirt[PLACES] = {0, 0xff, 0x7f};

static size_t bytes(const operand *o) { return o->n * (o->type == HRM_BF16 ? 2 : 4); }
static size_t page(void) { return sysconf(_SC_PAGESIZE); }

static void out_of_memory(void) {
	perror("no memory for operands");
	exit(1);
}

static void place_on_heap(operand *o) {
	if (o->use != SCRATCH) o->at = malloc(bytes(o));
	else if (posix_memalign(&o->at, 64, bytes(o))) out_of_memory();
	if (!o->at && bytes(o)) out_of_memory();
}

// place_in_pages maps pages between two guards, with the operand at one end and canaries in the rest.
static void place_in_pages(operand *o, enum place place) {
	size_t inner = (bytes(o) + page()) / page() * page();
	o->mapped = inner + 2 * page();
	o->pages = mmap(0, o->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (o->pages == MAP_FAILED) out_of_memory();
	char *start = o->pages + page();
	if (mprotect(start, inner, PROT_READ | PROT_WRITE)) out_of_memory();
	memset(start, CANARY, inner);
	o->at = place == BEFORE_GUARD ? start + inner - bytes(o) : start;
}

static void arrange(check *c) {
	for (int i = 0; i < c->count; i++) {
		operand *o = c->operands + i;
		if (c->place == HEAP) place_on_heap(o);
		else place_in_pages(o, c->place);
		if (o->use == INPUT || o->use == UPDATED) memcpy(o->at, o->first, bytes(o));
		else memset(o->at, dirt[c->place], bytes(o));
		if (o->use == INPUT && o->pages) mprotect(o->pages + page(), o->mapped - 2 * page(), PROT_READ);
	}
}

static void fail(check *c, const operand *o, const char *what) {
	fprintf(stderr, "%s %s (%s): %s %s\n", c->k->name, c->kernel, c->sizes, o->name, what);
	c->failures++;
}

static int canaries_live(const operand *o) {
	for (const char *p = o->pages + page(); p < o->pages + o->mapped - page(); p++) {
		if (p == (char *)o->at) p += bytes(o);
		if (p < o->pages + o->mapped - page() && *p != (char)CANARY) return 0;
	}
	return 1;
}

// inspect looks at an operand after the call and gives its memory back.
static void inspect(check *c, operand *o) {
	int written = o->use == OUTPUT || o->use == UPDATED;
	if (c->place == HEAP) {
		if (written) memcpy(o->result, o->at, bytes(o));
		else if (o->use == INPUT && memcmp(o->at, o->first, bytes(o))) fail(c, o, "was written, but may only be read");
		free(o->at);
		return;
	}
	if (written && memcmp(o->result, o->at, bytes(o)))
		fail(c, o, "depends on where the operands lie, or on what outputs and scratch held before");
	if (!canaries_live(o)) fail(c, o, "was written beyond its ends");
	munmap(o->pages, o->mapped);
	o->pages = 0;
}

int everywhere(check *c) {
	for (int i = 0; c->place >= 0 && i < c->count; i++) inspect(c, c->operands + i);
	if (++c->place == PLACES) return 0;
	arrange(c);
	return 1;
}

static check *running;

static void say_which(void) { dprintf(2, "while in %s %s (%s)\n", running->k->name, running->kernel, running->sizes); }

static void crashed(int signal, siginfo_t *info, void *context) {
	(void)context;
	const char *address = info->si_addr;
	dprintf(2, "%s %s (%s): ", running->k->name, running->kernel, running->sizes);
	for (int i = 0; i < running->count; i++) {
		const operand *o = running->operands + i;
		if (signal != SIGSEGV || !o->pages || address < o->pages || address >= o->pages + o->mapped) continue;
		dprintf(2, "touched byte %td of %s, which has %zu%s\n", address - (char *)o->at, o->name, bytes(o),
			o->use == INPUT ? " and may only be read" : "");
		_exit(1);
	}
	dprintf(2, "%s at %p\n", strsignal(signal), info->si_addr);
	_exit(1);
}

// A sanitizer's runtime has this, which calls back after its own report.
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

void report_crashes(check *c) {
	running = c;
	struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO};
	for (const int *s = (const int[]){SIGSEGV, SIGBUS, SIGILL, SIGFPE, 0}; *s; s++) sigaction(*s, &action, 0);
	if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(say_which);
}
