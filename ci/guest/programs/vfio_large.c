// SPDX-License-Identifier: GPL-2.0-only
/*
 * A BAR of more than 4 GiB, at an address of more than 32 bits: as a dma-buf whose length
 * does not fit into a segment of a scatterlist, and as the target of DMA by a device
 * that has an address mask of 32 bits and is behind the IOMMU.
 *
 * usage: vfio_large LARGE EDU IMPORTER bus|direct    prints KTAP; LARGE and EDU are bound
 *	to vfio-pci, IMPORTER to /modules/slow_importer.ko. LARGE is ivshmem, whose BAR 2
 *	is the memory.
 *   bus	IMPORTER gets to the BAR by the bus that both are on: nothing is mapped
 *   direct	it gets there through the host bridge, with no IOMMU that translates: each
 *		segment is a mapping of the DMA API
 * Needs CONFIG_DMA_API_DEBUG.
 * exit: 0 all pass, 1 not so
 */

#include <stdbool.h>
#include <sys/mman.h>

#include "clock.h"
#include "importer.h"
#include "ktap.h"
#include "vfio.h"

#define BAR		2
#define GIB		(1ULL << 30)
#define DUMP		"/sys/kernel/debug/dma-api/dump"

/* Where edu finds memory and the BAR: within its mask */
#define MEMORY_IOVA	0x10000000ULL
#define BAR_IOVA	0x20000000ULL

/* A page of the BAR that is at more than 32 bits, whatever the BAR's address */
#define FAR		(6 * GIB)

/* The registers of edu that are for DMA, and the memory that it has inside */
#define EDU_SOURCE	0x80
#define EDU_TARGET	0x88
#define EDU_COUNT	0x90
#define EDU_COMMAND	0x98
#define EDU_START	1ULL
#define EDU_WRITE	2ULL
#define EDU_INSIDE	0x40000ULL

#ifndef IOMMU_IOAS_MAP
#define IOMMU_IOAS_MAP _IO(';', 0x85)

struct iommu_ioas_map {
	__u32 size;
	__u32 flags;
	__u32 ioas_id;
	__u32 __reserved;
	__aligned_u64 user_va;
	__aligned_u64 length;
	__aligned_u64 iova;
};
#endif

static size_t page;

/* --- the length */

/* What dma-debug knows a device to have mapped */
struct mapped {
	int count;		/* -1 where that cannot be read */
	unsigned long long bytes, longest;
	int moved;		/* mapped at another address than the physical one */
};

static struct mapped mapped_for(const char *bdf)
{
	unsigned long long phys, addr, size;
	struct mapped found = {};
	FILE *file = fopen(DUMP, "re");
	char line[256], name[64];

	if (!file)
		return (struct mapped){ .count = -1 };
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%*s %63s %*s idx %*d P=%llx D=%llx L=%llx",
			   name, &phys, &addr, &size) != 4 ||
		    strcmp(name, bdf))
			continue;
		found.count++;
		found.bytes += size;
		if (size > found.longest)
			found.longest = size;
		found.moved += addr != phys;
	}
	fclose(file);
	return found;
}

/* What the importer was given last. 0 or -errno. */
static int segments(unsigned int *count, unsigned int *largest,
		    unsigned long long *bytes)
{
	FILE *file = fopen(IMPORTER, "re");
	int ret = 0;

	if (!file)
		return -errno;
	if (fscanf(file, "mapped %*d notified %*d fence %*d entries %u largest %u bytes %llu",
		   count, largest, bytes) != 3)
		ret = -EIO;
	fclose(file);
	return ret;
}

/*
 * A segment has at most as many whole pages as its length can tell, and there are no more
 * segments than that takes. With the importer's DMA direct, dma-debug has a mapping for
 * each of them, and none is left when they are given back.
 */
static void test_length(int device, const char *bdf, uint64_t length,
			bool direct, const char *name)
{
	const uint64_t most = 4 * GIB - page;
	const unsigned int wanted = (length + most - 1) / most;
	int buf = vfio_export(device, BAR, 0, length), ret;
	unsigned int count = 0, largest = 0;
	struct mapped amid, after;
	unsigned long long bytes = 0;
	char mappings[64];
	bool passed;

	ret = buf < 0 ? buf : importer("attach %d", buf) ?:
	      importer("map 0 notified") ?: segments(&count, &largest, &bytes);
	amid = mapped_for(bdf);
	importer("detach");
	after = mapped_for(bdf);
	passed = result(!ret && bytes == length && count == wanted &&
			largest == most, name,
			"import %d, %u segments, not %u, the largest of %u bytes, %llu bytes of %llu",
			ret, count, wanted, largest, bytes,
			(unsigned long long)length);
	if (direct)
		passed = passed && amid.count == (int)wanted && !amid.moved &&
			 amid.bytes == length && amid.longest == most;
	else
		passed = passed && !amid.count;
	snprintf(mappings, sizeof(mappings), "%s_mappings", name);
	result(passed && !after.count, mappings,
	       "%d mappings, %d of them moved, of %llu bytes, the longest of %llu; %d after",
	       amid.count, amid.moved, amid.bytes, amid.longest, after.count);
	if (buf >= 0)
		close(buf);
}

