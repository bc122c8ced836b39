// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dma-buf heap of shared memory, as user space and an importer see it.
 *
 * usage: heap_cc_shared guest|host    prints KTAP
 *   guest	in a guest whose memory is encrypted: the heap is there and works
 *   host	on a host whose memory is encrypted: the heap is not there
 * Needs /dev/dma_heap, the module dmabuf_importer with a PCI device behind an
 * IOMMU bound to it, and CONFIG_DMA_API_DEBUG.
 * exit: 0 all pass, 1 not so
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>

#define SHARED	"/dev/dma_heap/system_cc_shared"
#define PLAIN	"/dev/dma_heap/system"
#define DIRECT	"/sys/kernel/debug/dmabuf_importer/direct"
#define PCI	"/sys/kernel/debug/dmabuf_importer/pci"
#define ERRORS	"/sys/kernel/debug/dma-api/error_count"
#define SIZE	(64 * 1024)	/* more than a page, and fits a bounce buffer */
#define PATTERN	0x5a17ed0fcafef00dULL

static int number, failures;

/* One case; the reason is printed where it fails. */
static void result(bool ok, const char *name, const char *reason, ...)
{
	va_list args;

	if (!ok) {
		failures++;
		printf("# %s: ", name);
		va_start(args, reason);
		vprintf(reason, args);
		va_end(args);
		printf("\n");
	}
	printf("%s %d %s\n", ok ? "ok" : "not ok", ++number, name);
	fflush(stdout);
}

/* How many errors dma-debug has counted; -1 when that cannot be read. */
static long errors(void)
{
	long count = -1;
	FILE *file = fopen(ERRORS, "r");

	if (file) {
		if (fscanf(file, "%ld", &count) != 1)
			count = -1;
		fclose(file);
	}
	return count;
}

/* A buffer of SIZE bytes from a heap; -1 with errno. */
static int allocate(const char *heap)
{
	struct dma_heap_allocation_data data = {
		.len = SIZE,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};
	int fd = open(heap, O_RDWR | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -1;
	ret = ioctl(fd, DMA_HEAP_IOCTL_ALLOC, &data);
	close(fd);
	return ret ? -1 : (int)data.fd;
}

static int sync_buffer(int buf, unsigned long flags)
{
	struct dma_buf_sync sync = { .flags = flags | DMA_BUF_SYNC_RW };

	return ioctl(buf, DMA_BUF_IOCTL_SYNC, &sync);
}

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

struct import {
	int error;
	unsigned int nents;
	size_t bytes;
	unsigned long long head;
	long reports;	/* of dma-debug, for map and unmap together */
};

static struct import import(const char *importer, int buf)
{
	struct import got = {};
	long before = errors();
	char text[256] = "";
	int fd = open(importer, O_RDWR);

	if (fd < 0 || dprintf(fd, "%d", buf) < 0) {
		got.error = errno;
	} else if (pread(fd, text, sizeof(text) - 1, 0) < 0 ||
		   sscanf(text, "nents %u bytes %zu first %*s head %llx",
			  &got.nents, &got.bytes, &got.head) != 3) {
		got.error = EIO;
	}
	if (fd >= 0)
		close(fd);
	got.reports = errors() - before;
	return got;
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
	int buf = allocate(PLAIN);

	result(buf >= 0 && fill(buf), "plain_heap_read_write", "%s", strerror(errno));
	got = import(DIRECT, buf);
	import_result("plain_heap_import_direct", &got);
	result(!got.reports, "plain_heap_unmap_direct", "dma-debug reports %ld errors",
	       got.reports);
	close(buf);
}

static void in_guest(void)
{
	struct import got;
	int buf;

	printf("1..9\n");
	result(!access(SHARED, R_OK | W_OK), "heap_is_there", "%s: %s", SHARED,
	       strerror(errno));
	buf = allocate(SHARED);
	result(buf >= 0, "allocate", "%s", strerror(errno));
	result(buf >= 0 && fill(buf), "read_write", "%s", strerror(errno));

	got = import(DIRECT, buf);
	import_result("import_direct", &got);
	result(!got.reports, "unmap_direct_as_mapped", "dma-debug reports %ld errors",
	       got.reports);

	/* No IOMMU driver can map shared memory as such: an error, not a guess. */
	got = import(PCI, buf);
	result(got.error == EOPNOTSUPP, "import_behind_iommu_refused",
	       "error %d, %u entries, %zu bytes", got.error, got.nents, got.bytes);
	close(buf);
	plain_heap();
}

static void on_host(void)
{
	printf("1..4\n");
	result(access(SHARED, F_OK) && errno == ENOENT, "heap_is_not_there",
	       "%s is there", SHARED);
	plain_heap();
}

int main(int argc, char **argv)
{
	printf("KTAP version 1\n");
	if (argc == 2 && !strcmp(argv[1], "guest")) {
		in_guest();
	} else if (argc == 2 && !strcmp(argv[1], "host")) {
		on_host();
	} else {
		fprintf(stderr, "usage: %s guest|host\n", argv[0]);
		return 1;
	}
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
