// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the CPU really has a dma-buf of a BAR mapped for which write-combining is asked, by
 * /modules/mapping_probe.ko and, on x86, the list of the memory types that are reserved.
 *
 * usage: vfio_wc page BDF real|refused    prints KTAP; BDF is bound to vfio-pci. The
 *		attribute is delivered on this machine, or is refused and changes nothing
 *	  vfio_wc types BDF    where there is pat_memtype_list
 *	  vfio_wc second BDF    likewise, for a device whose memory is its BAR 2
 * exit: 0 all pass, 1 not so
 */

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/userfaultfd.h>

#include "clock.h"
#include "ktap.h"
#include "probe.h"
#include "touch.h"
#include "vfio.h"

#define BAR		0
#define REGISTERS	2
#define SECOND		2	/* of another device */
#define TYPES		"/sys/kernel/debug/x86/pat_memtype_list"
#define LARGE		(2ul << 20)
#define AMID_MS		200
#define SOON_MS		5000

/* Answers of the probe */
#define NC		0
#define WC		1

static const char *bdf;
static size_t page;
static uint64_t bar;	/* its physical address */
static uint64_t bar_size;

static void *map(int fd, off_t offset, size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
}

/* How a page is mapped that is accessed first: NC, WC, 2 for all else, or -1 */
static int cache(void *vaddr)
{
	int found;

	if (vaddr == MAP_FAILED || touch(vaddr))
		return -1;
	return sscanf(probe("cpu %lx", (unsigned long)vaddr), "cpu cache %d",
		      &found) == 1 ? found : -1;
}

/* --- on every machine */

static void test_page(int device, bool real)
{
	int buf = vfio_export(device, BAR, page, page), set, again, kind;
	int wanted = real ? WC : NC;
	struct vfio_region_info info;
	void *whole, *vaddr;

	vfio_region(device, BAR, &info);
	whole = map(device, info.offset, 3 * page);
	cache(whole);
	set = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_WC);
	vaddr = map(buf, 0, page);
	kind = cache(vaddr);
	result(set == (real ? 0 : -EOPNOTSUPP) && kind == wanted,
	       real ? "write_combined" : "refused",
	       "set %d, then mapped as %d", set, kind);
	again = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_NC);
	result(again == (real ? -EBUSY : 0), "not_changed_any_more",
	       "set %d, then the other %d", set, again);
	result(!(set && set != -EOPNOTSUPP) && cache(whole) == NC &&
	       cache((char *)whole + 2 * page) == NC, "neighbours_stay",
	       "set %d, mapped as %d and %d", set, cache(whole),
	       cache((char *)whole + 2 * page));
	munmap(vaddr, page);
	munmap(whole, 3 * page);
	close(buf);
}

static void test_nc(int device)
{
	int buf = vfio_export(device, BAR, page, page);
	int set = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_NC), kind;
	void *vaddr = map(buf, 0, page);

	kind = cache(vaddr);
	result(!set && kind == NC, "not_cached", "set %d, mapped as %d", set,
	       kind);
	munmap(vaddr, page);
	close(buf);
}

/* --- x86, with its list of types */

/*
 * The type that is reserved for all of a part of the BAR, as the list has it, "" where
 * there is none, or "several". What does not overlap with the BAR is not looked at.
 */
static const char *type(uint64_t offset, uint64_t size)
{
	unsigned long long start, end;
	uint64_t at = bar + offset;
	static char found[32];
	char line[160], name[32];
	FILE *file = fopen(TYPES, "re");

	found[0] = 0;
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "PAT: [mem %llx-%llx] %31s", &start, &end,
			   name) != 3)
			continue;
		if (start >= at + size || end <= at)
			continue;
		if (found[0] && strcmp(found, name))
			strcpy(found, "several");
		else
			strcpy(found, name);
		if (start > at || end < at + size)
			strcpy(found, "a part");
	}
	if (file)
		fclose(file);
	return found;
}

