// SPDX-License-Identifier: GPL-2.0-only
/*
 * Show buffers of a heap, as a program for a display does it: allocate, draw, import by
 * PRIME, set the mode, flip. The display is QEMU's PL111, whose memory is the heap
 * vram@18000000; what it shows is seen by the host.
 *
 * usage: display show         print KTAP: pictures, and what is refused
 *        display flips N      N flips under load
 *        display neighbour    a pool beside that of the display, heap next@18400000
 *        display refused      mmap() of a dumb buffer, with each page that it allocates failing
 *        display idle|memory|ioctl|unbind    the driver is unbound while the device is open;
 *                             shown is: nothing, a dumb buffer, the same which is then used,
 *                             a buffer of the heap
 * exit: 0 all pass, 1 not so, 2 wrong use
 */

#define _GNU_SOURCE
#include <linux/fb.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "display.h"
#include "fail_nth.h"
#include "ktap.h"
#include "number.h"
#include "screen.h"

#define HEAP		"vram@18000000"
#define NEIGHBOUR	"next@18400000"
#define POOL		"/sys/kernel/debug/coherent_heap/" HEAP
#define DRIVER		"/sys/bus/amba/drivers/drm-clcd-pl111/"
#define PAGE		4096ul
#define PIECES		64

static struct display display;

static long pool_free(void)
{
	return number(POOL, "free ");
}

/* A case: what returned 0, or -1 with errno */
static bool worked(const char *name, int ret)
{
	return result(!ret, name, "%s", strerror(errno));
}

/* A case: what is to fail with this error */
static bool fails(const char *name, int ret, int error)
{
	int was = ret ? errno : 0;

	return result(ret && was == error, name, "%s", was ? strerror(was) : "it works");
}

/* A case: the display shows this card */
static bool shows(const char *name, unsigned int depth, unsigned int card)
{
	const char *wrong = screen_wrong(name, display.mode.hdisplay, display.mode.vdisplay, depth,
					 card);

	return result(!wrong, name, "%s", wrong ?: "");
}

/* A buffer that can be shown; 0, or -1 with errno */
static int shown_buffer(struct buffer *buffer, size_t more, unsigned int depth)
{
	if (buffer_allocate(buffer, HEAP, display_size(&display, depth) + more, depth) ||
	    buffer_import(&display, buffer))
		return -1;
	return buffer_whole_frame(&display, buffer);
}

/* --- pictures */

static void show_two(struct buffer *first, struct buffer *second)
{
	size_t size = display_size(&display, 16);
	int ret;

	ret = buffer_allocate(first, HEAP, size, 16);
	worked("heap", ret ?: buffer_allocate(second, HEAP, size, 16));
	ret = buffer_import(&display, first);
	worked("import", ret ?: buffer_import(&display, second));
	ret = buffer_whole_frame(&display, first);
	worked("frames", ret ?: buffer_whole_frame(&display, second));

	buffer_draw(&display, first, 1);
	buffer_draw(&display, second, 2);
	worked("set_mode", display_set(&display, first));
	shows("first_buffer", 16, 1);
	worked("flip", display_flip(&display, second));
	shows("second_buffer", 16, 2);
	ret = display_flip(&display, first);
	worked("flip_back", ret);
	shows("first_buffer_again", 16, 1);
	/* without a flip: the memory is that of the display */
	buffer_draw(&display, first, 3);
	shows("drawn_while_shown", 16, 3);
}

static int send_buffer(int to, int buf, unsigned int card)
{
	char space[CMSG_SPACE(sizeof(int))] = {};
	struct iovec data = { &card, sizeof(card) };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = space, .msg_controllen = sizeof(space),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &buf, sizeof(int));
	return sendmsg(to, &message, 0) == sizeof(card) ? 0 : -1;
}

/* The other process: draws each card into the buffer that comes with it, and answers. */
static void paint(int from)
{
	char space[CMSG_SPACE(sizeof(int))] = {};
	unsigned int card;
	struct iovec data = { &card, sizeof(card) };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = space, .msg_controllen = sizeof(space),
	};
	struct buffer buffer = NO_BUFFER;
	struct cmsghdr *head;

	while (recvmsg(from, &message, 0) == sizeof(card) && (head = CMSG_FIRSTHDR(&message))) {
		memcpy(&buffer.fd, CMSG_DATA(head), sizeof(int));
		buffer.depth = 16;
		buffer.size = display_size(&display, 16);
		buffer.mem = mmap(NULL, buffer.size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer.fd,
				  0);
		if (buffer.mem == MAP_FAILED)
			break;
		buffer_draw(&display, &buffer, card);
		munmap(buffer.mem, buffer.size);
		close(buffer.fd);
		if (write(from, "", 1) != 1)
			break;
		message.msg_controllen = sizeof(space);
	}
	_exit(0);
}

