// SPDX-License-Identifier: GPL-2.0-only
/*
 * The owner of a device revokes a dma-buf for good: who waits for an importer that takes
 * its time, and who does not; a device that cannot be resumed; a reset of two devices.
 *
 * usage: vfio_revoke importer BDF    prints KTAP; BDF is bound to vfio-pci, and
 *		/modules/slow_importer.ko has a device
 *	  vfio_revoke resume BDF      with /modules/resume_failure.ko
 *	  vfio_revoke reset BDF BDF   both are bound to vfio-pci, and alone on a bus
 * exit: 0 all pass, 1 not so
 */

#include <pthread.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <linux/dma-heap.h>

#include "clock.h"
#include "fail_nth.h"
#include "importer.h"
#include "ktap.h"
#include "touch.h"
#include "vfio.h"

/* How long the importer sleeps; all that others do is to fit in it */
#define SLEEP_MS	2000
/* When it certainly sleeps */
#define AMID_MS		200
/* A task that is killed is to be gone by then */
#define KILLED_MS	1000

#define BAR		0
#define IOVA		0x10000000ULL
#define ROUNDS		20

static const char *bdf;
static size_t page;

static void *map(int fd, off_t offset)
{
	return mmap(NULL, page, PROT_READ, MAP_SHARED, fd, offset);
}

/* What mmap() of a buffer says: 0 or -errno */
static int map_error(int buf)
{
	void *vaddr = map(buf, 0);

	if (vaddr == MAP_FAILED)
		return -errno;
	munmap(vaddr, page);
	return 0;
}

/* --- somebody who revokes a buffer, or disables the memory */

struct task {
	pthread_t thread;
	int device;
	int buf;	/* -1: disable the memory */
	int ret;
	long took;
	int mapped;	/* by the importer, at the end */
};

static void *task_run(void *argument)
{
	struct task *task = argument;
	uint64_t start = now_ns();

	if (task->buf < 0)
		task->ret = vfio_memory(task->device, false);
	else
		task->ret = vfio_revoke(task->device, task->buf);
	task->mapped = importer_says("mapped");
	task->took = (now_ns() - start) / 1000000;
	return NULL;
}

/* It is amid what it does when this returns. */
static void task_begin(struct task *task)
{
	pthread_create(&task->thread, NULL, task_run, task);
	sleep_ms(AMID_MS);
}

static int hold(int buf, const char *how)
{
	return importer("attach %d", buf) ?:
	       importer("map %d %s", SLEEP_MS, how);
}

/* --- importers */

static void test_waits(int device, const char *how)
{
	struct task task = { .device = device };
	int notified, ret;
	char name[64];

	task.buf = vfio_export(device, BAR, 0, page);
	ret = hold(task.buf, how);
	task_run(&task);
	notified = importer_says("notified");
	snprintf(name, sizeof(name), "%s.revoke_waits", how);
	result(!ret && !task.ret && task.took >= SLEEP_MS - AMID_MS &&
	       !task.mapped && notified == 1, name,
	       "import %d, revoke %d after %ld ms, the importer's mapping then %d, notified %d times",
	       ret, task.ret, task.took, task.mapped, notified);
	importer("detach");
	close(task.buf);
}

/* The fences are gathered in an array, or waited for one by one if it cannot be allocated. */
static void test_fence(int device, bool memory)
{
	struct task task = { .device = device };
	int file = memory ? -1 : fail_nth_open();
	bool failed = memory;
	int ret, before, after;

	task.buf = vfio_export(device, BAR, 0, page);
	ret = importer("attach %d", task.buf) ?:
	      importer("map 0 notified") ?: importer("fence %d", SLEEP_MS / 2);
	before = importer_says("fence");
	if (!memory)
		fail_nth_arm(file, 1);
	task_run(&task);
	if (!memory) {
		failed = fail_nth_failed(file);
		fail_nth_arm(file, 0);
		close(file);
	}
	after = importer_says("fence");
	result(!ret && !task.ret && before == 1 && !after && failed &&
	       task.took >= SLEEP_MS / 2 - AMID_MS,
	       memory ? "revoke_waits_for_fence" :
			"revoke_waits_for_fence_without_memory",
	       "import %d, an allocation failed %d, revoke %d after %ld ms, fence pending %d, then %d",
	       ret, failed, task.ret, task.took, before, after);
	importer("detach");
	close(task.buf);
}

