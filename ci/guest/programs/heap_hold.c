// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holds a buffer of a heap.
 *
 * usage: heap_hold HEAP BYTES    prints "held" or the name of the error, then waits
 *                                until its standard input ends
 * exit: 0 it had the buffer, 1 not so, 2 wrong use
 */

#define _GNU_SOURCE
#include <stdlib.h>

#include "heap.h"

int main(int argc, char **argv)
{
	char byte;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: heap_hold HEAP BYTES\n");
		return 2;
	}
	fd = allocate(argv[1], strtoul(argv[2], NULL, 0));
	printf("%s\n", fd < 0 ? strerrorname_np(errno) : "held");
	fflush(stdout);
	if (fd < 0)
		return 1;
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