static bool is_type(uint64_t offset, const char *name)
{
	return !strcmp(type(offset, page), name);
}

/* --- the kernel's own mapping of the BAR */

static void test_needed(void)
{
	bool before, after, closed;
	struct vfio_region_info info;
	int device = vfio_open(bdf);
	uint32_t value;
	ssize_t got;

	vfio_region(device, BAR, &info);
	before = is_type(0, "") && is_type(bar_size - page, "");
	got = pread(device, &value, sizeof(value), info.offset);
	after = is_type(0, "uncached-minus") &&
		is_type(bar_size - page, "uncached-minus");
	close(device);
	closed = is_type(0, "") && is_type(bar_size - page, "");
	result(before && got == sizeof(value) && after && closed,
	       "kernel_maps_when_needed",
	       "no type after open %d, read %zd, UC- after it %d, none after close %d",
	       before, got, after, closed);
}

/* The type is that of the slice, as long as there is a buffer that can be accessed. */
static void test_life(const char *name, void (*end)(int *device, int *buf))
{
	int device = vfio_open(bdf);
	int buf = vfio_export(device, BAR, page, page), set;
	bool before, amid, after;

	before = is_type(page, "");
	set = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_WC);
	amid = is_type(page, "write-combining") && is_type(0, "") &&
	       is_type(2 * page, "");
	end(&device, &buf);
	after = is_type(page, "");
	result(before && !set && amid && after, name,
	       "none before %d, set %d, of that page alone %d, none after %d",
	       before, set, amid, after);
	if (buf >= 0)
		close(buf);
	if (device >= 0)
		close(device);
}

/* Each range has its type, and gives it back. */
static void test_ranges(void)
{
	struct vfio_region_dma_range ranges[] = {
		{ page, page }, { 3 * page, page },
	};
	int device = vfio_open(bdf), buf, set;
	bool amid, after;

	buf = vfio_export_ranges(device, BAR, ranges, 2, O_RDWR);
	set = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_WC);
	amid = is_type(page, "write-combining") && is_type(2 * page, "") &&
	       is_type(3 * page, "write-combining");
	close(buf);
	after = is_type(page, "") && is_type(3 * page, "");
	result(!set && amid && after, "wc_of_two_ranges",
	       "set %d, of these pages alone %d, none after %d", set, amid,
	       after);
	close(device);
}

static void end_revoke(int *device, int *buf)
{
	vfio_revoke(*device, *buf);
}

static void end_close(int *device, int *buf)
{
	close(*buf);
	*buf = -1;
}

static void end_close_device(int *device, int *buf)
{
	close(*device);
	*device = -1;
}

/* Map the begin of the BAR where a large entry fits. */
static char *map_large(int device, int region)
{
	struct vfio_region_info info;
	char *place;

	vfio_region(device, region, &info);
	place = mmap(NULL, 2 * LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	place = (char *)(((uintptr_t)place + LARGE - 1) & ~(LARGE - 1));
	return mmap(place, LARGE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, device, info.offset);
}

/* A large entry that the BAR has, mapped before: it must not keep the old type. */
static void test_bar(void)
{
	int device = vfio_open(bdf), buf, set, mine, next, back;
	char *whole = map_large(device, BAR);

	cache(whole);
	buf = vfio_export(device, BAR, 5 * page, page);
	set = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_WC);
	/* the neighbours first: one large entry would have their type */
	next = cache(whole);
	mine = cache(whole + 5 * page);
	result(!set && mine == WC && next == NC &&
	       cache(whole + 6 * page) == NC, "wc_for_the_bar_as_well",
	       "set %d, the page is mapped as %d, its neighbour as %d", set,
	       mine, next);
	vfio_revoke(device, buf);
	back = cache(whole + 5 * page);
	result(!set && back == NC, "wc_ends_for_the_bar_as_well",
	       "set %d, mapped as %d after the revocation", set, back);
	munmap(whole, LARGE);
	close(buf);
	close(device);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* Whether what is mapped here, and has not been accessed, gets a large entry. */
static bool gets_large_entry(char *whole)
{
	long before;

	/* what the access and the count need is there from now on */
	faults();
	touch(whole);
	before = faults();
	touch(whole + 7 * page);
	return faults() == before;
}

static bool has_large_entries(int device, int region)
{
	char *whole = map_large(device, region);
	bool large = gets_large_entry(whole);

	munmap(whole, LARGE);
	return large;
}

/* Whether BAR gets large entries while a page of a region is write-combining. */
static void test_large(const char *name, int region, uint64_t offset, bool wanted)
{
	int device = vfio_open(bdf), buf, set;
	bool large;

	buf = vfio_export(device, region, offset, page);
	set = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_WC);
	large = has_large_entries(device, BAR);
	result(!set && large == wanted, name, "set %d, large entry %d", set,
	       large);
	close(buf);
	close(device);
}