/* A client that goes on adding fences does not keep its buffer. */
static void test_later_fence(int device)
{
	struct task task = { .device = device };
	int ret, added, pending;

	task.buf = vfio_export(device, BAR, 0, page);
	ret = hold(task.buf, "apart");
	task_begin(&task);
	/* signalled by the detach, as the importer is not notified again */
	added = importer("fence %d", SLEEP_MS);
	pthread_join(task.thread, NULL);
	pending = importer_says("fence");
	result(!ret && !added && !task.ret && !task.mapped && pending == 1,
	       "revoke_ignores_later_fences",
	       "import %d, fence %d, revoke %d after %ld ms, fence pending %d",
	       ret, added, task.ret, task.took, pending);
	importer("detach");
	close(task.buf);
}

static void test_not_mapped(int device)
{
	int buf = vfio_export(device, BAR, 0, page);
	int ret, revoked, notified, mapped, again;

	ret = importer("attach %d", buf);
	revoked = vfio_revoke(device, buf);
	notified = importer_says("notified");
	mapped = importer("map 0 notified");
	importer("detach");
	again = importer("attach %d", buf);
	if (!again)
		importer("detach");
	result(!ret && !revoked && !notified && mapped == -ENODEV &&
	       again == -ENODEV, "revoke_of_attached",
	       "attach %d, revoke %d, notified %d times, map %d, attach again %d",
	       ret, revoked, notified, mapped, again);
	close(buf);
}

/* The task goes at once; who revokes after it waits for what it has left. */
static void test_killed(int device, const char *what)
{
	bool fence = !strcmp(what, "fence");
	struct task task = { .device = device };
	int ret, status, before, mapped, pending;
	uint64_t start;
	char name[64];
	long took;
	pid_t child;

	task.buf = vfio_export(device, BAR, 0, page);
	ret = fence ? importer("attach %d", task.buf) ?:
			      importer("map 0 notified") ?:
			      importer("fence %d", SLEEP_MS) :
		      hold(task.buf, "apart");
	child = fork();
	if (!child)
		_exit(vfio_revoke(device, task.buf) != 0);
	sleep_ms(AMID_MS);
	start = now_ns();
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	took = (now_ns() - start) / 1000000;
	before = importer_says(fence ? "fence" : "mapped");
	mapped = map_error(task.buf);
	task_run(&task);
	pending = importer_says(fence ? "fence" : "mapped");

	snprintf(name, sizeof(name), "revoke_killed.%s", what);
	result(!ret && WIFSIGNALED(status) && took < KILLED_MS && before == 1 &&
	       mapped == -ENODEV && task.ret == -EBADFD && !pending, name,
	       "import %d, status %#x after %ld ms with the importer at it %d, mmap %d, revoke again %d, importer at it %d",
	       ret, status, took, before, mapped, task.ret, pending);
	importer("detach");
	close(task.buf);
}

static void nothing(int signal)
{
}

static void test_signal(int device)
{
	struct itimerval often = { { 0, 50000 }, { 0, 50000 } }, never = {};
	struct sigaction action = { .sa_handler = nothing };
	struct task task = { .device = device };
	int ret;

	task.buf = vfio_export(device, BAR, 0, page);
	ret = hold(task.buf, "apart");
	/* without SA_RESTART */
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	task_run(&task);
	setitimer(ITIMER_REAL, &never, NULL);
	result(!ret && !task.ret && !task.mapped &&
	       task.took >= SLEEP_MS - AMID_MS, "revoke_amid_signals",
	       "import %d, revoke %d after %ld ms, the importer's mapping then %d",
	       ret, task.ret, task.took, task.mapped);
	importer("detach");
	close(task.buf);
}

