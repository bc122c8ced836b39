/* SPDX-License-Identifier: GPL-2.0-only */
/* Buffers of dma-buf heaps, and their import through the module dmabuf_importer. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>

#define HEAPS		"/dev/dma_heap/"
#define IMPORTERS	"/sys/kernel/debug/dmabuf_importer/"
#define DMA_DEBUG	"/sys/kernel/debug/dma-api/error_count"

/* What an import gave; the module says what its fields are. */
struct import {
	int error;
	unsigned int nents;
	size_t bytes;
	unsigned long long first, head;
	unsigned int longest;
	unsigned long wrong;
	int left, host;
	long reports;	/* of dma-debug, for map and unmap together */
};

/* How many errors dma-debug has counted; -1 when that cannot be read. */
static inline long dma_debug_errors(void)
{
	long count = -1;
	FILE *file = fopen(DMA_DEBUG, "r");

	if (file) {
		if (fscanf(file, "%ld", &count) != 1)
			count = -1;
		fclose(file);
	}
	return count;
}

static inline int open_heap(const char *heap)
{
	char path[128];

	snprintf(path, sizeof(path), HEAPS "%s", heap);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* A buffer of an open heap; -1 with errno. */
static inline int allocate_from(int heap, size_t size)
{
	struct dma_heap_allocation_data data = {
		.len = size,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};

	return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) ? -1 : (int)data.fd;
}

/* A buffer of a heap; -1 with errno. */
static inline int allocate(const char *name, size_t size)
{
	int heap = open_heap(name), buf, error;

	if (heap < 0)
		return -1;
	buf = allocate_from(heap, size);
	error = errno;
	close(heap);
	errno = error;
	return buf;
}

/* Begin or end access of the CPU: DMA_BUF_SYNC_START or DMA_BUF_SYNC_END. */
static inline int sync_buffer(int buf, unsigned long flags)
{
	struct dma_buf_sync sync = { .flags = flags | DMA_BUF_SYNC_RW };

	return ioctl(buf, DMA_BUF_IOCTL_SYNC, &sync);
}

/* Have the module do something with an importer: 0 or the error. */
static inline int tell_importer(const char *importer, const char *format, int buf)
{
	char path[256];
	int fd, error;

	snprintf(path, sizeof(path), IMPORTERS "%s", importer);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return errno;
	error = dprintf(fd, format, buf) < 0 ? errno : 0;
	close(fd);
	return error;
}

/* Import a buffer; words after its number: what the module is to check, or NULL. */
static inline struct import import(const char *importer, int buf,
				   const char *words)
{
	struct import got = {};
	long before = dma_debug_errors();
	char text[256] = "";
	int fd;

	snprintf(text, sizeof(text), IMPORTERS "%s", importer);
	fd = open(text, O_RDWR);
	if (fd < 0 || dprintf(fd, "%d %s", buf, words ?: "") < 0) {
		got.error = errno;
	} else if (pread(fd, text, sizeof(text) - 1, 0) < 0 ||
		   sscanf(text, "nents %u bytes %zu first %llx head %llx longest %u wrong %lu left %d host %d",
			  &got.nents, &got.bytes, &got.first, &got.head,
			  &got.longest, &got.wrong, &got.left, &got.host) != 8) {
		got.error = EPROTO;
	}
	if (fd >= 0)
		close(fd);
	got.reports = dma_debug_errors() - before;
	return got;
}
