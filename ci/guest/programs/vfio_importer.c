// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an importer that takes its time keeps others from: dma-bufs of a BAR that
 * /modules/slow_importer.ko has mapped when the device's memory is disabled, or the
 * device closed.
 *
 * usage: vfio_importer BDF    prints KTAP; BDF is bound to vfio-pci
 * exit: 0 all pass, 1 not so
 */

#include <pthread.h>
#include <sys/mman.h>

#include <linux/dma-buf.h>

#include "clock.h"
#include "importer.h"
#include "ktap.h"
#include "number.h"
#include "touch.h"
#include "vfio.h"

/* How long the importer sleeps; all that others do is to fit in it */
#define SLEEP_MS	2000
/* When it certainly sleeps */
#define AMID_MS		200

/* How many it makes and undoes, to see what they leave */
#define MAPPINGS	4000

#define BAR		0
#define IOVA		0x10000000ULL

static const char *bdf;
static size_t page;

static void *map(int fd, off_t offset, size_t size)
{
	return mmap(NULL, size, PROT_READ, MAP_SHARED, fd, offset);
}

/* --- what becomes of the importer's own mapping */

static void test_notified_once(int device)
{
	int buf = vfio_export(device, BAR, 0, page);
	int ret, before, after;

	ret = importer("attach %d", buf) ?: importer("map 0 notified");
	vfio_memory(device, false);
	before = importer_says("notified");
	vfio_memory(device, true);
	after = importer_says("notified");
	result(!ret && before == 1 && after == 1, "notified_of_revocation_only",
	       "import %d, notified %d times by memory off, %d by on after it",
	       ret, before, after);
	importer("detach");
	close(buf);
}

static void test_attach_while_revoked(int device)
{
	int buf = vfio_export(device, BAR, 0, page);
	int attach, early, late;

	vfio_memory(device, false);
	attach = importer("attach %d", buf);
	early = importer("map 0 notified");
	vfio_memory(device, true);
	late = importer("map 0 notified");
	result(!attach && early == -ENODEV && !late, "attaches_while_revoked",
	       "attach %d, map %d; with memory, map %d", attach, early, late);
	importer("detach");
	close(buf);
}

/* The kernel's memory for small objects, in bytes */
static long slab(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	/* adds up what each processor has counted */
	if (fd >= 0) {
		if (write(fd, "1", 1) < 0)
			perror("stat_refresh");
		close(fd);
	}
	return number("/proc/meminfo", "SUnreclaim:") * 1024;
}

static int map_many(int buf, int count)
{
	int ret = 0;

	while (!ret && count--)
		ret = importer("attach %d", buf) ?: importer("map 0 notified") ?:
		      importer("detach");
	return ret;
}

/* A mapping that is undone leaves nothing, not even the 32 bytes of an entry */
static void test_unmap_frees(int device)
{
	int buf = vfio_export(device, BAR, 0, page);
	long before, left;
	int ret;

	/* the first are for what is made once */
	ret = map_many(buf, MAPPINGS / 10);
	before = slab();
	ret = ret ?: map_many(buf, MAPPINGS);
	left = slab() - before;
	result(!ret && left < MAPPINGS * 32 / 2, "unmap_frees",
	       "import %d, %ld bytes left of %d mappings", ret, left, MAPPINGS);
	close(buf);
}

/* --- importers that must be refused, and one with a fence */

static void test_attach_refused(int device)
{
	int buf = vfio_export(device, BAR, 0, page);
	int pages = importer("attach %d pages", buf), forever;

	if (!pages)
		importer("detach");
	result(pages == -EOPNOTSUPP, "needs_pages_refused", "attach %d", pages);

	forever = importer("attach %d forever", buf);
	if (!forever)
		importer("detach");
	result(forever == -EOPNOTSUPP, "not_revocable_refused", "attach %d",
	       forever);
	close(buf);
}

/* What others map the buffer by has a mode of its own; the buffer's must hold. */
static void test_mmap_by_importer(int device)
{
	int ro = vfio_export_mode(device, BAR, 0, page, O_RDONLY);
	int wo = vfio_export_mode(device, BAR, 0, page, O_WRONLY);
	int rw = vfio_export(device, BAR, 0, page);
	int file = open("/dev/slow_importer", O_RDWR | O_CLOEXEC);
	int ret, writable, readable, raised, both, unreadable;
	void *vaddr;

	ret = importer("attach %d", ro);
	vaddr = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	writable = vaddr == MAP_FAILED ? -errno : 0;
	if (!writable)
		munmap(vaddr, page);
	vaddr = mmap(NULL, page, PROT_READ, MAP_SHARED, file, 0);
	readable = vaddr == MAP_FAILED ? -errno : touch(vaddr);
	raised = vaddr == MAP_FAILED ? 0 :
		mprotect(vaddr, page, PROT_READ | PROT_WRITE) ? -errno : 0;
	if (vaddr != MAP_FAILED)
		munmap(vaddr, page);
	importer("detach");

	ret = ret ?: importer("attach %d", wo);
	vaddr = mmap(NULL, page, PROT_READ, MAP_SHARED, file, 0);
	unreadable = vaddr == MAP_FAILED ? -errno : 0;
	if (!unreadable)
		munmap(vaddr, page);
	importer("detach");

	ret = ret ?: importer("attach %d", rw);
	vaddr = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	both = vaddr == MAP_FAILED ? -errno : touch(vaddr);
	if (vaddr != MAP_FAILED)
		munmap(vaddr, page);
	importer("detach");

	result(!ret && writable == -EACCES && raised == -EACCES,
	       "importer_mmap_read_only",
	       "attach %d, mmap for writing %d, mprotect %d", ret, writable,
	       raised);
	result(!ret && unreadable == -EACCES, "importer_mmap_write_only",
	       "attach %d, mmap for reading %d", ret, unreadable);
	result(!ret && !readable && !both, "importer_mmap",
	       "attach %d, read of the one %d, of the other %d", ret, readable,
	       both);
	close(file);
	close(ro);
	close(wo);
	close(rw);
}