static void test_two(int device)
{
	int buf = vfio_export(device, BAR, 0, page);
	struct task first = { .device = device, .buf = buf }, second = first;
	int ret = hold(buf, "apart");

	task_begin(&first);
	task_run(&second);
	pthread_join(first.thread, NULL);
	result(!ret && !first.ret && second.ret == -EBADFD && !first.mapped &&
	       !second.mapped && second.took >= SLEEP_MS - 2 * AMID_MS,
	       "revoke_by_two",
	       "import %d, the first %d with the importer's mapping %d, the second %d after %ld ms with %d",
	       ret, first.ret, first.mapped, second.ret, second.took,
	       second.mapped);
	importer("detach");
	close(buf);
}

/* Both wait for the same importer; the last of them takes the buffer off the device. */
static void test_memory_off(int device, int iommufd, uint32_t pt)
{
	int buf = vfio_export(device, BAR, 0, page);
	int other = vfio_export(device, BAR, page, page);
	struct task off = { .device = device, .buf = -1 };
	struct task task = { .device = device, .buf = buf };
	int ret = hold(buf, "apart"), imported, again;

	task_begin(&off);
	task_run(&task);
	pthread_join(off.thread, NULL);
	vfio_memory(device, true);
	importer("detach");
	again = importer("attach %d", buf);
	imported = vfio_import(iommufd, pt, other, IOVA, page);
	if (!imported)
		vfio_unimport(iommufd, pt, IOVA, page);
	result(!ret && !off.ret && !off.mapped && !task.ret && !task.mapped &&
	       again == -ENODEV && !imported, "revoke_and_memory_off",
	       "import %d, memory off %d with the importer's mapping %d, revoke %d with %d; then attach %d, import of another %d",
	       ret, off.ret, off.mapped, task.ret, task.mapped, again, imported);
	close(other);
	close(buf);
}

/* A buffer that is revoked is nothing that the device has to do with. */
static void test_leaves(int device)
{
	int buf = vfio_export(device, BAR, 0, page);
	int revoked = vfio_export(device, BAR, page, page);
	struct task off = { .device = device, .buf = -1 };
	int ret = vfio_revoke(device, revoked) ?: hold(buf, "apart"), mapped;

	task_begin(&off);
	close(revoked);
	mapped = importer_says("mapped");
	pthread_join(off.thread, NULL);
	vfio_memory(device, true);
	result(!ret && mapped == 1 && !off.mapped, "revoke_then_close",
	       "import %d, the importer's mapping after the close %d, after memory off %d",
	       ret, mapped, off.mapped);
	importer("detach");
	close(buf);
}

/* --- what others do meanwhile */

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
	return touch(others->buffer_other);
}

static int deed_own_fault(struct others *others)
{
	return touch(others->buffer) == SIGBUS ? 0 : -EEXIST;
}

static int deed_own_mmap(struct others *others)
{
	return map_error(others->buf) == -ENODEV ? 0 : -EEXIST;
}

static int deed_mmap(struct others *others)
{
	struct vfio_region_info info;
	void *vaddr;
	int ret;

	vfio_region(others->device, BAR, &info);
	vaddr = map(others->device, info.offset);
	if (vaddr == MAP_FAILED)
		return -errno;
	ret = touch(vaddr);
	munmap(vaddr, page);
	return ret;
}

static int deed_read(struct others *others)
{
	struct vfio_region_info info;
	uint32_t value;

	vfio_region(others->device, BAR, &info);
	return pread(others->device, &value, sizeof(value), info.offset) ==
	       sizeof(value) ? 0 : -EIO;
}

static int deed_config(struct others *others)
{
	return vfio_memory(others->device, true);
}

static int deed_import(struct others *others)
{
	return vfio_import(others->iommufd, others->pt, others->other, IOVA,
			   page) ?:
	       vfio_unimport(others->iommufd, others->pt, IOVA, page);
}

static int deed_export(struct others *others)
{
	int buf = vfio_export(others->device, BAR, 2 * page, page);

	if (buf < 0)
		return buf;
	return vfio_revoke(others->device, buf) ?: close(buf) ? -errno : 0;
}

