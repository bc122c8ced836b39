// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls of the features of dma-bufs that nobody would make, and calls for which there is
 * no memory.
 *
 * usage: vfio_calls random BDF COUNT CGROUP    prints KTAP; BDF is bound to vfio-pci. COUNT
 *		calls with random sizes, flags, descriptors and pointers: they fail with a
 *		documented error, do what they should, and leave nothing. CGROUP is the
 *		directory of a cgroup, into which the program moves.
 *	  vfio_calls fail BDF    each allocation of each call fails once
 * The seed is printed; VFIO_CALLS_SEED in the environment repeats a run.
 * exit: 0 all pass, 1 not so
 */

#define _GNU_SOURCE

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "clock.h"
#include "container.h"
#include "fail_nth.h"
#include "ktap.h"
#include "number.h"
#include "touch.h"
#include "vfio.h"

#define BAR		0
#define IOVA		0x10000000ULL
/* Descriptors at a time */
#define BUFFERS		32
/* Ranges of a call, of which there may be 65536 */
#define RANGES		64
/* How often something is done whose files are counted, and how many files may come meanwhile */
#define ROUNDS		200
#define FILES		64
/* Bytes that may still be charged: pages of slabs, and what CPUs keep at hand */
#define LEFT		(2l << 20)

static const char *bdf;
static int device, iommufd;
static uint32_t pt;
static int buf = -1;
static bool imported;
static struct container container = { -1, -1, -1 };
static void *bar = MAP_FAILED;
static size_t page, bar_size;
static const char *cgroup;
static unsigned int seed;

static unsigned int any(unsigned int below)
{
	return rand_r(&seed) / 7 % below;
}

/* --- random calls */

struct call {
	const char *name;
	unsigned int feature;
	/* what it may fail with, 0 at the end */
	int errors[16];
	unsigned long made;
	unsigned long done;
	unsigned long wrong;
	int strange;
};

