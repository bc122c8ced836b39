// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device of nvgrace-gpu, whose memory is not that of its BARs: as regions 2, mapped
 * write-combined, and 4, mapped cacheable, by a mmap() of the driver's own.
 *
 * usage: vfio_grace BDF    prints KTAP; the device is made by /modules/grace_memory.ko
 * exit: 0 all pass, 1 not so
 */

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "ktap.h"
#include "number.h"
#include "vfio.h"

#define RESERVED	2
#define USABLE		4

#define PATTERN		0x0b5e55ed0b5e55edULL

static int device;
static size_t page;
static sigjmp_buf env;

struct region {
	uint64_t offset;	/* in the device's file */
	uint64_t size;		/* as it is reported: a power of two */
	uint64_t length;	/* that there is memory for */
};

static void handler(int signal)
{
	siglongjmp(env, signal);
}

/* Read at an address: 0 or the signal that comes. */
static int touch(const volatile void *address)
{
	int signal = sigsetjmp(env, 1);

	if (!signal)
		(void)*(const volatile uint64_t *)address;
	return signal;
}

/* How many faults an access takes */
static long faults(const volatile void *address)
{
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	touch(address);
	getrusage(RUSAGE_SELF, &after);
	return after.ru_minflt + after.ru_majflt - before.ru_minflt -
	       before.ru_majflt;
}

/* A region, with what it says can be mapped of it; 0 or -errno. */
static int region_of(unsigned int index, struct region *region)
{
	union {
		struct vfio_region_info info;
		char bytes[256];
	} all = { .info = { .argsz = sizeof(all), .index = index } };
	struct vfio_region_info_cap_sparse_mmap *sparse;

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &all.info))
		return -errno;
	sparse = (void *)(all.bytes + all.info.cap_offset);
	if (!(all.info.flags & VFIO_REGION_INFO_FLAG_CAPS) ||
	    all.info.cap_offset > sizeof(all) - sizeof(*sparse) -
				  sizeof(sparse->areas[0]) ||
	    sparse->header.id != VFIO_REGION_INFO_CAP_SPARSE_MMAP)
		return -EPROTO;
	region->offset = all.info.offset;
	region->size = all.info.size;
	region->length = sparse->areas[0].size;
	return 0;
}

static uint64_t *map(const struct region *region, uint64_t at)
{
	void *mem = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, device,
			 region->offset + at);

	return mem == MAP_FAILED ? NULL : mem;
}

/*
 * What lies beyond the memory reads as ones. A driver that returns less than that copies
 * to user memory with its lock held, which lockdep would tell of as soon as it has seen
 * a fault: the other cases are none for it.
 */
static bool test_read(const struct region *reserved)
{
	uint64_t words[2] = { 0, 0 }, last = PATTERN;
	uint64_t at = reserved->offset + reserved->length - sizeof(last);
	ssize_t written = pwrite(device, &last, sizeof(last), at);
	ssize_t got = pread(device, words, sizeof(words), at);

	return result(written == sizeof(last) && got == sizeof(words) &&
		      words[0] == PATTERN && words[1] == ~0ULL,
		      "read_across_the_end",
		      "%zd bytes written, %zd read: %llx and %llx", written,
		      got, (unsigned long long)words[0],
		      (unsigned long long)words[1]);
}

/* A mapping and the device's file show the same memory */
static void test_mapped(const struct region *region, const char *what)
{
	uint64_t *mem = map(region, 0), word = 0;
	char name[64];
	ssize_t got = -1;

	if (mem && !touch(mem)) {
		*(volatile uint64_t *)mem = PATTERN;
		got = pread(device, &word, sizeof(word), region->offset);
	}
	snprintf(name, sizeof(name), "%s_is_mapped", what);
	result(got == sizeof(word) && word == PATTERN, name,
	       "mapped %d, %zd bytes read: %llx", mem != NULL, got,
	       (unsigned long long)word);
	if (mem)
		munmap(mem, page);
}

/* A copy to or from user memory takes no fault under memory_lock, as lockdep knows. */
static void test_locks(const struct region *usable, const struct region *reserved)
{
	static char buffer[3 * 65536];
	ssize_t got[4];

	got[0] = pwrite(device, buffer, sizeof(buffer), usable->offset);
	got[1] = pread(device, buffer, sizeof(buffer), usable->offset);
	got[2] = pwrite(device, buffer, page, reserved->offset);
	got[3] = pread(device, buffer, page, reserved->offset);
	result(got[0] == sizeof(buffer) && got[1] == sizeof(buffer) &&
	       got[2] == (ssize_t)page && got[3] == (ssize_t)page &&
	       number("/proc/lockdep_stats", " debug_locks:") == 1,
	       "no_fault_under_memory_lock",
	       "%zd, %zd, %zd and %zd bytes, and lockdep is on: %ld", got[0],
	       got[1], got[2], got[3],
	       number("/proc/lockdep_stats", " debug_locks:"));
}

