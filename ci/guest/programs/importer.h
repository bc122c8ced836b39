/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's programs and /modules/slow_importer.ko, which says what can be asked. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define IMPORTER	"/sys/kernel/debug/slow_importer"

/* Tell the importer; 0 or -errno. */
__attribute__((format(printf, 1, 2)))
static inline int importer(const char *format, ...)
{
	int ret = 0, fd = open(IMPORTER, O_WRONLY | O_CLOEXEC);
	char line[64];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

/* What the importer says; -1 where it says nothing. */
static inline int importer_says(const char *word)
{
	FILE *file = fopen(IMPORTER, "re");
	int mapped = -1, notified = -1, fence = -1;

	if (file) {
		if (fscanf(file, "mapped %d notified %d fence %d", &mapped,
			   &notified, &fence) != 3)
			mapped = notified = fence = -1;
		fclose(file);
	}
	if (!strcmp(word, "mapped"))
		return mapped;
	return strcmp(word, "fence") ? notified : fence;
}