/* The same for a BAR that is not the device's first. */
static void test_second(void)
{
	int device = vfio_open(bdf), buf, set;
	bool before, amid, after;

	before = has_large_entries(device, SECOND);
	buf = vfio_export(device, SECOND, 5 * page, page);
	set = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_WC);
	amid = has_large_entries(device, SECOND);
	close(buf);
	after = has_large_entries(device, SECOND);
	result(!set && before && !amid && after,
	       "no_large_entries_in_a_second_bar",
	       "set %d, large entries %d before, %d amid, %d after", set,
	       before, amid, after);
	close(device);
}

static int ioeventfd(int device, int fd, uint64_t offset)
{
	struct vfio_device_ioeventfd arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = offset,
		.data = 1,
		.fd = fd,
	};

	return ioctl(device, VFIO_DEVICE_IOEVENTFD, &arg) ? -errno : 0;
}

/* An ioeventfd keeps the kernel's mapping, so that only one of the two can be had. */
static void test_ioeventfd(void)
{
	int fd = eventfd(0, 0), device, buf, first, second;
	struct vfio_region_info info;

	device = vfio_open(bdf);
	vfio_region(device, BAR, &info);
	buf = vfio_export(device, BAR, page, page);
	first = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_WC);
	second = ioeventfd(device, fd, info.offset);
	result(!first && second == -EBUSY, "wc_before_ioeventfd",
	       "set %d, ioeventfd %d", first, second);
	close(buf);
	first = ioeventfd(device, fd, info.offset);
	buf = vfio_export(device, BAR, page, page);
	second = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_WC);
	result(!first && second == -EOPNOTSUPP && is_type(page, "uncached-minus"),
	       "wc_after_ioeventfd", "ioeventfd %d, set %d", first, second);
	close(buf);
	close(device);
	close(fd);
}

/* --- a read() of the BAR that is held up by userfaultfd, with what it has mapped */

struct stuck {
	pthread_t thread;
	int device;
	off_t offset;
	int uffd;
	void *place;
	ssize_t got;
};

static void *stuck_run(void *argument)
{
	struct stuck *stuck = argument;

	stuck->got = pread(stuck->device, stuck->place, 4, stuck->offset);
	return NULL;
}

/* 0 when it waits for its memory, or an error */
static int stuck_begin(struct stuck *stuck, int device, uint64_t offset)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	struct pollfd ready = { .events = POLLIN };
	struct vfio_region_info info;

	vfio_region(device, BAR, &info);
	stuck->device = device;
	stuck->offset = info.offset + offset;
	stuck->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	stuck->place = mmap(NULL, page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (uintptr_t)stuck->place;
	reg.range.len = page;
	if (stuck->uffd < 0 || ioctl(stuck->uffd, UFFDIO_API, &api) ||
	    ioctl(stuck->uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	if (pthread_create(&stuck->thread, NULL, stuck_run, stuck))
		return -EAGAIN;
	ready.fd = stuck->uffd;
	return poll(&ready, 1, SOON_MS) == 1 ? 0 : -ETIMEDOUT;
}

/* What it has read */
static ssize_t stuck_end(struct stuck *stuck)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)stuck->place, .len = page },
	};

	ioctl(stuck->uffd, UFFDIO_ZEROPAGE, &zero);
	pthread_join(stuck->thread, NULL);
	munmap(stuck->place, page);
	close(stuck->uffd);
	return stuck->got;
}