static int deed_revoke(struct others *others)
{
	return vfio_revoke(others->device, others->other) ?:
	       touch(others->buffer_other) == SIGBUS ? 0 : -EEXIST;
}

static int deed_close(struct others *others)
{
	int ret = close(others->other) ? -errno : 0;

	others->other = -1;
	return ret;
}

static const struct deed deeds[] = {
	{ "bar_fault", deed_bar_fault },
	{ "other_fault", deed_other_fault },
	{ "own_fault", deed_own_fault },
	{ "own_mmap", deed_own_mmap },
	{ "bar_mmap", deed_mmap },
	{ "bar_read", deed_read },
	{ "config_write", deed_config },
	{ "other_import", deed_import },
	{ "export_and_revoke", deed_export },
	{ "other_revoke", deed_revoke },
	{ "other_close", deed_close },
};

#define DEEDS (sizeof(deeds) / sizeof(deeds[0]))

static void test_others(int device, int iommufd, uint32_t pt)
{
	struct task task = { .device = device };
	struct vfio_region_info info;
	struct others others = {
		.device = device, .iommufd = iommufd, .pt = pt,
		.buf = vfio_export(device, BAR, 0, page),
		.other = vfio_export(device, BAR, page, page),
	};
	char name[64];
	size_t i;
	int ret;

	vfio_region(device, BAR, &info);
	others.bar = map(device, info.offset);
	others.buffer = map(others.buf, 0);
	others.buffer_other = map(others.other, 0);
	task.buf = others.buf;

	/* where nothing can be revoked, all of this works, and shows nothing */
	ret = vfio_revoke(device, -1) == -EBADF ? 0 : -ENOTTY;
	ret = ret ?: others.buffer == MAP_FAILED ? -ENODEV :
						   hold(others.buf, "apart");
	task_begin(&task);
	for (i = 0; i < DEEDS; i++) {
		int did = ret ?: deeds[i].act(&others);
		int mapped = importer_says("mapped");

		snprintf(name, sizeof(name), "revoke_meanwhile.%s",
			 deeds[i].name);
		result(!ret && !did && mapped == 1, name,
		       "import %d, outcome %d, the importer's mapping then %d",
		       ret, did, mapped);
	}
	pthread_join(task.thread, NULL);
	importer("detach");
	munmap(others.bar, page);
	munmap(others.buffer, page);
	munmap(others.buffer_other, page);
	close(others.buf);
	if (others.other >= 0)
		close(others.other);
}

/* The owner closes the device while another of its processes revokes. */
static void test_close(int device, int iommufd)
{
	int buf = vfio_export(device, BAR, 0, page), ret, status, mapped;
	pid_t child;

	ret = hold(buf, "apart");
	child = fork();
	if (!child)
		_exit(vfio_revoke(device, buf) != 0 ||
		      importer_says("mapped") != 0);
	sleep_ms(AMID_MS);
	close(device);
	close(iommufd);
	waitpid(child, &status, 0);
	mapped = map_error(buf);
	importer("detach");
	device = vfio_open(bdf);
	result(!ret && WIFEXITED(status) && !WEXITSTATUS(status) &&
	       mapped == -ENODEV && device >= 0, "revoke_and_close",
	       "import %d, status %#x, mmap %d, opened again %d", ret, status,
	       mapped, device);
	if (device >= 0)
		close(device);
	close(buf);
}

static int importers(void)
{
	static const char *const ways[] = { "notified", "later", "apart" };
	int iommufd = vfio_open_iommufd(), device;
	uint32_t pt = 0;
	size_t i;

	device = iommufd < 0 ? -1 : vfio_open_in(bdf, iommufd, &pt);
	if (device < 0)
		return 1;
	plan(3 + 11 + DEEDS);
	for (i = 0; i < 3; i++)
		test_waits(device, ways[i]);
	test_fence(device, true);
	test_fence(device, false);
	test_later_fence(device);
	test_not_mapped(device);
	test_killed(device, "mapping");
	test_killed(device, "fence");
	test_signal(device);
	test_two(device);
	test_memory_off(device, iommufd, pt);
	test_leaves(device);
	test_others(device, iommufd, pt);
	test_close(device, iommufd);
	return 0;
}