/* The other process, which has nothing of ours: it does not share the device. */
static pid_t painter(int *to)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -1;
	pid = fork();
	if (!pid) {
		close(ends[0]);
		close(display.fd);
		paint(ends[1]);
	}
	close(ends[1]);
	*to = ends[0];
	return pid;
}

static void show_another(int painter, struct buffer *shown)
{
	char byte;

	result(!send_buffer(painter, shown->fd, 4) && read(painter, &byte, 1) == 1, "sent",
	       "%s", strerror(errno));
	shows("drawn_by_another", 16, 4);
}

static void show_deep(void)
{
	struct buffer deep;

	worked("deep_buffer", shown_buffer(&deep, 0, 32));
	buffer_draw(&display, &deep, 5);
	worked("deep_mode", display_set(&display, &deep));
	shows("deep_picture", 32, 5);
	buffer_free(&display, &deep);
}

/* --- sizes */

static void show_sizes(struct buffer *first)
{
	unsigned int width = display.mode.hdisplay, height = display.mode.vdisplay;
	size_t pitch = display_pitch(&display, 16);
	struct buffer other;

	worked("larger_buffer", shown_buffer(&other, 64 * PAGE, 16));
	buffer_draw(&display, &other, 6);
	worked("larger_mode", display_set(&display, &other));
	shows("larger_picture", 16, 6);

	/* no more than our framebuffer has what is shown */
	buffer_close(&display, &other);
	shows("given_back_while_shown", 16, 6);
	buffer_draw(&display, first, 7);
	worked("mode_after_that", display_set(&display, first));
	buffer_free(&display, &other);

	buffer_allocate(&other, HEAP, display_size(&display, 16) / 2, 16);
	worked("smaller_buffer", buffer_import(&display, &other));
	fails("smaller_refused", buffer_whole_frame(&display, &other), EINVAL);
	worked("small_frame", buffer_frame(&display, &other, width, height / 2, pitch));
	fails("small_frame_refused", display_set(&display, &other), ENOSPC);
	buffer_free(&display, &other);

	buffer_allocate(&other, HEAP, display_size(&display, 16) + 64 * height, 16);
	buffer_import(&display, &other);
	worked("wide_frame", buffer_frame(&display, &other, width, height, pitch + 64));
	fails("pitch_refused", display_set(&display, &other), EINVAL);
	shows("still_shown", 16, 7);
	buffer_free(&display, &other);
}

/* --- other buffers */

/* How many lines of the kernel's log have these words, which are for grep */
static int messages(const char *words)
{
	char command[128];
	FILE *pipe;
	int count;

	snprintf(command, sizeof(command), "dmesg | grep -c '%s'", words);
	pipe = popen(command, "r");
	if (!pipe || fscanf(pipe, "%d", &count) != 1)
		count = -1;
	if (pipe)
		pclose(pipe);
	return count;
}

static int import_of(const char *heap, size_t size)
{
	struct buffer buffer = NO_BUFFER;
	int ret, error;

	buffer.fd = allocate(heap, size);
	if (buffer.fd < 0)
		return -1;
	ret = buffer_import(&display, &buffer);
	error = errno;
	buffer_close(&display, &buffer);
	errno = error;
	return ret;
}

static void show_others(void)
{
	fails("system_refused", import_of("system", PAGE), EINVAL);
	fails("cma_refused", import_of("default_cma_region", PAGE), EINVAL);
	result(messages("cannot import a buffer of ") == 1, "refused_with_one_message",
	       "%d messages", messages("cannot import a buffer of "));
}

/* --- offsets of the DRM device that nobody has been told */

#define OFFSETS		(0x10000000 / PAGE)	/* where they begin, with 32 bits */
#define OFFSETS_TRIED	16384
#define PATTERN		0x5ca1ab1e

/* How many can be mapped; and how many of these are mappings of a dma-buf, with PATTERN in it */
struct offsets {
	int mapped, dmabuf;
};

/* Whether the mapping that begins at an address is one of a dma-buf */
static bool maps_dmabuf(const void *mem)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	bool found = false;
	char line[256];

	while (maps && !found && fgets(line, sizeof(line), maps))
		found = strtoul(line, NULL, 16) == (unsigned long)mem && strstr(line, "/dmabuf:");
	if (maps)
		fclose(maps);
	return found;
}

