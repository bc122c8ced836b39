/* SPDX-License-Identifier: GPL-2.0-only */
/* Time of the guest's programs. */

#include <stdint.h>
#include <time.h>

/* Nanoseconds since some time; under -icount, instructions. */
static inline uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static inline void sleep_ms(long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}
