// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions to allocate a buffer of a heap and to free it: the heap of a coherent
 * pool against the CMA heap, on the machine of ci/lanes/bench-arm64.dtsi.
 *
 * usage: heap_bench    prints the lines of ci/guest/tests/bench.sh
 * Under -icount a nanosecond is an instruction. The buffer is not mapped: what the
 * heaps clear they clear in the kernel. A kernel without heaps of coherent pools is
 * measured for the CMA heap alone.
 * exit: 0
 */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "heap.h"

#define REPETITIONS	5
#define KIB		1024ul

enum kind { CMA, COHERENT };

static const struct {
	const char *name, *heap;
} kinds[] = {
	[CMA] = { "cma", "cma-pool@54000000" },
	[COHERENT] = { "coherent", "nomap-pool@50000000" },
};

static const struct size {
	const char *name;
	size_t bytes;
	unsigned int calls[COHERENT + 1];
} sizes[] = {
	/* enough that what the kernel does on the side is less than the spread allowed */
	{ "4k", 4 * KIB, { [CMA] = 1000, [COHERENT] = 20000 } },
	{ "1m", 1024 * KIB, { [CMA] = 100, [COHERENT] = 100 } },
	{ "16m", 16 * 1024 * KIB, { [CMA] = 10, [COHERENT] = 10 } },
};

/* What all calls cost together; 0 with errno. */
static uint64_t measure(int heap, size_t bytes, unsigned int calls)
{
	uint64_t start = now_ns();
	unsigned int i;
	int buf;

	for (i = 0; i < calls; i++) {
		buf = allocate_from(heap, bytes);
		if (buf < 0)
			return 0;
		close(buf);
	}
	return now_ns() - start;
}

/* The median of the repetitions, a call; 0 where there is none, after the line that says so. */
static uint64_t bench(enum kind kind, int heap, const struct size *size)
{
	const char *name = kinds[kind].name;
	unsigned int calls = size->calls[kind];
	uint64_t found[REPETITIONS], value;
	int i, j;

	/* the first is for what is made once: caches of the slab, vmalloc areas */
	if (!measure(heap, size->bytes, calls))
		goto fail;
	for (i = 0; i < REPETITIONS; i++) {
		value = measure(heap, size->bytes, calls);
		if (!value)
			goto fail;
		printf("measured %s_heap_%s %u %llu\n", name, size->name, calls,
		       (unsigned long long)value);
		for (j = i; j > 0 && found[j - 1] > value; j--)
			found[j] = found[j - 1];
		found[j] = value;
	}
	/* how much the page allocator has to look for differs from boot to boot */
	if (kind == CMA)
		printf("allowed %s_heap_%s 1.01\n", name, size->name);
	printf("pass %s_heap_%s\n", name, size->name);
	/* a call each is what is compared */
	return found[REPETITIONS / 2] / calls;
fail:
	printf("fail %s_heap_%s: %s\n", name, size->name, strerror(errno));
	return 0;
}

int main(void)
{
	int coherent = open_heap(kinds[COHERENT].heap), cma = open_heap(kinds[CMA].heap);
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t ours, theirs;

		theirs = bench(CMA, cma, &sizes[i]);
		if (coherent < 0)
			continue;
		ours = bench(COHERENT, coherent, &sizes[i]);
		printf("compared coherent_heap_%s cma_heap_%s\n", sizes[i].name, sizes[i].name);
		if (ours && ours <= theirs)
			printf("pass coherent_heap_%s_costs_no_more\n", sizes[i].name);
		else
			printf("fail coherent_heap_%s_costs_no_more: %llu against %llu\n",
			       sizes[i].name, (unsigned long long)ours,
			       (unsigned long long)theirs);
	}
	return EXIT_SUCCESS;
}