static struct offsets offsets_mapped(void)
{
	struct offsets count = { 0 };
	uint32_t *mem;
	int page;

	for (page = 0; page < OFFSETS_TRIED; page++) {
		mem = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, display.fd, (OFFSETS + page) * PAGE);
		if (mem == MAP_FAILED)
			continue;
		count.mapped++;
		count.dmabuf += maps_dmabuf(mem) && *mem == PATTERN;
		munmap(mem, PAGE);
	}
	return count;
}

static void show_offsets(void)
{
	struct buffer buffer, dumb = NO_BUFFER;
	struct offsets before, with_import, with_dumb;
	int imported;

	before = offsets_mapped();
	imported = buffer_allocate(&buffer, HEAP, PAGE, 16);
	if (!imported) {
		*(volatile uint32_t *)buffer.mem = PATTERN;
		imported = buffer_import(&display, &buffer);
	}
	with_import = offsets_mapped();
	buffer_close(&display, &buffer);
	/* so that it is known where offsets are */
	buffer_dumb(&display, &dumb, 16);
	with_dumb = offsets_mapped();
	buffer_close(&display, &dumb);
	result(!imported && !before.dmabuf && with_import.dmabuf == 1 &&
	       with_import.mapped == before.mapped + 1, "import_mapped_by_exporter",
	       "imported %d; %d offsets, with the buffer %d, of which %d map the dma-buf", imported,
	       before.mapped, with_import.mapped, with_import.dmabuf);
	result(!with_dumb.dmabuf && with_dumb.mapped == before.mapped + 1, "dumb_buffer_mapped",
	       "%d offsets, with the buffer %d, of which %d map a dma-buf", before.mapped,
	       with_dumb.mapped, with_dumb.dmabuf);
}

/* --- all of the pool */

/* What the driver has allocated for the console, as the pool rounds it; 0 for unknown */
static long console_size(void)
{
	struct fb_fix_screeninfo info;
	int fd = open("/dev/fb0", O_RDWR | O_CLOEXEC);
	long size = PAGE;

	if (fd < 0 || ioctl(fd, FBIOGET_FSCREENINFO, &info))
		info.smem_len = 0;
	close(fd);
	while (size < (long)info.smem_len)
		size *= 2;
	return info.smem_len ? size : 0;
}

static void show_exhausted(struct buffer *first)
{
	struct buffer piece[PIECES], dumb = NO_BUFFER;
	int count = 0, imported = 0, error = 0, i;
	size_t size = 1 << 20;

	while (count < PIECES && size >= PAGE) {
		piece[count] = NO_BUFFER;
		piece[count].fd = allocate(HEAP, size);
		error = errno;
		if (piece[count].fd < 0)
			size /= 2;
		else
			count++;
	}
	result(pool_free() == 0 && error == ENOMEM, "all_taken", "%ld bytes left, %s", pool_free(),
	       strerror(error));
	for (i = 0; i < count; i++)
		imported += !buffer_import(&display, &piece[i]);
	/* among them are the last page of the memory, and its first that is free */
	result(count && imported == count, "all_imported", "%d of %d", imported, count);
	fails("dumb_buffer_refused", buffer_dumb(&display, &dumb, 16), ENOMEM);
	buffer_draw(&display, first, 8);
	worked("mode_with_all_taken", display_set(&display, first));
	shows("picture_with_all_taken", 16, 8);
	for (i = 0; i < count; i++)
		buffer_close(&display, &piece[i]);
	worked("dumb_buffer_after_that", buffer_dumb(&display, &dumb, 16));
	buffer_close(&display, &dumb);
}

static void show(void)
{
	struct buffer first = NO_BUFFER, second = NO_BUFFER;
	long whole = pool_free(), size = number(POOL, "size ");
	int to = -1;
	pid_t pid;

	plan(41);
	if (!worked("display", display_open(&display)))
		exit(EXIT_FAILURE);
	result(size > 0 && whole == size - console_size(), "console_is_all_that_is_kept",
	       "%ld of %ld bytes are free, the console has %ld", whole, size, console_size());
	/* before there are buffers that it would inherit */
	pid = painter(&to);
	show_two(&first, &second);
	show_another(to, &first);
	show_deep();
	show_sizes(&first);
	show_others();
	show_offsets();
	show_exhausted(&first);

	buffer_free(&display, &first);
	buffer_free(&display, &second);
	close(to);
	waitpid(pid, NULL, 0);
	close(display.fd);
	result(whole > 0 && pool_free() == whole, "pool_is_whole", "%ld of %ld bytes", pool_free(),
	       whole);
}