/* The importer has unmapped, but what it has begun takes its time. */
static void test_fence(int device)
{
	int buf = vfio_export(device, BAR, 0, page);
	int ret, before, after;
	uint64_t start;
	long took;

	ret = importer("attach %d", buf) ?: importer("map 0 notified") ?:
	      importer("fence %d", SLEEP_MS / 2);
	before = importer_says("fence");
	start = now_ns();
	vfio_memory(device, false);
	after = importer_says("fence");
	took = (now_ns() - start) / 1000000;
	vfio_memory(device, true);
	result(!ret && before == 1 && !after && took >= SLEEP_MS / 2 - AMID_MS,
	       "memory_off_waits_for_fence",
	       "import %d, fence pending %d, then %d, took %ld ms", ret, before,
	       after, took);
	importer("detach");
	close(buf);
}

/* --- what others do while the importer takes its time */

struct stop {
	pthread_t thread;
	int device;
	long took;
	bool close;
};

static void *stop_run(void *argument)
{
	struct stop *stop = argument;
	uint64_t start = now_ns();

	if (stop->close)
		close(stop->device);
	else
		vfio_memory(stop->device, false);
	stop->took = (now_ns() - start) / 1000000;
	return NULL;
}

/* The device's memory is taken away, or the device; the importer is amid its sleep */
static void stop_begin(struct stop *stop)
{
	pthread_create(&stop->thread, NULL, stop_run, stop);
	sleep_ms(AMID_MS);
}

struct others {
	int device;
	int iommufd;
	uint32_t pt;
	int buf;	/* what the importer has mapped */
	int other;	/* another buffer, of the page after it */
	void *bar;
	void *buffer;
	void *buffer_other;
};

struct deed {
	const char *name;
	/* 0, or what went wrong */
	int (*act)(struct others *others);
};

static int deed_bar_fault(struct others *others)
{
	return touch(others->bar);
}

static int deed_other_fault(struct others *others)
{
	return others->buffer_other == MAP_FAILED ? -EOPNOTSUPP :
		touch(others->buffer_other);
}

static int deed_own_fault(struct others *others)
{
	return others->buffer == MAP_FAILED ? -EOPNOTSUPP :
		touch(others->buffer);
}

static int deed_mmap(struct others *others)
{
	void *vaddr = map(others->device, 0, page);
	int ret;

	if (vaddr == MAP_FAILED)
		return -errno;
	ret = touch(vaddr);
	munmap(vaddr, page);
	return ret;
}

static int deed_export(struct others *others)
{
	int buf = vfio_export(others->device, BAR, 2 * page, page);

	if (buf < 0)
		return buf;
	return close(buf) ? -errno : 0;
}

static int deed_close(struct others *others)
{
	int ret = close(others->other) ? -errno : 0;

	others->other = -1;
	return ret;
}

/* Memory is still on, and says so again: importers get nothing all the same. */
static int deed_import(struct others *others)
{
	int ret = vfio_memory(others->device, true) ?:
		  vfio_import(others->iommufd, others->pt, others->other, IOVA,
			      page);

	if (!ret)
		vfio_unimport(others->iommufd, others->pt, IOVA, page);
	return ret == -ENODEV ? 0 : ret ?: -EEXIST;
}

static const struct deed deeds[] = {
	{ "bar_fault", deed_bar_fault },
	{ "other_buffer_fault", deed_other_fault },
	{ "own_buffer_fault", deed_own_fault },
	{ "bar_mmap", deed_mmap },
	{ "export", deed_export },
	{ "import_refused", deed_import },
	{ "other_buffer_close", deed_close },
};

#define DEEDS (sizeof(deeds) / sizeof(deeds[0]))

