/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Have one allocation of the kernel's fail: the nth that a task makes. What is tested is
 * tried with the first one failing, then with the second, until none is left that could.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More allocations than any of these writes makes */
#define FAIL_NTH_MOST	500

struct fail_nth {
	int file;	/* /proc/thread-self/fail-nth */
	int to;		/* what is written to */
	unsigned int nth;
};

static inline bool fail_nth_set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, value, strlen(value)) > 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/*
 * Let allocations fail of what the kernel can do that for: slab, pages, or both. Returns
 * /proc/thread-self/fail-nth, or -1 with errno.
 */
static inline int fail_nth_open(void)
{
	static const char *const settings[][2] = {
		/* those that may sleep as well, and without a word on the console */
		{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/failslab/verbose", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
	};
	size_t i;

	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		fail_nth_set(settings[i][0], settings[i][1]);
	return open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
}

/* Make the nth allocation of this task fail from here on; 0 for none. */
static inline bool fail_nth_arm(int file, unsigned int nth)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", nth);
	return pwrite(file, number, strlen(number), 0) > 0;
}

/* Whether one has failed since: it has counted down to 0 then. */
static inline bool fail_nth_failed(int file)
{
	char number[16] = "";

	return pread(file, number, sizeof(number) - 1, 0) > 0 && number[0] == '0';
}

/* Begin with writes to a file; false where the kernel cannot do that. */
static inline bool fail_nth_begin(struct fail_nth *state, const char *path)
{
	state->nth = 0;
	state->file = state->to = -1;
	/* those that may sleep as well, and without a word on the console */
	if (!fail_nth_set("/sys/kernel/debug/failslab/ignore-gfp-wait", "N") ||
	    !fail_nth_set("/sys/kernel/debug/failslab/verbose", "0"))
		return false;
	state->file = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	state->to = open(path, O_WRONLY | O_CLOEXEC);
	return state->file >= 0 && state->to >= 0;
}

/*
 * Write, with the next allocation failing; *@error is 0 or the error of the write.
 * Returns false when no allocation was left to fail: that was the last one.
 */
static inline bool fail_nth_write(struct fail_nth *state, const char *text,
				  int *error)
{
	bool failed;
	ssize_t ret;

	if (!fail_nth_arm(state->file, ++state->nth)) {
		*error = errno;
		return false;
	}
	ret = write(state->to, text, strlen(text));
	*error = ret < 0 ? errno : 0;

	failed = fail_nth_failed(state->file);
	return fail_nth_arm(state->file, 0) && failed &&
	       state->nth < FAIL_NTH_MOST;
}

static inline void fail_nth_end(struct fail_nth *state)
{
	if (state->file >= 0)
		close(state->file);
	if (state->to >= 0)
		close(state->to);
}