/* --- a device that cannot be resumed */

static bool tell(const char *text)
{
	int fd = open("/sys/kernel/debug/resume_failure", O_WRONLY | O_CLOEXEC);
	bool told = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return told;
}

/* Whether the device has been suspended, within two seconds */
static bool suspended(void)
{
	char path[128], state[32] = "";
	FILE *file;
	int i;

	snprintf(path, sizeof(path),
		 "/sys/bus/pci/devices/%s/power/runtime_status", bdf);
	for (i = 0; i < 200 && strncmp(state, "suspended", 9); i++) {
		sleep_ms(10);
		file = fopen(path, "re");
		if (!file || !fgets(state, sizeof(state), file))
			state[0] = 0;
		if (file)
			fclose(file);
	}
	return !strncmp(state, "suspended", 9);
}

static int resume(void)
{
	int iommufd = vfio_open_iommufd(), device, buf, ret = 0, signal;
	struct vfio_device_info info = { .argsz = sizeof(info) };
	bool asleep, armed;
	int refused, revoked, again, woken;
	uint32_t pt = 0;
	char text[64];
	void *vaddr;

	device = iommufd < 0 ? -1 : vfio_open_in(bdf, iommufd, &pt);
	if (device < 0)
		return 1;
	plan(2);
	buf = vfio_export(device, BAR, 0, page);
	vaddr = map(buf, 0);
	ret = vaddr == MAP_FAILED ? -ENODEV : touch(vaddr);
	ret = ret ?: vfio_import(iommufd, pt, buf, IOVA, page) ?:
	      vfio_feature(device, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, NULL,
			   0);
	asleep = suspended();
	snprintf(text, sizeof(text), "arm %s", bdf);
	armed = tell(text);
	refused = ioctl(device, VFIO_DEVICE_GET_INFO, &info) ? -errno : 0;
	revoked = vfio_revoke(device, buf);
	again = vfio_revoke(device, buf);
	signal = vaddr == MAP_FAILED ? 0 : touch(vaddr);
	result(!ret && asleep && armed && refused == -EIO && !revoked &&
	       again == -EBADFD && signal == SIGBUS &&
	       map_error(buf) == -ENODEV, "revoke_without_resume",
	       "set up %d, asleep %d, resume made to fail %d, another ioctl %d, revoke %d and %d, signal %d",
	       ret, asleep, armed, refused, revoked, again, signal);

	tell("disarm");
	woken = vfio_feature(device, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, NULL,
			     0);
	ret = vfio_import(iommufd, pt, buf, 2 * IOVA, page);
	signal = vaddr == MAP_FAILED ? 0 : touch(vaddr);
	result(!woken && ret == -ENODEV && signal == SIGBUS && !revoked,
	       "revoked_after_resume",
	       "low power exit %d, import %d, signal %d", woken, ret, signal);
	close(buf);
	close(device);
	close(iommufd);
	return 0;
}

/* --- two devices that are reset together */

struct resetter {
	pthread_t thread;
	int device;
	bool stop;
	int done;
	int ret;
};

static void *resetter_run(void *argument)
{
	struct vfio_pci_hot_reset arg = { .argsz = sizeof(arg) };
	struct resetter *resetter = argument;

	while (!__atomic_load_n(&resetter->stop, __ATOMIC_SEQ_CST) ||
	       resetter->done < ROUNDS) {
		if (ioctl(resetter->device, VFIO_DEVICE_PCI_HOT_RESET, &arg)) {
			resetter->ret = -errno;
			break;
		}
		resetter->done++;
	}
	return NULL;
}

/* A dma-buf of somebody else altogether: a file descriptor or -1 */
static int heap_buffer(void)
{
	struct dma_heap_allocation_data arg = {
		.len = page,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};
	int heap = open("/dev/dma_heap/system", O_RDONLY | O_CLOEXEC);
	int ret = heap < 0 ? -1 : ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &arg);

	if (heap >= 0)
		close(heap);
	return ret ? -1 : (int)arg.fd;
}

