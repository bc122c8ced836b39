/* SPDX-License-Identifier: GPL-2.0-only */
/* KTAP of the guest's programs: a plan, then a result a case. */

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int ktap_count, ktap_failed;

static inline void plan(int cases)
{
	printf("KTAP version 1\n1..%d\n", cases);
}

/* One case; the reason is printed where it fails. Returns whether it passed. */
__attribute__((format(printf, 3, 4)))
static inline bool result(bool ok, const char *name, const char *reason, ...)
{
	va_list args;

	if (!ok) {
		ktap_failed++;
		printf("# %s: ", name);
		va_start(args, reason);
		vprintf(reason, args);
		va_end(args);
		printf("\n");
	}
	printf("%s %d %s\n", ok ? "ok" : "not ok", ++ktap_count, name);
	fflush(stdout);
	return ok;
}

/* One case that cannot be judged here */
static inline void skip(const char *name, const char *reason)
{
	printf("ok %d %s # SKIP %s\n", ++ktap_count, name, reason);
	fflush(stdout);
}