/* From one part of the memory into a mapping of another, which is not there yet */
static void test_own_mapping(const struct region *usable)
{
	uint64_t *from = map(usable, 0), *to = map(usable, 16 * page);
	ssize_t got = -1;

	if (from && to && !touch(from)) {
		*(volatile uint64_t *)from = PATTERN;
		got = pread(device, to, sizeof(*to), usable->offset);
	}
	result(got == sizeof(*to) && !touch(to) &&
	       *(volatile uint64_t *)to == PATTERN, "read_into_own_mapping",
	       "mapped %d and %d, %zd bytes read", from != NULL, to != NULL, got);
	if (from)
		munmap(from, page);
	if (to)
		munmap(to, page);
}

static void test_taken(const struct region *region, const char *what)
{
	uint64_t *mem = map(region, 0);
	int before = -1, off = -1, on = -1, reset = -1;
	long again = -1, taken = -1;
	char name[64];

	if (mem) {
		before = touch(mem);
		again = faults(mem);
		vfio_memory(device, false);
		off = touch(mem);
		vfio_memory(device, true);
		on = touch(mem);
	}
	snprintf(name, sizeof(name), "memory_off_takes_%s", what);
	result(!before && !again && off == SIGBUS && !on, name,
	       "mapped %d, signals: %d before, %d while off, %d after; %ld faults of an entry that is there",
	       mem != NULL, before, off, on, again);

	if (mem) {
		reset = ioctl(device, VFIO_DEVICE_RESET) ? errno : 0;
		taken = faults(mem);
		on = touch(mem);
		munmap(mem, page);
	}
	snprintf(name, sizeof(name), "reset_takes_%s", what);
	result(!reset && taken > 0 && !on, name,
	       "error %d, then %ld faults and signal %d", reset, taken, on);
}

/* A buffer of memory that is in no BAR can be exported, and only the driver may map it. */
static void test_buffer(void)
{
	int buf = vfio_export(device, RESERVED, 0, page);
	void *mem = mmap(NULL, page, PROT_READ, MAP_SHARED, buf, 0);

	result(buf >= 0 && mem == MAP_FAILED, "buffer_is_not_mapped",
	       "buffer %d, mapped %d", buf, mem != MAP_FAILED);
	if (mem != MAP_FAILED)
		munmap(mem, page);
	if (buf >= 0)
		close(buf);
}

/*
 * Nor has such a buffer an attribute for mappings, whichever it would be. It stays a buffer
 * that is not mapped, and the region stays mapped. There is no buffer of the usable memory:
 * the display has no BAR of that number.
 */
static void test_memattr(const struct region *reserved)
{
	int usable = vfio_export(device, USABLE, 0, page);
	int buf = vfio_export(device, RESERVED, 0, page);
	uint64_t *mem = map(reserved, 0), *later;
	int before = mem ? touch(mem) : -1, after = -1, error;
	int nc = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_NC);
	int wc = vfio_memattr(device, buf, VFIO_DMA_BUF_MEMATTR_WC);
	long taken = mem ? faults(mem) : -1;
	void *refused = mmap(NULL, page, PROT_READ, MAP_SHARED, buf, 0);

	error = refused == MAP_FAILED ? errno : 0;
	later = map(reserved, 0);
	if (later)
		after = touch(later);
	result(usable == -ENODEV && buf >= 0 && nc == -EOPNOTSUPP &&
	       wc == -EOPNOTSUPP && error == EOPNOTSUPP && !before && !taken &&
	       !after, "memattr_is_refused",
	       "buffers: %d of usable memory, %d of reserved; NC %d, WC %d, mmap() of the buffer %d; of the region: signal %d before, %ld faults after, signal %d of a new one",
	       usable, buf, nc, wc, error, before, taken, after);
	if (refused != MAP_FAILED)
		munmap(refused, page);
	if (mem)
		munmap(mem, page);
	if (later)
		munmap(later, page);
	if (buf >= 0)
		close(buf);
	if (usable >= 0)
		close(usable);
}

int main(int argc, char **argv)
{
	static const char *const others[] = {
		"usable_is_mapped", "reserved_is_mapped",
		"no_fault_under_memory_lock", "read_into_own_mapping",
		"memory_off_takes_usable", "reset_takes_usable",
		"memory_off_takes_reserved", "reset_takes_reserved",
		"buffer_is_not_mapped", "memattr_is_refused",
	};
	struct sigaction action = { .sa_handler = handler };
	struct region usable, reserved;
	unsigned int i, count = sizeof(others) / sizeof(others[0]);

	if (argc != 2) {
		fprintf(stderr, "usage: vfio_grace BDF\n");
		return EXIT_FAILURE;
	}
	page = getpagesize();
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	device = vfio_open(argv[1]);
	if (device < 0)
		return EXIT_FAILURE;
	if (region_of(USABLE, &usable) || region_of(RESERVED, &reserved)) {
		fprintf(stderr, "%s has no memory of a GPU\n", argv[1]);
		return EXIT_FAILURE;
	}

	plan(1 + count);
	if (test_read(&reserved)) {
		test_mapped(&usable, "usable");
		test_mapped(&reserved, "reserved");
		test_locks(&usable, &reserved);
		test_own_mapping(&usable);
		test_taken(&usable, "usable");
		test_taken(&reserved, "reserved");
		test_buffer();
		test_memattr(&reserved);
	} else {
		for (i = 0; i < count; i++)
			skip(others[i], "the driver reads less than all");
	}
	close(device);
	return ktap_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
