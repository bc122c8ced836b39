/* SPDX-License-Identifier: GPL-2.0-only */
/* Accesses of the guest's programs to memory that may not be there. */

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static __thread sigjmp_buf touch_env;

static void touch_signal(int signal)
{
	siglongjmp(touch_env, signal);
}

/* Read at an address: 0 or the signal that comes. */
static inline int touch(const volatile void *address)
{
	int signal = sigsetjmp(touch_env, 1);

	if (!signal)
		(void)*(const volatile unsigned int *)address;
	return signal;
}

/* From here on an access that fails does not end the program. */
static inline void touch_begin(void)
{
	struct sigaction action = { .sa_handler = touch_signal };

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}