/* What the UAPI header says, what every feature has, and memory that is short */
static struct call calls[] = {
	{ "export", VFIO_DEVICE_FEATURE_DMA_BUF,
	  { E2BIG, EINVAL, ENODEV, EOVERFLOW, EFAULT, EMFILE, ENOTTY,
    ENOMEM } },
	{ "revoke", VFIO_DEVICE_FEATURE_DMA_BUF_REVOKE,
	  { EBADF, EBADFD, EINVAL, ENODEV, EFAULT, ENOTTY } },
	{ "memattr", VFIO_DEVICE_FEATURE_DMA_BUF_MEMATTR,
	  { E2BIG, EBADF, EBADFD, EBUSY, EINVAL, ENODEV, ENOENT, EOPNOTSUPP,
	    EFAULT, ENOTTY, ENOMEM } },
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

static int bufs[BUFFERS];
/* Descriptors of other things: of the device, a memfd, a pipe, an O_PATH one */
static int odd[4];

static uint64_t any_offset(void)
{
	switch (any(8)) {
	case 0:
		return any(4096);
	case 1:
		return bar_size - page * any(3);
	case 2:
		return -(uint64_t)page * any(4);
	case 3:
		return (uint64_t)rand_r(&seed) << any(33);
	default:
		return page * any(16);
	}
}

static uint64_t any_length(void)
{
	return any(4) ? page * (1 + any(4)) : any_offset();
}

static int any_descriptor(void)
{
	switch (any(8)) {
	case 0:
		return odd[any(4)];
	case 1:
		return (int)rand_r(&seed) - (int)any(2);
	case 2:
		return -1 - (int)any(3);
	default:
		return bufs[any(BUFFERS)];
	}
}

static uint32_t any_flags(const struct call *call)
{
	static const uint32_t ways[] = {
		VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_SET,
		VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET,
		VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET,
		VFIO_DEVICE_FEATURE_PROBE, 0,
		VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET,
	};

	switch (any(8)) {
	case 0:
		return call->feature | ways[any(sizeof(ways) / sizeof(ways[0]))];
	case 1:
		return call->feature | (uint32_t)rand_r(&seed) << 16;
	default:
		return call->feature | (call == calls ? VFIO_DEVICE_FEATURE_GET :
						       VFIO_DEVICE_FEATURE_SET);
	}
}

struct argument {
	struct vfio_device_feature feature;
	union {
		struct vfio_device_feature_dma_buf buf;
		struct vfio_device_feature_dma_buf_revoke revoke;
		struct vfio_device_feature_dma_buf_memattr memattr;
		uint8_t bytes[sizeof(struct vfio_device_feature_dma_buf) +
			      RANGES * sizeof(struct vfio_region_dma_range)];
	};
};

static void any_export(struct vfio_device_feature_dma_buf *buf)
{
	uint32_t i;

	buf->region_index = any(8) ? BAR : (uint32_t)rand_r(&seed) >> any(32);
	buf->open_flags = any(8) ? O_RDWR | O_CLOEXEC : (int)rand_r(&seed);
	buf->flags = any(16) ? 0 : rand_r(&seed);
	buf->nr_ranges = any(8) ? 1 + any(4) : any(4) ? any(RANGES + 1) :
						      (uint32_t)rand_r(&seed);
	for (i = 0; i < RANGES && i < buf->nr_ranges; i++) {
		buf->dma_ranges[i].offset = any_offset();
		buf->dma_ranges[i].length = any_length();
	}
}

/* Where the argument is: on pages that are there, or not all of it */
static struct argument *any_place(char *pages, size_t size)
{
	switch (any(16)) {
	case 0:
		return (void *)(pages + 2 * page - any(size + 1));
	case 1:
		return (void *)(pages + 4 * page);
	case 2:
		return (void *)(uintptr_t)(rand_r(&seed) & ~7u);
	default:
		return (void *)pages;
	}
}

static void random_call(char *pages)
{
	struct call *call = &calls[any(CALLS)];
	struct argument arg = {}, *at;
	size_t size = sizeof(arg.feature);
	uint32_t flags = any_flags(call);
	bool makes;
	int ret, i;

	if (call == calls) {
		any_export(&arg.buf);
		size += sizeof(arg.buf) + RANGES * sizeof(arg.buf.dma_ranges[0]);
	} else if (call->feature == VFIO_DEVICE_FEATURE_DMA_BUF_REVOKE) {
		arg.revoke.dmabuf_fd = any_descriptor();
		size += sizeof(arg.revoke);
	} else {
		arg.memattr.dmabuf_fd = any_descriptor();
		arg.memattr.memattr = any(4) ? any(2) : (uint32_t)rand_r(&seed);
		size += sizeof(arg.memattr);
	}
	arg.feature.flags = flags;
	arg.feature.argsz = any(8) ? size : (uint32_t)rand_r(&seed) >> any(32);

	at = any_place(pages, size);
	if ((char *)at >= pages && (char *)at < pages + 2 * page) {
		size_t room = pages + 2 * page - (char *)at;

		memcpy(at, &arg, size < room ? size : room);
	}
	ret = ioctl(device, VFIO_DEVICE_FEATURE, at) < 0 ? -errno : 0;

	call->made++;
	makes = !(flags & VFIO_DEVICE_FEATURE_PROBE);
	if (!ret) {
		call->done += makes;
		return;
	}
	for (i = 0; call->errors[i] && call->errors[i] != -ret; i++)
		;
	if (!call->errors[i]) {
		call->wrong++;
		call->strange = ret;
	}
}

/* A descriptor that there is always, so that there are buffers to call for */
static void fresh_buffer(void)
{
	int *buf = &bufs[any(BUFFERS)];
	uint64_t offset = page * any(8);
	void *vaddr;

	if (*buf >= 0)
		close(*buf);
	*buf = vfio_export(device, BAR, offset, page * (1 + any(4)));
	if (*buf < 0 || any(2))
		return;
	vaddr = mmap(NULL, page, PROT_READ, MAP_SHARED, *buf, 0);
	if (vaddr != MAP_FAILED) {
		touch(vaddr);
		munmap(vaddr, page);
	}
	if (!any(4) && !vfio_import(iommufd, pt, *buf, IOVA, page))
		vfio_unimport(iommufd, pt, IOVA, page);
}

/* What random calls have made has numbers that nobody noted: all but those below. */
static void close_others(int least)
{
	struct rlimit limit;
	int fd;

	getrlimit(RLIMIT_NOFILE, &limit);
	for (fd = least; fd < (int)limit.rlim_cur; fd++)
		close(fd);
}

static long charged(void)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/memory.current", cgroup);
	return number(path, "");
}

