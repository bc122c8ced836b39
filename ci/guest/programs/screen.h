/* SPDX-License-Identifier: GPL-2.0-only */
/* Ask the host what the display shows: see ci/harness/screen.py. */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SCREEN_PORTS	"/sys/class/virtio-ports/*/name"
#define SCREEN_SECONDS	30

/* The port, opened; -1 where the machine has none. */
static inline int screen_open(void)
{
	char path[64], name[16];
	int port = -1;
	glob_t found;
	size_t i;

	if (glob(SCREEN_PORTS, 0, NULL, &found))
		return -1;
	for (i = 0; i < found.gl_pathc && port < 0; i++) {
		FILE *file = fopen(found.gl_pathv[i], "re");
		bool is = file && fgets(name, sizeof(name), file) && !strcmp(name, "screen\n");

		if (file)
			fclose(file);
		if (!is)
			continue;
		*strrchr(found.gl_pathv[i], '/') = '\0';
		snprintf(path, sizeof(path), "/dev/%s", strrchr(found.gl_pathv[i], '/') + 1);
		port = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	}
	globfree(&found);
	return port;
}

/* Whether the port can be read or written within the limit */
static inline bool screen_wait(int port, short events)
{
	struct pollfd ready = { .fd = port, .events = events };

	return poll(&ready, 1, SCREEN_SECONDS * 1000) == 1 && ready.revents & events;
}

/* NULL where the display shows a card, or else what is wrong. Not for two threads. */
static inline const char *screen_wrong(const char *name, unsigned int width, unsigned int height,
				       unsigned int depth, unsigned int card)
{
	static char text[256];
	static int port = -1;
	size_t length = 0;
	ssize_t n;
	int size;

	if (port < 0)
		port = screen_open();
	if (port < 0)
		return "the machine has no port named screen";
	size = snprintf(text, sizeof(text), "shown %s %u %u %u %u\n", name, width, height, depth,
			card);
	if (!screen_wait(port, POLLOUT) || write(port, text, size) != size)
		return "the host does not take the question";
	while (!memchr(text, '\n', length)) {
		if (length == sizeof(text) - 1 || !screen_wait(port, POLLIN))
			return "the host does not answer";
		n = read(port, text + length, sizeof(text) - 1 - length);
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n <= 0)
			return "the host is gone";
		length += n;
	}
	text[length - 1] = '\0';
	return strcmp(text, "same") ? text : NULL;
}