/*
 * The owner of one device is not that of another one, nor of a heap, whose buffers no IOAS
 * takes.
 */
static void test_of_others(const int *devices, int iommufd, uint32_t pt)
{
	int buf = vfio_export(devices[1], BAR, 0, page), heap = heap_buffer();
	int other, foreign, live, imported;

	other = vfio_revoke(devices[0], buf);
	foreign = vfio_revoke(devices[0], heap);
	live = map_error(buf);
	imported = vfio_import(iommufd, pt, heap, IOVA, page);
	result(other == -ENODEV && heap >= 0 && foreign == -ENODEV && !live &&
	       imported == -EOPNOTSUPP, "revoke_of_what_others_export",
	       "of another device %d, of a heap (%d) %d, then mmap %d, import of the heap's %d",
	       other, heap, foreign, live, imported);
	close(buf);
	if (heap >= 0)
		close(heap);
}

static int reset(const char *second)
{
	int iommufd = vfio_open_iommufd(), devices[2], others[2], i, j;
	struct resetter resetter = {};
	int wrong = 0, lost = 0, revoked = 0;
	uint32_t pt = 0;

	if (iommufd < 0)
		return 1;
	devices[0] = vfio_open_in(bdf, iommufd, &pt);
	devices[1] = devices[0] < 0 ? -1 : vfio_open_in(second, iommufd, &pt);
	if (devices[1] < 0)
		return 1;
	plan(3);
	test_of_others(devices, iommufd, pt);
	for (i = 0; i < 2; i++)
		others[i] = vfio_export(devices[i], BAR, 0, page);

	resetter.device = devices[0];
	pthread_create(&resetter.thread, NULL, resetter_run, &resetter);
	for (i = 0; i < ROUNDS && !resetter.ret; i++) {
		int buf = vfio_export(devices[1], BAR, 0, page);
		void *vaddr = map(buf, 0);

		if (vaddr != MAP_FAILED)
			touch(vaddr);
		revoked = revoked ?: vfio_revoke(devices[1], buf);
		for (j = 0; j < 5; j++) {
			wrong += vaddr == MAP_FAILED || touch(vaddr) != SIGBUS;
			sleep_ms(2);
		}
		if (vaddr != MAP_FAILED)
			munmap(vaddr, page);
		wrong += vfio_import(iommufd, pt, buf, IOVA, page) != -ENODEV;
		close(buf);
	}
	__atomic_store_n(&resetter.stop, true, __ATOMIC_SEQ_CST);
	pthread_join(resetter.thread, NULL);
	result(!revoked && !wrong && !resetter.ret, "revoke_amid_hot_resets",
	       "revoke %d, %d accesses to what is revoked, reset %d", revoked,
	       wrong, resetter.ret);

	for (i = 0; i < 2; i++) {
		void *vaddr = map(others[i], 0);

		lost += vaddr == MAP_FAILED || touch(vaddr);
		if (vaddr != MAP_FAILED)
			munmap(vaddr, page);
		if (vfio_import(iommufd, pt, others[i], IOVA, page))
			lost++;
		else
			vfio_unimport(iommufd, pt, IOVA, page);
		close(others[i]);
		close(devices[i]);
	}
	result(!lost && !revoked, "other_buffers_come_back",
	       "revoke %d, %d of 4 uses do not work", revoked, lost);
	close(iommufd);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	int ret = 2;

	touch_begin();
	page = getpagesize();
	bdf = argc > 2 ? argv[2] : NULL;
	if (!strcmp(what, "importer"))
		ret = importers();
	else if (!strcmp(what, "resume"))
		ret = resume();
	else if (!strcmp(what, "reset") && argc > 3)
		ret = reset(argv[3]);
	if (ret == 2)
		fprintf(stderr, "usage: vfio_revoke importer|resume|reset BDF [BDF]\n");
	return ret || ktap_failed;
}
