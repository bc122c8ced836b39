/* SPDX-License-Identifier: GPL-2.0-only */
/* The guest's programs and /modules/mapping_probe.ko, which says what can be asked. */

#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROBE		"/sys/kernel/debug/mapping_probe"

/* Ask the probe; its answer, or an empty one */
__attribute__((format(printf, 1, 2)))
static inline const char *probe(const char *format, ...)
{
	static char answer[128];
	int fd = open(PROBE, O_RDWR | O_CLOEXEC);
	char line[64];
	ssize_t got = 0;
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (fd >= 0 && write(fd, line, strlen(line)) > 0)
		got = read(fd, answer, sizeof(answer) - 1);
	if (fd >= 0)
		close(fd);
	answer[got > 0 ? got : 0] = 0;
	return answer;
}

/* Whether a device translates an IOVA: 0 or 1, -1 where the probe does not answer */
static inline int probe_dma(const char *bdf, uint64_t iova)
{
	int yes;

	return sscanf(probe("dma %s %llx", bdf, (unsigned long long)iova),
		      "dma %d", &yes) == 1 ? yes : -1;
}