struct setter {
	int device;
	int buf;
	int ret;
	int done;
};

static void *setter_run(void *argument)
{
	struct setter *setter = argument;

	setter->ret = vfio_memattr(setter->device, setter->buf,
				   VFIO_DMA_BUF_MEMATTR_WC);
	__atomic_store_n(&setter->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* The kernel's mapping of the BAR is in use; the buffer may be revoked meanwhile. */
static void test_waits(bool revoke)
{
	int device = vfio_open(bdf), begun, early = 1, revoked = 0;
	struct setter setter = { .device = device };
	struct stuck stuck;
	pthread_t thread;
	ssize_t got = 0;

	setter.buf = vfio_export(device, BAR, page, page);
	begun = stuck_begin(&stuck, device, 0);
	if (!begun) {
		pthread_create(&thread, NULL, setter_run, &setter);
		sleep_ms(AMID_MS);
		early = __atomic_load_n(&setter.done, __ATOMIC_SEQ_CST);
		if (revoke)
			revoked = vfio_revoke(device, setter.buf);
		got = stuck_end(&stuck);
		pthread_join(thread, NULL);
	}
	result(!begun && !early && got == 4 && !revoked &&
	       setter.ret == (revoke ? -EBADFD : 0) &&
	       is_type(page, revoke ? "" : "write-combining") && is_type(0, ""),
	       revoke ? "wc_revoked_amid_the_wait" : "wc_waits_for_a_read",
	       "read begun %d, set before its end %d, revoke %d, it read %zd, set %d, type '%s'",
	       begun, early, revoked, got, setter.ret, type(page, page));
	close(setter.buf);
	close(device);
}

/* Who waits can be killed, and leaves nothing. */
static void test_killed(void)
{
	int device = vfio_open(bdf), buf, begun, status, i;
	pid_t child, gone = 0;
	struct stuck stuck;
	bool large;

	buf = vfio_export(device, BAR, page, page);
	begun = stuck_begin(&stuck, device, 0);
	if (!begun) {
		child = fork();
		if (!child)
			_exit(vfio_memattr(device, buf,
					   VFIO_DMA_BUF_MEMATTR_WC) != 0);
		sleep_ms(AMID_MS);
		kill(child, SIGKILL);
		for (i = 0; i < SOON_MS / 10 && !gone; i++) {
			sleep_ms(10);
			gone = waitpid(child, &status, WNOHANG);
		}
		stuck_end(&stuck);
		if (!gone)
			waitpid(child, &status, 0);
	}
	close(buf);
	/* the read() has left the kernel's mapping of the BAR */
	large = has_large_entries(device, BAR);
	result(!begun && gone > 0 && WIFSIGNALED(status) &&
	       is_type(page, "uncached-minus") && large, "wc_wait_killed",
	       "read begun %d, gone %d, type '%s', large entries %d", begun,
	       gone > 0, type(page, page), large);
	close(device);
}

/*
 * The kernel's mapping of the page remains for longer than the buffer: nothing else gets
 * its type, and nothing keeps it.
 */
static void test_amid(void)
{
	int device = vfio_open(bdf), buf, set, begun, kind = -1;
	bool alone = false, none = false, whole = false;
	struct vfio_region_info info;
	struct stuck stuck;
	ssize_t got = 0;
	uint32_t value;
	char *vaddr;

	vfio_region(device, BAR, &info);
	vaddr = map(device, info.offset, 3 * page);
	buf = vfio_export(device, BAR, page, page);
	set = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_WC);
	begun = stuck_begin(&stuck, device, page);
	if (!begun) {
		vfio_revoke(device, buf);
		cache(vaddr + page);
		got = pread(device, &value, sizeof(value), info.offset);
		alone = got == 4 && is_type(page, "write-combining") &&
			is_type(0, "") && is_type(2 * page, "");
		got = stuck_end(&stuck);
		none = is_type(page, "");
		kind = cache(vaddr + page);
		whole = pread(device, &value, sizeof(value), info.offset) == 4 &&
			is_type(0, "uncached-minus") &&
			is_type(page, "uncached-minus");
	}
	result(!set && !begun && got == 4 && alone && none && kind == NC &&
	       whole, "wc_ends_amid_a_read",
	       "set %d, read begun %d, type of that page alone %d, it read %zd, then none %d, mapped as %d, then UC- %d",
	       set, begun, alone, got, none, kind, whole);
	munmap(vaddr, 3 * page);
	close(buf);
	close(device);
}

/* The second of two reads maps the page when the buffer has gone, and inherits its type. */
static void test_inherited(void)
{
	int device = vfio_open(bdf), buf, set, begun, amid = -1, kind = -1;
	struct vfio_region_info info;
	struct stuck first, second;
	ssize_t got = 0;
	bool none = false;
	char *vaddr;

	vfio_region(device, BAR, &info);
	vaddr = map(device, info.offset, 3 * page);
	buf = vfio_export(device, BAR, page, page);
	set = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_WC);
	begun = stuck_begin(&first, device, page);
	if (!begun) {
		vfio_revoke(device, buf);
		begun = stuck_begin(&second, device, page);
		got = stuck_end(&first);
		amid = cache(vaddr + page);
		if (!begun)
			got += stuck_end(&second);
		none = is_type(page, "");
		kind = cache(vaddr + page);
	}
	result(!set && !begun && got == 8 && amid == WC && none && kind == NC,
	       "wc_ends_amid_two_reads",
	       "set %d, read begun %d, they read %zd, amid the second mapped as %d, then none %d, mapped as %d",
	       set, begun, got, amid, none, kind);
	munmap(vaddr, 3 * page);
	close(buf);
	close(device);
}

