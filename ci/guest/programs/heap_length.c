// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ask the system heap for lengths of which a size_t of 32 bits holds only a page. With one
 * of 64 bits the heap would take all memory of the system before it fails.
 *
 * usage: heap_length    prints KTAP
 * exit: 0 all pass, 1 not so
 */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "ktap.h"

#define HEAP	"system"

static void refused(const char *name, uint64_t length)
{
	struct dma_heap_allocation_data data = { .len = length, .fd_flags = O_RDWR | O_CLOEXEC };
	int heap = open_heap(HEAP), ret = heap < 0 ? 0 : ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data);
	int error = errno;

	result(heap >= 0 && ret && error == ENOMEM, name, "%s",
	       heap < 0 || ret ? strerror(error) : "a buffer of another length");
	if (heap >= 0 && !ret)
		close(data.fd);
	close(heap);
}

int main(void)
{
	plan(2);
	refused("four_gibibytes_and_a_page", (1ull << 32) + 4096);
	refused("eight_exbibytes_and_a_page", (1ull << 63) + 4096);
	return ktap_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