static void undo(void)
{
	if (imported)
		vfio_unimport(iommufd, pt, IOVA, page);
	imported = false;
	if (buf >= 0)
		close(buf);
	buf = -1;
}

static long open_files(void)
{
	return number("/proc/sys/fs/file-nr", "");
}

/* An import that is refused has no reference to the buffer. */
static void test_refused_imports(void)
{
	long before = open_files(), left;
	int ret = 0, imported = -ENODEV, i;

	for (i = 0; i < ROUNDS && !ret && imported == -ENODEV; i++) {
		buf = vfio_export(device, BAR, 0, page);
		ret = buf < 0 ? buf : vfio_revoke(device, buf);
		imported = vfio_import(iommufd, pt, buf, IOVA, page);
		undo();
	}
	left = open_files() - before;
	result(!ret && imported == -ENODEV && left < FILES,
	       "refused_imports_leave_nothing",
	       "revoke %d, import %d, %ld files more", ret, imported, left);
}

/* The buffers of the BARs go with the device. */
static void test_opens(void)
{
	struct vfio_region_info info;
	long before, left;
	int ret = 0, i;

	close(device);
	before = open_files();
	for (i = 0; i < ROUNDS && !ret; i++) {
		void *vaddr;

		device = vfio_open_in(bdf, iommufd, &pt);
		if (device < 0 || vfio_region(device, BAR, &info)) {
			ret = -ENODEV;
			break;
		}
		vaddr = mmap(NULL, page, PROT_READ, MAP_SHARED, device,
			     info.offset);
		ret = vaddr == MAP_FAILED ? -errno : touch(vaddr);
		munmap(vaddr, page);
		close(device);
	}
	left = open_files() - before;
	result(!ret && left < FILES, "opens_leave_nothing",
	       "open and mmap %d, %ld files more", ret, left);
}

static int random_calls(unsigned long count)
{
	char *pages = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const char *given = getenv("VFIO_CALLS_SEED");
	struct rlimit limit = { 512, 512 };
	int ends[2], least, i, left_fds;
	long before, left = 0, files;
	unsigned int first;
	unsigned long made;

	munmap(pages + 2 * page, 2 * page);
	setrlimit(RLIMIT_NOFILE, &limit);
	seed = given ? strtoul(given, NULL, 0) : (unsigned int)now_ns();
	first = seed;
	plan(CALLS + 3);
	printf("# seed %u\n", first);

	odd[0] = device;
	odd[1] = syscall(SYS_memfd_create, "calls", 0);
	if (pipe(ends))
		return 1;
	odd[2] = ends[0];
	odd[3] = open("/", O_PATH | O_CLOEXEC);
	least = odd[3] + 1;
	memset(bufs, -1, sizeof(bufs));
	/* what is made once */
	fresh_buffer();
	close_others(least);
	memset(bufs, -1, sizeof(bufs));
	before = charged();
	files = open_files();

	for (made = 0; made < count; made++) {
		if (made % 4 == 0)
			fresh_buffer();
		/* the table of descriptors is not to be full for long */
		if (made % 256 == 255) {
			close_others(least);
			memset(bufs, -1, sizeof(bufs));
			for (i = 0; i < BUFFERS / 4; i++)
				fresh_buffer();
		}
		random_call(pages);
	}

	close_others(least);
	for (i = 0; i < (int)CALLS; i++) {
		struct call *call = &calls[i];
		char name[64];

		printf("# %s: %lu calls, %lu done\n", call->name, call->made,
		       call->done);
		snprintf(name, sizeof(name), "calls.%s", call->name);
		result(!call->wrong && call->done, name,
		       "%lu of %lu fail as they should not, one with %d; %lu done; VFIO_CALLS_SEED=%u",
		       call->wrong, call->made, call->strange, call->done,
		       first);
	}
	for (i = 0; i < 100; i++) {
		left = charged() - before;
		if (left < LEFT)
			break;
		sleep_ms(100);
	}
	left_fds = open_files() - files;
	/* what is freed by RCU takes a while, other processes come and go */
	result(left < LEFT && left_fds < FILES, "calls_leave_nothing",
	       "%ld bytes still charged, %d files more", left, left_fds);
	test_refused_imports();
	test_opens();
	return ktap_failed != 0;
}

