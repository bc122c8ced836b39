/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers that the kernel tells in files. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number at the beginning of a line, behind a word or "": the file's first; or -1. */
static inline long number(const char *path, const char *word)
{
	FILE *file = fopen(path, "re");
	char line[256], *end;
	long value = -1;

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, word, strlen(word)))
			continue;
		value = strtol(line + strlen(word), &end, 10);
		if (end == line + strlen(word))
			value = -1;
		break;
	}
	fclose(file);
	return value;
}
