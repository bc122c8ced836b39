// SPDX-License-Identifier: GPL-2.0-only
/*
 * Write to a file again and again, each time with another allocation of the kernel's
 * failing, until all have failed once.
 *
 * usage: fail_nth FILE WORD    writes WORD-1, WORD-2 ...; prints "WORD-N ERROR" a line, with
 *	the number of the error, or 0 where the write succeeded all the same. The last one
 *	had no allocation that fails.
 * exit: 0, or 1 where the kernel cannot do that
 */

#include <stdlib.h>

#include "fail_nth.h"

int main(int argc, char **argv)
{
	struct fail_nth state;
	char text[128];
	bool more;
	int error;

	if (argc != 3) {
		fprintf(stderr, "usage: fail_nth FILE WORD\n");
		return EXIT_FAILURE;
	}
	if (!fail_nth_begin(&state, argv[1])) {
		perror(argv[1]);
		return EXIT_FAILURE;
	}
	do {
		snprintf(text, sizeof(text), "%s-%u", argv[2], state.nth + 1);
		more = fail_nth_write(&state, text, &error);
		printf("%s %d\n", text, error);
	} while (more);
	fail_nth_end(&state);
	return EXIT_SUCCESS;
}