/* --- flips */

/* Takes and gives back memory of the pool, and time, until it is killed */
static void load(void)
{
	unsigned int turn;

	for (turn = 0;; turn++) {
		struct buffer buffer;
		size_t size = PAGE << turn % 8;

		if (!buffer_allocate(&buffer, HEAP, size, 16))
			memset(buffer.mem, turn, size);
		buffer_close(&display, &buffer);
	}
}

static void flips(int count)
{
	struct buffer buffer[2] = { NO_BUFFER, NO_BUFFER };
	const char *wrong = NULL, *bad;
	/* odd, for pictures of the one and of the other in turn */
	int done, pictures = 0, every = count / 20 | 1;
	long whole = pool_free();
	char name[32];
	pid_t pid;

	plan(4);
	if (!worked("display", display_open(&display)))
		exit(EXIT_FAILURE);
	pid = fork();
	if (!pid)
		load();
	if (shown_buffer(&buffer[0], 0, 16) || shown_buffer(&buffer[1], 0, 16))
		wrong = strerror(errno);
	buffer_draw(&display, &buffer[0], 16);
	buffer_draw(&display, &buffer[1], 17);
	if (!wrong && display_set(&display, &buffer[0]))
		wrong = strerror(errno);
	for (done = 0; done < count && !wrong; done++) {
		if (display_flip(&display, &buffer[(done + 1) % 2])) {
			wrong = strerror(errno);
			break;
		}
		if (done % every)
			continue;
		snprintf(name, sizeof(name), "after-%d-flips", done + 1);
		bad = screen_wrong(name, display.mode.hdisplay, display.mode.vdisplay, 16,
				   16 + (done + 1) % 2);
		if (bad) {
			fprintf(stderr, "%s: %s\n", name, bad);
			break;
		}
		pictures++;
	}
	result(done == count, "flips", "%d of %d, %s", done, count, wrong ?: "no error");
	result(pictures >= 20, "pictures", "%d right ones", pictures);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	buffer_free(&display, &buffer[0]);
	buffer_free(&display, &buffer[1]);
	close(display.fd);
	result(whole > 0 && pool_free() == whole, "pool_is_whole", "%ld of %ld bytes", pool_free(),
	       whole);
}

/* --- a pool beside that of the display */

static void neighbour(void)
{
	struct buffer own = NO_BUFFER;

	plan(5);
	if (!worked("display", display_open(&display)))
		exit(EXIT_FAILURE);
	worked("own_accepted", shown_buffer(&own, 0, 16));
	buffer_draw(&display, &own, 9);
	worked("set_mode", display_set(&display, &own));
	shows("picture", 16, 9);
	/* its first page, right behind the last one of the display */
	fails("neighbour_refused", import_of(NEIGHBOUR, PAGE), EINVAL);
}

/* --- mmap() that fails */

#define PAGE_TABLE	(2ul << 20)	/* what one page of page tables maps */

/*
 * Map a buffer where there are no page tables yet, with the nth page that this task allocates
 * failing; 0 or the error of mmap(). *failed: whether one has failed.
 */
