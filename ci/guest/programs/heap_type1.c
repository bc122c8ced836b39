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

#include <linux/vfio.h>

#include "group.h"
#include "heap.h"
#include "ktap.h"

#define IOVA 0x10000000

/* A container of the group of a device, or -1 */
static int container_open(const char *bdf)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	int group = group_open(bdf);

	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -1;
	return container;
}

/* Map a page; 0 or the error */
static int map(int container, void *vaddr, size_t size)
{
	struct vfio_iommu_type1_dma_map dma = {
		.argsz = sizeof(dma),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)vaddr,
		.iova = IOVA,
		.size = size,
	};

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &dma) ? errno : 0;
}

int main(int argc, char **argv)
{
	size_t page = getpagesize();
	void *memory, *shared;
	int container, buf, ret;

	if (argc != 3) {
		fprintf(stderr, "usage: heap_type1 HEAP BDF\n");
		return 2;
	}
	container = container_open(argv[2]);
	buf = allocate(argv[1], page);
	shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (container < 0 || shared == MAP_FAILED || memory == MAP_FAILED) {
		fprintf(stderr, "heap_type1: no container or no buffer: %s\n", strerror(errno));
		return 1;
	}
	memset(shared, 1, page);

	plan(2);
	ret = map(container, shared, page);
	result(ret == EOPNOTSUPP, "buffer_refused", "the error is %d", ret);
	ret = map(container, memory, page);
	result(!ret, "other_memory_mapped", "the error is %d", ret);
	return ktap_failed != 0;
}