static bool find_bar(void)
{
	unsigned long long start, last;
	char path[128];
	FILE *file;
	bool found;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource", bdf);
	file = fopen(path, "re");
	found = file && fscanf(file, "%llx %llx", &start, &last) == 2;
	if (file)
		fclose(file);
	if (found) {
		bar = start;
		bar_size = last - start + 1;
	}
	return found;
}

int main(int argc, char **argv)
{
	int device;

	page = getpagesize();
	touch_begin();
	bdf = argc > 2 ? argv[2] : "";
	if (argc == 4 && !strcmp(argv[1], "page")) {
		device = vfio_open(bdf);
		if (device < 0)
			return 1;
		plan(4);
		test_page(device, !strcmp(argv[3], "real"));
		test_nc(device);
		close(device);
	} else if (argc == 3 && !strcmp(argv[1], "types") && find_bar()) {
		plan(16);
		test_needed();
		test_life("wc_until_revoked", end_revoke);
		test_life("wc_until_closed", end_close);
		test_life("wc_until_the_device_is_closed", end_close_device);
		test_ranges();
		test_bar();
		test_large("large_entries_beside_a_wc_bar", REGISTERS, 0, true);
		test_large("no_large_entries_in_a_wc_bar", BAR, 5 * page, false);
		test_waits(false);
		test_waits(true);
		test_killed();
		test_amid();
		test_inherited();
		test_ioeventfd();
	} else if (argc == 3 && !strcmp(argv[1], "second")) {
		plan(1);
		test_second();
	} else {
		fprintf(stderr, "usage: vfio_wc page BDF real|refused\n"
			"       vfio_wc types|second BDF\n");
		return 1;
	}
	return ktap_failed != 0;
}