/* --- calls without memory */

struct attempt {
	const char *name;
	/* made before each try, without failures; 0 or -errno */
	int (*prepare)(void);
	/* 0 or -errno */
	int (*act)(void);
	/* undone after each, whatever has succeeded */
	void (*undo)(void);
	/* what it may fail with besides ENOMEM, 0 for nothing */
	int other;
	/* what a failure gives that is injected elsewhere than in an allocation */
	int injected;
};

static int prepare_nothing(void)
{
	return 0;
}

static int prepare_buffer(void)
{
	buf = vfio_export(device, BAR, 0, page);
	return buf < 0 ? buf : 0;
}

static int prepare_import(void)
{
	int ret = prepare_buffer() ?: vfio_import(iommufd, pt, buf, IOVA, page);

	imported = !ret;
	return ret;
}

static int act_export(void)
{
	/* two of them merge */
	struct vfio_region_dma_range ranges[] = {
		{ 0, page }, { page, page }, { 4 * page, page },
		{ 2 * page, page },
	};

	buf = vfio_export_ranges(device, BAR, ranges, 4, O_RDWR);
	return buf < 0 ? buf : 0;
}

static int act_import(void)
{
	int ret = vfio_import(iommufd, pt, buf, IOVA, page);

	imported = !ret;
	return ret;
}

static int act_revoke(void)
{
	return vfio_revoke(device, buf);
}

static int act_memattr(void)
{
	return vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_NC);
}

static int act_wc(void)
{
	return vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_WC);
}

static int act_mmap(void)
{
	void *vaddr = mmap(NULL, page, PROT_READ, MAP_SHARED, buf, 0);
	int ret;

	if (vaddr == MAP_FAILED)
		return -errno;
	ret = touch(vaddr);
	munmap(vaddr, page);
	/* a fault without memory is tried again, or ends the task: it never comes here */
	return ret ? -EFAULT : 0;
}

static int act_read(void)
{
	struct vfio_region_info info;
	uint32_t value;

	vfio_region(device, BAR, &info);
	return pread(device, &value, sizeof(value), info.offset) ==
	       sizeof(value) ? 0 : -errno;
}

static void undo_bar(void)
{
	if (bar != MAP_FAILED)
		munmap(bar, 4 * page);
	bar = MAP_FAILED;
}

/* An opened device has no buffer of its BAR yet. */
static int prepare_open(void)
{
	close(device);
	device = vfio_open_in(bdf, iommufd, &pt);
	return device < 0 ? -ENODEV : 0;
}

static int map_bar(int fd)
{
	struct vfio_region_info info;
	int ret = vfio_region(fd, BAR, &info);

	if (ret)
		return ret;
	bar = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   info.offset);
	return bar == MAP_FAILED ? -errno : 0;
}

static int act_bar(void)
{
	return map_bar(device) ?: (touch(bar) ? -EFAULT : 0);
}

static void undo_container(void)
{
	undo_bar();
	container_close(&container);
}

/* A process has a device open in one way only. */
static int prepare_container_as(unsigned long type)
{
	if (device >= 0)
		close(device);
	device = -1;
	return container_open(&container, CONTAINER_IOMMUFD, type, bdf) ?:
	       map_bar(container.device);
}

static int prepare_container(void)
{
	return prepare_container_as(VFIO_TYPE1v2_IOMMU);
}

