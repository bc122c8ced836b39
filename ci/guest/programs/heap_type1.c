// SPDX-License-Identifier: GPL-2.0-only
/*
 * A type 1 container does not map a buffer of a heap whose memory goes to others when the
 * buffer is released: it would keep the page frames.
 *
 * usage: heap_type1 HEAP BDF    BDF: a device that vfio-pci is bound to; prints KTAP
 * exit: 0 all pass, 1 not so, 2 wrong use
 */

#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "container.h"
#include "heap.h"
#include "ktap.h"

#define IOVA 0x10000000

int main(int argc, char **argv)
{
	size_t page = getpagesize();
	void *memory, *shared;
	struct container container;
	int opened, buf, ret;

	if (argc != 3) {
		fprintf(stderr, "usage: heap_type1 HEAP BDF\n");
		return 2;
	}
	opened = container_open(&container, CONTAINER_TYPE1, VFIO_TYPE1v2_IOMMU,
				argv[2]);
	buf = allocate(argv[1], page);
	shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (opened || shared == MAP_FAILED || memory == MAP_FAILED) {
		fprintf(stderr, "heap_type1: no container or no buffer: %s\n", strerror(errno));
		return 1;
	}
	memset(shared, 1, page);

	plan(2);
	ret = container_map(&container, shared, IOVA, page);
	result(ret == -EOPNOTSUPP, "buffer_refused", "the error is %d", ret);
	ret = container_map(&container, memory, IOVA, page);
	result(!ret, "other_memory_mapped", "the error is %d", ret);
	return ktap_failed != 0;
}