/* --- the address */

/* What edu copies at once. A page is all that it has inside, and QEMU 7.2 takes that for too much. */
static size_t edu_bytes;

/* Let edu do DMA, which takes it 100 ms. 0 or -errno. */
static int edu_dma(volatile uint64_t *edu, uint64_t source, uint64_t target,
		   uint64_t command)
{
	int i;

	edu[EDU_SOURCE / 8] = source;
	edu[EDU_TARGET / 8] = target;
	edu[EDU_COUNT / 8] = edu_bytes;
	edu[EDU_COMMAND / 8] = command | EDU_START;
	for (i = 0; i < 100; i++) {
		if (!(edu[EDU_COMMAND / 8] & EDU_START))
			return 0;
		sleep_ms(50);
	}
	return -ETIMEDOUT;
}

/* Let the device do DMA. 0 or -errno. */
static int master(int device)
{
	struct vfio_region_info config;
	uint16_t command;
	off_t offset;

	if (vfio_region(device, VFIO_PCI_CONFIG_REGION_INDEX, &config))
		return -errno;
	offset = config.offset + PCI_COMMAND;
	if (pread(device, &command, sizeof(command), offset) != sizeof(command))
		return -EIO;
	command |= PCI_COMMAND_MASTER;
	if (pwrite(device, &command, sizeof(command), offset) != sizeof(command))
		return -EIO;
	return 0;
}

/* Memory goes by way of edu into the BAR. 0 or -errno. */
static int copy(volatile uint64_t *edu, unsigned char *memory,
		const volatile unsigned char *bar, unsigned char seed)
{
	size_t at;
	int ret;

	for (at = 0; at < edu_bytes; at++)
		memory[at] = seed + at * 7;
	ret = edu_dma(edu, MEMORY_IOVA, EDU_INSIDE, 0) ?:
	      edu_dma(edu, EDU_INSIDE, BAR_IOVA, EDU_WRITE);
	for (at = 0; !ret && at < edu_bytes; at++)
		if (bar[at] != memory[at])
			ret = -EILSEQ;
	return ret;
}

static void test_address(int large, const char *bdf)
{
	int iommufd = vfio_open_iommufd(), buf = -1, ret = -1, again = -1;
	struct vfio_region_info registers, info;
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.length = page,
		.iova = MEMORY_IOVA,
	};
	void *edu = MAP_FAILED, *bar = MAP_FAILED, *memory;
	uint32_t pt = 0;
	int device = iommufd < 0 ? -1 : vfio_open_in(bdf, iommufd, &pt);

	memory = mmap(NULL, page, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (device >= 0 && !vfio_region(device, 0, &registers))
		edu = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED,
			   device, registers.offset);
	if (!vfio_region(large, BAR, &info))
		bar = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, large,
			   info.offset + FAR);
	if (edu != MAP_FAILED && bar != MAP_FAILED && memory != MAP_FAILED) {
		buf = vfio_export(large, BAR, FAR, page);
		map.ioas_id = pt;
		map.user_va = (uintptr_t)memory;
		ret = ioctl(iommufd, IOMMU_IOAS_MAP, &map) ? -errno :
			vfio_import(iommufd, pt, buf, BAR_IOVA, page) ?:
			master(device) ?: copy(edu, memory, bar, 1);
		/* the buffer goes and comes back, and is mapped again */
		vfio_memory(large, false);
		vfio_unimport(iommufd, pt, BAR_IOVA, page);
		vfio_memory(large, true);
		again = vfio_import(iommufd, pt, buf, BAR_IOVA, page) ?:
			copy(edu, memory, bar, 2);
	}
	result(!ret, "dma_to_a_far_bar", "device %d, buffer %d, outcome %d",
	       device >= 0, buf >= 0, ret);
	result(!again, "dma_to_a_far_bar_mapped_again", "outcome %d", again);
}

int main(int argc, char **argv)
{
	struct vfio_region_info info;
	bool direct;
	int large;

	if (argc != 5 || (strcmp(argv[4], "bus") && strcmp(argv[4], "direct"))) {
		fprintf(stderr, "usage: vfio_large LARGE EDU IMPORTER bus|direct\n");
		return 1;
	}
	direct = !strcmp(argv[4], "direct");
	page = getpagesize();
	edu_bytes = page / 2;

	plan(6);
	large = vfio_open(argv[1]);
	if (large < 0 || vfio_region(large, BAR, &info))
		return 1;
	test_length(large, argv[3], info.size, direct, "whole_bar");
	test_length(large, argv[3], 4 * GIB + page, direct, "four_gib_and_a_page");
	test_address(large, argv[2]);

	return ktap_failed != 0;
}