static int act_container_map(void)
{
	return container_map(&container, bar, IOVA, 4 * page);
}

/* A part can be unmapped in a container of version 1. */
static int prepare_container_part(void)
{
	return prepare_container_as(VFIO_TYPE1_IOMMU) ?: act_container_map();
}

static int act_container_unmap_part(void)
{
	return container_unmap(&container, IOVA + page, page);
}

static const struct attempt attempts[] = {
	{ "export", prepare_nothing, act_export, undo },
	{ "mmap", prepare_buffer, act_mmap, undo },
	{ "read", prepare_buffer, act_read, undo },
	/* fail_iommufd does not find the IOAS */
	{ "import", prepare_buffer, act_import, undo, .injected = ENOENT },
	{ "revoke", prepare_buffer, act_revoke, undo },
	{ "revoke_imported", prepare_import, act_revoke, undo },
	{ "memattr", prepare_buffer, act_memattr, undo },
	{ "memattr_wc", prepare_buffer, act_wc, undo, EOPNOTSUPP },
	{ "bar", prepare_open, act_bar, undo_bar },
	/*
	 * The last ones, as they close the device. A container has its IOAS at hand, and
	 * ENOENT would be a part that was not cut off.
	 */
	{ "container_map", prepare_container, act_container_map,
	  undo_container },
	{ "container_unmap_part", prepare_container_part,
	  act_container_unmap_part, undo_container },
};

#define ATTEMPTS (sizeof(attempts) / sizeof(attempts[0]))

/* With the first allocation failing, the second and so on, until none is left */
static void attempt(const struct attempt *attempt, int file)
{
	unsigned int nth, clean = 0;
	int ret = 0, strange = 0;
	bool failed = true;
	char name[64];

	for (nth = 1; failed && nth < FAIL_NTH_MOST; nth++) {
		ret = attempt->prepare();
		if (ret) {
			attempt->undo();
			break;
		}
		fail_nth_arm(file, nth);
		ret = attempt->act();
		failed = fail_nth_failed(file);
		fail_nth_arm(file, 0);
		if (ret && ret != -ENOMEM && ret != -attempt->other &&
		    !(failed && ret == -attempt->injected))
			strange = ret;
		clean += ret == -ENOMEM;
		attempt->undo();
	}
	printf("# %s: %u allocations, %u errors\n", attempt->name, nth - 2,
	       clean);
	snprintf(name, sizeof(name), "fail_nth.%s", attempt->name);
	result(!failed && !strange && (!ret || ret == -attempt->other), name,
	       "%u tries, the last %d, an error that is not ENOMEM %d", nth - 1,
	       ret, strange);
}

static int fail_calls(void)
{
	int file = fail_nth_open();
	size_t i;

	if (file < 0) {
		perror("fail-nth");
		return 1;
	}
	plan(ATTEMPTS);
	for (i = 0; i < ATTEMPTS; i++)
		attempt(&attempts[i], file);
	return ktap_failed != 0;
}

int main(int argc, char **argv)
{
	struct vfio_region_info info;
	char path[256];
	FILE *file;

	page = getpagesize();
	touch_begin();
	if (argc == 5 && !strcmp(argv[1], "random")) {
		cgroup = argv[4];
		snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
		file = fopen(path, "we");
		if (!file || fprintf(file, "%d", getpid()) < 0 ||
		    fclose(file)) {
			fprintf(stderr, "vfio_calls: %s: %s\n", path,
				strerror(errno));
			return 1;
		}
	} else if (argc != 3 || strcmp(argv[1], "fail")) {
		fprintf(stderr, "usage: vfio_calls random BDF COUNT CGROUP\n"
			"       vfio_calls fail BDF\n");
		return 1;
	}
	bdf = argv[2];
	iommufd = vfio_open_iommufd();
	device = iommufd < 0 ? -1 : vfio_open_in(bdf, iommufd, &pt);
	if (device < 0 || vfio_region(device, BAR, &info))
		return 1;
	bar_size = info.size;
	return argc == 5 ? random_calls(strtoul(argv[3], NULL, 0)) :
			   fail_calls();
}