static int mmap_with_failure(off_t offset, size_t size, int file, unsigned int nth, bool *failed)
{
	size_t space = size + 2 * PAGE_TABLE;
	char *mem, *place;
	int error;

	mem = mmap(NULL, space, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return errno;
	place = (char *)(((unsigned long)mem + PAGE_TABLE - 1) & ~(PAGE_TABLE - 1));
	if (!fail_nth_arm(file, nth))
		return errno;
	error = mmap(place, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, display.fd,
		     offset) == MAP_FAILED ? errno : 0;
	*failed = fail_nth_failed(file);
	fail_nth_arm(file, 0);
	munmap(mem, space);
	return error;
}

static void refused(void)
{
	int file = fail_nth_open(), error = 0, refusals = 0;
	struct buffer dumb = NO_BUFFER;
	unsigned int nth;
	off_t offset;
	bool failed;

	plan(4);
	if (!worked("display", display_open(&display)))
		exit(EXIT_FAILURE);
	worked("dumb_buffer", buffer_dumb(&display, &dumb, 16));
	munmap(dumb.mem, dumb.size);
	dumb.mem = MAP_FAILED;
	offset = buffer_offset(&display, &dumb);
	for (nth = 1, failed = true; failed && nth < FAIL_NTH_MOST; nth++) {
		error = mmap_with_failure(offset, dumb.size, file, nth, &failed);
		if (error == ENOMEM)
			refusals++;
		else if (error)
			break;
	}
	result(refusals, "refused_without_memory", "%d times of %u", refusals, nth - 1);
	/* the last one is without a failure, if the object is still there */
	result(!failed && !error, "mapped_after_that", "%s", strerror(error));
	buffer_close(&display, &dumb);
}

/* --- unbound */

/* Write the name of the device to a file of the driver; -1 with errno. */
static int tell_driver(const char *file, const char *device)
{
	char path[128];
	int fd, ret, error;

	snprintf(path, sizeof(path), DRIVER "%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ret = write(fd, device, strlen(device)) < 0 ? -1 : 0;
	error = errno;
	close(fd);
	errno = error;
	return ret;
}

/* What the driver calls its device; NULL with errno */
static const char *device_name(void)
{
	static char path[256];
	ssize_t n = readlink("/sys/class/drm/card0/device", path, sizeof(path) - 1);

	if (n < 0)
		return NULL;
	path[n] = '\0';
	return strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
}

static void unbound(bool shown, bool heap, bool used)
{
	const char *device = device_name();
	struct buffer first = NO_BUFFER, second = NO_BUFFER, again = NO_BUFFER;
	bool draw = shown || heap;
	long whole = heap ? pool_free() : 0;
	int ret = 0;

	plan(3 + draw * 2 + used * 2 + heap * 3);
	if (!worked("display", device ? display_open(&display) : -1))
		exit(EXIT_FAILURE);
	if (heap) {
		ret = shown_buffer(&first, 0, 16) ?: shown_buffer(&second, 0, 16);
	} else if (shown) {
		ret = buffer_dumb(&display, &first, 16) ?: buffer_dumb(&display, &second, 16);
		ret = ret ?: buffer_whole_frame(&display, &first);
		ret = ret ?: buffer_whole_frame(&display, &second);
	}
	if (draw) {
		buffer_draw(&display, &first, 10);
		worked("set_mode", ret ?: display_set(&display, &first));
	}
	worked("unbind", tell_driver("unbind", device));
	if (used) {
		fails("no_flip", display_flip(&display, &second), ENODEV);
		fails("no_mode", display_set(&display, &second), ENODEV);
	}
	if (heap) {
		/* the memory is there all the same */
		buffer_draw(&display, &first, 11);
		result(first.mem != MAP_FAILED && *(uint16_t *)first.mem == 0xffff,
		       "memory_is_there", "it reads otherwise");
		fails("not_bound_while_open", tell_driver("bind", device), EBUSY);
	}
	/* no ioctl works that would do it */
	if (first.mem != MAP_FAILED)
		munmap(first.mem, first.size);
	if (second.mem != MAP_FAILED)
		munmap(second.mem, second.size);
	close(first.fd);
	close(second.fd);
	close(display.fd);
	ret = tell_driver("bind", device);
	worked("bound_again", ret ?: display_open(&display));
	if (draw) {
		ret = heap ? shown_buffer(&again, 0, 16) : buffer_dumb(&display, &again, 16);
		if (!heap && !ret)
			ret = buffer_whole_frame(&display, &again);
		buffer_draw(&display, &again, 12);
		if (ret || display_set(&display, &again))
			result(false, "picture", "%s", strerror(errno));
		else
			shows("picture", 16, 12);
		buffer_free(&display, &again);
	}
	close(display.fd);
	if (heap)
		result(whole > 0 && pool_free() == whole, "pool_is_whole", "%ld of %ld bytes",
		       pool_free(), whole);
}

static int usage(void)
{
	fprintf(stderr, "usage: display show|flips N|neighbour|refused|idle|memory|ioctl|unbind\n");
	return 2;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "show") && argc == 2)
		show();
	else if (!strcmp(what, "flips") && argc == 3)
		flips(atoi(argv[2]));
	else if (!strcmp(what, "neighbour") && argc == 2)
		neighbour();
	else if (!strcmp(what, "refused") && argc == 2)
		refused();
	else if (!strcmp(what, "idle") && argc == 2)
		unbound(false, false, false);
	else if (!strcmp(what, "memory") && argc == 2)
		unbound(true, false, false);
	else if (!strcmp(what, "ioctl") && argc == 2)
		unbound(true, false, true);
	else if (!strcmp(what, "unbind") && argc == 2)
		unbound(false, true, true);
	else
		return usage();
	return ktap_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
