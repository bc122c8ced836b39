// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dma-buf heap of shared memory, as user space and an importer see it.
 *
 * usage: heap_cc_shared guest|viommu|host    prints KTAP
 *   guest	in a guest whose memory is encrypted: the heap is there and works
 *   viommu	the same, and the IOMMU of the PCI device can map shared memory
 *   host	on a host whose memory is encrypted: the heap is not there
 * Needs /dev/dma_heap, the module dmabuf_importer with a PCI device behind an
 * IOMMU bound to it, and CONFIG_DMA_API_DEBUG.
 * exit: 0 all pass, 1 not so
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "heap.h"
#include "ktap.h"
#include "number.h"

#define SHARED	"system_cc_shared"
#define PLAIN	"system"
#define SIZE	(64 * 1024)	/* more than a page, and fits a bounce buffer */
#define SLOTS	"/sys/kernel/debug/swiotlb/io_tlb_used"
#define ROUNDS	100
#define PATTERN	0x5a17ed0fcafef00dULL

/* Write the pattern all over the buffer, through one mapping, and read it in another. */
static bool fill(int buf)
{
	unsigned long long *out, *in;
	bool same = true;
	size_t i;

	out = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	if (out == MAP_FAILED)
		return false;
	if (sync_buffer(buf, DMA_BUF_SYNC_START))
		same = false;
	for (i = 0; i < SIZE / sizeof(*out); i++)
		out[i] = PATTERN;
	if (sync_buffer(buf, DMA_BUF_SYNC_END))
		same = false;
	munmap(out, SIZE);

	in = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, buf, 0);
	if (in == MAP_FAILED)
		return false;
	for (i = 0; i < SIZE / sizeof(*in); i++)
		same = same && in[i] == PATTERN;
	munmap(in, SIZE);
	return same;
}

static bool sees_data(const struct import *got)
{
	return !got->error && got->bytes == SIZE && got->head == PATTERN;
}

static void import_result(const char *name, const struct import *got)
{
	result(sees_data(got), name, "error %d, %u entries, %zu bytes, data %llx",
	       got->error, got->nents, got->bytes, got->head);
}

/* A buffer of private memory reaches the device too, bounced where it has to be. */
static void plain_heap(void)
{
	struct import got;
	int buf = allocate(PLAIN, SIZE);

	result(buf >= 0 && fill(buf), "plain_heap_read_write", "%s", strerror(errno));
	got = import("direct", buf, NULL);
	import_result("plain_heap_import_direct", &got);
	result(!got.reports, "plain_heap_unmap_direct", "dma-debug reports %ld errors",
	       got.reports);
	close(buf);
}

/* The address leads to the buffer, and the device gets to where the host sees it. */
static void behind_viommu(int buf)
{
	struct import got = import("pci", buf, NULL);

	result(sees_data(&got) && got.host, "import_behind_iommu",
	       "error %d, %u entries, %zu bytes, data %llx, shared %d", got.error,
	       got.nents, got.bytes, got.head, got.host);
	result(!got.left, "unmap_behind_iommu", "still mapped");
	result(!got.reports, "unmap_behind_iommu_as_mapped", "dma-debug reports %ld errors",
	       got.reports);
}

/* How much of the bounce buffers is used at least, while others may use some for a moment */
static long slots(void)
{
	long least = number(SLOTS, ""), used;
	int i;

	for (i = 0; i < 20 && least > 0; i++) {
		sleep_ms(10);
		used = number(SLOTS, "");
		if (used < least)
			least = used;
	}
	return least;
}

/* The device gets to the buffer itself, not to a copy, or is refused. */
static void leaves_no_slots(int buf, int error)
{
	long before = slots(), amid = -1, after;
	int ret = 0, i;

	for (i = 0; i < ROUNDS; i++) {
		ret = tell_importer("pci", "hold %d", buf);
		if (ret != error)
			break;
		if (i == ROUNDS - 1)
			amid = slots();
		tell_importer("pci", "release", 0);
	}
	after = slots();
	result(ret == error && i == ROUNDS && before >= 0 && amid <= before &&
	       after <= before, "import_leaves_no_slots",
	       "error %d in round %d, slots in use: %ld before, %ld while it is mapped, %ld after",
	       ret, i, before, amid, after);
}

static void in_guest(bool viommu)
{
	struct import got;
	int buf;

	plan(viommu ? 12 : 10);
	result(!access(HEAPS SHARED, R_OK | W_OK), "heap_is_there", "%s: %s", SHARED,
	       strerror(errno));
	buf = allocate(SHARED, SIZE);
	result(buf >= 0, "allocate", "%s", strerror(errno));
	result(buf >= 0 && fill(buf), "read_write", "%s", strerror(errno));

	got = import("direct", buf, NULL);
	import_result("import_direct", &got);
	result(!got.reports, "unmap_direct_as_mapped", "dma-debug reports %ld errors",
	       got.reports);

	if (viommu) {
		behind_viommu(buf);
	} else {
		/* The driver cannot map shared memory as such: an error, not a guess. */
		got = import("pci", buf, NULL);
		result(got.error == EOPNOTSUPP, "import_behind_iommu_refused",
		       "error %d, %u entries, %zu bytes", got.error, got.nents, got.bytes);
	}
	leaves_no_slots(buf, viommu ? 0 : EOPNOTSUPP);
	close(buf);
	plain_heap();
}

static void on_host(void)
{
	plan(4);
	result(access(HEAPS SHARED, F_OK) && errno == ENOENT, "heap_is_not_there",
	       "%s is there", SHARED);
	plain_heap();
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "guest")) {
		in_guest(false);
	} else if (argc == 2 && !strcmp(argv[1], "viommu")) {
		in_guest(true);
	} else if (argc == 2 && !strcmp(argv[1], "host")) {
		on_host();
	} else {
		fprintf(stderr, "usage: %s guest|viommu|host\n", argv[0]);
		return 1;
	}
	return ktap_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