/* A case each: done while the importer has not given its mapping back yet. */
static void test_others(int device, int iommufd, uint32_t pt, const char *how)
{
	struct stop stop = { .device = device };
	struct vfio_region_info info;
	struct others others;
	char name[64];
	size_t i;
	int ret;

	vfio_region(device, BAR, &info);
	others.device = device;
	others.iommufd = iommufd;
	others.pt = pt;
	others.buf = vfio_export(device, BAR, 0, page);
	others.other = vfio_export(device, BAR, page, page);
	others.bar = map(device, info.offset, page);
	others.buffer = map(others.buf, 0, page);
	others.buffer_other = map(others.other, 0, page);

	ret = importer("attach %d", others.buf) ?:
	      importer("map %d %s", SLEEP_MS, how);
	stop_begin(&stop);
	for (i = 0; i < DEEDS; i++) {
		int did = deeds[i].act(&others);
		int mapped = importer_says("mapped");

		snprintf(name, sizeof(name), "%s.%s", how, deeds[i].name);
		result(!ret && !did && mapped == 1, name,
		       "import %d, outcome %d, the importer's mapping then %d",
		       ret, did, mapped);
	}
	pthread_join(stop.thread, NULL);

	snprintf(name, sizeof(name), "%s.memory_off_waits", how);
	result(!ret && stop.took >= SLEEP_MS - AMID_MS &&
	       !importer_says("mapped"), name,
	       "import %d, took %ld ms, the importer's mapping then %d",
	       ret, stop.took, importer_says("mapped"));

	importer("detach");
	vfio_memory(device, true);
	munmap(others.bar, page);
	if (others.buffer != MAP_FAILED)
		munmap(others.buffer, page);
	if (others.buffer_other != MAP_FAILED)
		munmap(others.buffer_other, page);
	close(others.buf);
}

/* A task that only needs the lock of the buffer does not wait for its fences. */
static void test_fence_lock(int device)
{
	int buf = vfio_export(device, BAR, 0, page);
	int other = vfio_export(device, BAR, page, page);
	struct dma_buf_export_sync_file from = { .flags = DMA_BUF_SYNC_RW };
	struct dma_buf_import_sync_file to = { .flags = DMA_BUF_SYNC_RW };
	struct stop stop = { .device = device };
	int ret, did = -1, pending = -1;

	/* a fence that is signalled already: that buffer has none */
	ret = ioctl(other, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &from) ? -errno : 0;
	to.fd = from.fd;
	ret = ret ?: importer("attach %d", buf) ?: importer("map 0 notified") ?:
	      importer("fence %d", SLEEP_MS);
	if (!ret) {
		stop_begin(&stop);
		did = ioctl(buf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &to) ? -errno :
			0;
		pending = importer_says("fence");
		pthread_join(stop.thread, NULL);
		vfio_memory(device, true);
		close(from.fd);
	}
	result(!ret && !did && pending == 1, "fence_does_not_lock_the_buffer",
	       "import %d, a fence added %d, the importer's then pending %d",
	       ret, did, pending);
	importer("detach");
	close(other);
	close(buf);
}

/* Closing the device waits, too; the CPU loses the buffer at once. */
static void test_close(int device, const char *how)
{
	struct stop stop = { .device = device, .close = true };
	int buf = vfio_export(device, BAR, 0, page);
	void *vaddr = map(buf, 0, page);
	int ret, signal = 0, mapped = 0;
	char name[64];

	ret = importer("attach %d", buf) ?: importer("map %d %s", SLEEP_MS, how);
	if (vaddr != MAP_FAILED)
		touch(vaddr);
	stop_begin(&stop);
	if (vaddr != MAP_FAILED) {
		signal = touch(vaddr);
		mapped = importer_says("mapped");
		munmap(vaddr, page);
	}
	pthread_join(stop.thread, NULL);

	snprintf(name, sizeof(name), "%s.device_close", how);
	result(!ret && signal == SIGBUS && mapped == 1 &&
	       stop.took >= SLEEP_MS - AMID_MS && !importer_says("mapped"),
	       name, "import %d, signal %d with the importer's mapping %d, close took %ld ms, mapping then %d",
	       ret, signal, mapped, stop.took, importer_says("mapped"));
	importer("detach");
	close(buf);
}

int main(int argc, char **argv)
{
	static const char *const ways[] = { "notified", "later" };
	int device, iommufd;
	uint32_t pt = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: vfio_importer BDF\n");
		return 1;
	}
	bdf = argv[1];
	page = getpagesize();
	touch_begin();

	plan(10 + 2 * (DEEDS + 2));
	iommufd = vfio_open_iommufd();
	device = iommufd < 0 ? -1 : vfio_open_in(bdf, iommufd, &pt);
	if (device < 0)
		return 1;
	test_notified_once(device);
	test_attach_while_revoked(device);
	test_unmap_frees(device);
	test_attach_refused(device);
	test_mmap_by_importer(device);
	test_fence(device);
	test_fence_lock(device);
	test_others(device, iommufd, pt, ways[0]);
	test_others(device, iommufd, pt, ways[1]);
	test_close(device, ways[0]);
	device = vfio_open(bdf);
	if (device < 0)
		return 1;
	test_close(device, ways[1]);

	return ktap_failed != 0;
}
