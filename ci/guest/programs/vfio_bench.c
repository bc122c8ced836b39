// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs to map BARs of vfio-pci and dma-bufs of them, and to revoke these:
 * instructions, faults and memory, on the machine of ci/lanes/bench-vfio.toml.
 *
 * usage: vfio_bench ADDRESS ADDRESS    the two devices of ivshmem; prints the
 *        lines of ci/guest/tests/bench.sh
 * Under -icount a nanosecond is an instruction. A kernel whose dma-bufs cannot
 * be mapped, or not be revoked, is measured for the rest alone.
 * exit: 0, 1 when it could not be set up
 */

#include <glob.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "clock.h"
#include "number.h"
#include "vfio.h"

#define REPETITIONS	5
#define PAGE		4096ul
#define MIB		(1ul << 20)
#define GIB		(1ul << 30)
#define BAR		2	/* ivshmem's memory */
#define FAULTS		4096ul
#define CALLS		2000u
#define READS		20000u
#define MAPPINGS	10000u
#define CGROUPS		"/sys/fs/cgroup"
#define CGROUP		CGROUPS "/vfio_bench"

/* A multiple of 1 GiB, and nothing else is mapped there */
#define PLACE		((char *)0x100000000000ul)

/*
 * Bytes a mapping that may be missing from the charge: the nodes of the tree
 * that has the VMAs are not charged, nor what slabs have in excess of their
 * objects.
 */
#define UNCHARGED	64

/* Bytes that may be missing when all mappings are gone: no object of each */
#define LOST		(16 * PAGE)

/* Mappings that a buffer has when it is revoked, and how often that is measured */
static const struct {
	unsigned int mappings;
	unsigned int calls;
} revocations[] = { { 1, 200 }, { 100, 200 }, { 10000, 2 } };

/* Mappings of another buffer, and the most that they may add to a revocation */
#define OTHERS		10000u
#define BESIDE		1.05

/* How dear a mapping may be among 10,000, compared with one among 100 */
#define EACH		1.5

/* What is mapped: a BAR, in its device's file, or a dma-buf of all of it */
struct source {
	const char *name;
	int fd;
	off_t offset;
	size_t size;
};

/* What there is at one time */
struct memory {
	long used;	/* bytes, of kernel and processes; less a constant */
	long charged;	/* bytes, to the cgroup of this process */
	long files;	/* open ones, of the whole system */
};

static unsigned long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static void measured(const struct source *from, const char *what,
		     unsigned long calls, unsigned long long value,
		     const char *unit)
{
	printf("measured %s_%s %lu %llu %s\n", from->name, what, calls, value,
	       unit);
}

static void allowed(const struct source *from, const char *what,
		    const char *ratio)
{
	printf("allowed %s_%s %s\n", from->name, what, ratio);
}

/* One case; the reason is printed where it fails. Returns whether it passed. */
__attribute__((format(printf, 4, 5)))
static bool check(bool ok, const struct source *from, const char *what,
		  const char *reason, ...)
{
	va_list args;

	printf("%s %s_%s", ok ? "pass" : "fail", from->name, what);
	if (!ok) {
		printf(": ");
		va_start(args, reason);
		vprintf(reason, args);
		va_end(args);
	}
	printf("\n");
	return ok;
}

/* Map the beginning of a source, at that address if there is one. */
static char *map(const struct source *from, char *where, size_t size)
{
	return mmap(where, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | (where ? MAP_FIXED : 0), from->fd,
		    from->offset);
}

/* The faults of touching each page of a new mapping; took: the instructions. */
static long touch(const struct source *from, char *where, size_t size,
		  uint64_t *took)
{
	const volatile char *mapping = map(from, where, size);
	unsigned long count;
	size_t at;

	if (mapping == MAP_FAILED)
		return -1;
	count = faults();
	*took = now_ns();
	for (at = 0; at < size; at += PAGE)
		(void)mapping[at];
	*took = now_ns() - *took;
	count = faults() - count;
	munmap((void *)mapping, size);
	return count;
}

/*
 * A fault a page: where the address and the offset differ modulo 2 MiB, no
 * larger part can be mapped at once.
 */
static void bench_fault(const struct source *from)
{
	const char *what = "fault_4k";
	uint64_t took;
	long count;
	int i;

	/*
	 * the first is for what is made once: this program's pages, page tables
	 */
	touch(from, PLACE + PAGE, FAULTS * PAGE, &took);
	for (i = 0; i < REPETITIONS; i++) {
		count = touch(from, PLACE + PAGE, FAULTS * PAGE, &took);
		if (count != FAULTS)
			break;
		measured(from, what, FAULTS, took, "instructions");
	}
	allowed(from, what, "1.03");
	check(i == REPETITIONS, from, what, "%ld faults for %lu pages", count,
	      FAULTS);
}

/*
 * The faults that all pages of a source take, where each can be as large as it
 * gets
 */
static void bench_faults(const struct source *from, const char *what,
			 long expected)
{
	uint64_t took;
	long count;
	int i;

	for (i = 0; i < REPETITIONS; i++) {
		count = touch(from, PLACE, from->size, &took);
		if (count != expected)
			break;
		measured(from, what, 1, count, "faults");
	}
	check(i == REPETITIONS, from, what, "%ld instead of %ld", count,
	      expected);
}

/* mmap() and munmap() of a page */
static void bench_mmap(const struct source *from)
{
	const char *what = "mmap";
	unsigned int call;
	uint64_t start;
	char *mapping;
	int i;

	for (i = -1; i < REPETITIONS; i++) {
		start = now_ns();
		for (call = 0; call < CALLS; call++) {
			mapping = map(from, NULL, PAGE);
			if (mapping == MAP_FAILED)
				goto out;
			munmap(mapping, PAGE);
		}
		if (i >= 0)
			measured(from, what, CALLS, now_ns() - start,
				 "instructions");
	}
out:
	allowed(from, what, "1.05");
	check(i == REPETITIONS, from, what, "%s", strerror(errno));
}

/* A read() of four bytes, as of a register whose mapping is trapped */
static void bench_read(const struct source *from)
{
	const char *what = "read";
	unsigned int call;
	uint32_t value;
	uint64_t start;
	int i;

	for (i = -1; i < REPETITIONS; i++) {
		start = now_ns();
		for (call = 0; call < READS; call++)
			if (pread(from->fd, &value, sizeof(value),
				  from->offset) != sizeof(value))
				goto out;
		if (i >= 0)
			measured(from, what, READS, now_ns() - start,
				 "instructions");
	}
out:
	/* it counts itself as a user of the mapping, see vfio_pci_lock_unmapped_bar() */
	allowed(from, what, "1.20");
	check(i == REPETITIONS, from, what, "%s", strerror(errno));
}

/* Whether the kernel takes a text that is written to one of its files */
static bool tell(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool told = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return told;
}

/*
 * Pages that nobody has: those of the buddy allocator, and those that
 * processors keep for themselves, which MemFree leaves out.
 */
static long free_pages(void)
{
	FILE *file = fopen("/proc/zoneinfo", "r");
	long sum = 0, pages;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, " pages free %ld", &pages) == 1 ||
		    sscanf(line, " count: %ld", &pages) == 1)
			sum += pages;
	if (file)
		fclose(file);
	return sum;
}

/*
 * By the free pages, and not by the sum of what /proc/meminfo has as Slab,
 * VmallocUsed and so on: that leaves out whoever takes pages without a name,
 * and this process itself takes none from one time to the next. What the kernel
 * keeps for later is had back before, so that it is right to a few pages.
 */
static struct memory memory(void)
{
	struct memory got;
	char text[32];
	glob_t caches;
	size_t i;
	int pass;

	/*
	 * Slabs without objects. What is freed by RCU needs the time, and what
	 * frees it is itself in slabs: hence again.
	 */
	for (pass = 0; pass < 3; pass++) {
		sleep_ms(1000);
		if (glob("/sys/kernel/slab/*/shrink", 0, NULL, &caches))
			continue;
		for (i = 0; i < caches.gl_pathc; i++)
			tell(caches.gl_pathv[i], "1");
		globfree(&caches);
	}
	sleep_ms(1000);

	/* charges in advance: a limit that is a page too low ends them */
	snprintf(text, sizeof(text), "%ld",
		 number(CGROUP "/memory.current", "") - (long)PAGE);
	tell(CGROUP "/memory.high", text);
	tell(CGROUP "/memory.high", "max");
	got.charged = number(CGROUP "/memory.current", "");

	/* adds up what each processor has counted */
	tell("/proc/sys/vm/stat_refresh", "1");
	got.used = -free_pages() * (long)PAGE;
	got.files = number("/proc/sys/fs/file-nr", "");
	return got;
}

/*
 * Many mappings by one process: what they cost and take, that the cgroup is
 * charged for it, that they take no file, and that all comes back. What the
 * first mapping of a BAR makes for all of them is there before.
 */
static void bench_many(const struct source *from)
{
	const char *what = "mmap_10000";
	static char *mappings[MAPPINGS];
	struct memory before, during, after;
	long used, charged, uncharged = 0, left = 0, files = 0, taken = 0;
	uint64_t made, gone;
	unsigned int i = 0;
	int repetition;

	for (repetition = -1; repetition < REPETITIONS; repetition++) {
		before = memory();
		made = now_ns();
		for (i = 0; i < MAPPINGS; i++) {
			mappings[i] = map(from, NULL, PAGE);
			if (mappings[i] == MAP_FAILED)
				goto out;
		}
		made = now_ns() - made;
		during = memory();
		gone = now_ns();
		for (i = 0; i < MAPPINGS; i++)
			munmap(mappings[i], PAGE);
		gone = now_ns() - gone;
		after = memory();
		if (repetition < 0)
			continue;

		used = during.used - before.used;
		charged = during.charged - before.charged;
		measured(from, what, MAPPINGS, made, "instructions");
		measured(from, "munmap_10000", MAPPINGS, gone, "instructions");
		measured(from, "mmap_memory", MAPPINGS, used, "bytes");
		measured(from, "mmap_charged", MAPPINGS, charged, "bytes");
		if (used - charged > uncharged)
			uncharged = used - charged;
		if (after.used - before.used > left)
			left = after.used - before.used;
		if (after.charged - before.charged > left)
			left = after.charged - before.charged;
		if (after.files - before.files > files)
			files = after.files - before.files;
		if (during.files - before.files > taken)
			taken = during.files - before.files;
	}
	allowed(from, what, "1.05");
	allowed(from, "munmap_10000", "1.05");
	/* as much as before; a few pages come and go with the machine */
	allowed(from, "mmap_memory", "1.01");
	allowed(from, "mmap_charged", "1.01");
	check(!taken, from, "mmap_takes_no_file", "%ld files", taken);
	check(uncharged <= UNCHARGED * (long)MAPPINGS, from, "mmap_is_charged",
	      "not %ld bytes", uncharged);
	check(left <= (long)LOST && !files, from, "mmap_comes_back",
	      "not %ld bytes, %ld files", left, files);
out:
	check(repetition == REPETITIONS, from, what, "mapping %u: %s", i,
	      strerror(errno));
}

/*
 * That somebody who is not root, and has the device, gets as many mappings as a
 * process may have.
 */
static void bench_user(const struct source *from)
{
	long most = number("/proc/sys/vm/max_map_count", "");
	struct {
		long count;
		int error;
	} got = {};
	int ends[2];
	pid_t child;

	if (pipe(ends))
		goto out;
	fflush(stdout);
	child = fork();
	if (!child) {
		if (!setgid(65534) && !setuid(65534))
			while (map(from, NULL, PAGE) != MAP_FAILED)
				got.count++;
		got.error = errno;
		_exit(write(ends[1], &got, sizeof(got)) != sizeof(got));
	}
	close(ends[1]);
	if (read(ends[0], &got, sizeof(got)) != sizeof(got))
		got.error = EIO;
	close(ends[0]);
	waitpid(child, NULL, 0);
out:
	/* the program has a few itself */
	check(got.error == ENOMEM && got.count > most - 50, from,
	      "mmap_by_a_user", "%ld of %ld: %s", got.count, most,
	      strerror(got.error));
}

/* Make mappings of a buffer, and touch each; false where that cannot be done */
static bool map_each(int buf, char **mappings, unsigned int count)
{
	const struct source from = { .fd = buf };
	unsigned int i;

	for (i = 0; i < count; i++) {
		mappings[i] = map(&from, NULL, PAGE);
		if (mappings[i] == MAP_FAILED)
			return false;
		(void)*(const volatile char *)mappings[i];
	}
	return true;
}

static void unmap_each(char **mappings, unsigned int count)
{
	while (count--)
		munmap(mappings[count], PAGE);
}

/*
 * Revoke buffers that have as many mappings, each with an entry in a page table.
 * Returns what one takes, the least of all repetitions, or 0 where it did not work.
 */
static uint64_t revoke_with(int device, const char *what, unsigned int count,
			    unsigned int calls)
{
	const struct source from = { .name = "revoke" };
	static char *mappings[OTHERS];
	uint64_t took, start, least = 0;
	unsigned int call;
	int i, buf;

	for (i = -1; i < REPETITIONS; i++) {
		took = 0;
		for (call = 0; call < calls; call++) {
			buf = vfio_export(device, BAR, 0, PAGE);
			if (buf < 0 || !map_each(buf, mappings, count))
				return 0;
			start = now_ns();
			if (vfio_revoke(device, buf))
				return 0;
			took += now_ns() - start;
			unmap_each(mappings, count);
			close(buf);
		}
		if (i < 0)
			continue;
		measured(&from, what, calls, took, "instructions");
		if (!least || took / calls < least)
			least = took / calls;
	}
	allowed(&from, what, "1.05");
	return least;
}

/*
 * What a revocation takes is a matter of the mappings that the buffer has, each as dear
 * as the other, and not of those that another buffer of the device has.
 */
static void bench_revoke(int device)
{
	const struct source from = { .name = "revoke" };
	const size_t kinds = sizeof(revocations) / sizeof(revocations[0]);
	static char *others[OTHERS];
	double few, many;
	uint64_t took[3] = {}, beside = 0;
	unsigned long lost = 0;
	char what[32];
	size_t i;
	int other;

	for (i = 0; i < kinds; i++) {
		snprintf(what, sizeof(what), "mapped_%u",
			 revocations[i].mappings);
		took[i] = revoke_with(device, what, revocations[i].mappings,
				      revocations[i].calls);
	}
	few = (double)(took[1] - took[0]) / 99;
	many = (double)(took[2] - took[0]) / 9999;
	check(took[0] && took[1] > took[0] && took[2] > took[1] &&
	      many <= EACH * few, &from, "takes_what_its_mappings_take",
	      "%llu, %llu and %llu instructions with 1, 100 and 10,000",
	      (unsigned long long)took[0], (unsigned long long)took[1],
	      (unsigned long long)took[2]);

	/* of the same range: nothing but the buffers is apart */
	other = vfio_export(device, BAR, 0, PAGE);
	if (other >= 0 && map_each(other, others, OTHERS)) {
		beside = revoke_with(device, "beside_10000", 1,
				     revocations[0].calls);
		lost = faults();
		for (i = 0; i < OTHERS; i++)
			(void)*(const volatile char *)others[i];
		lost = faults() - lost;
		unmap_each(others, OTHERS);
	}
	close(other);
	check(beside && beside <= BESIDE * took[0] && !lost, &from,
	      "leaves_others_alone",
	      "%llu instructions instead of %llu; %lu faults of others",
	      (unsigned long long)beside, (unsigned long long)took[0], lost);
	printf("compared revoke_beside_10000 revoke_mapped_1\n");
}

/*
 * All that is measured of BARs and of dma-bufs alike; a small and a large
 * source
 */
static void bench(const struct source *from)
{
	bench_fault(&from[0]);
	bench_faults(&from[0], "faults_64m", from[0].size / (2 * MIB));
	bench_faults(&from[1], "faults_4g", from[1].size / GIB);
	bench_mmap(&from[0]);
}

int main(int argc, char **argv)
{
	static const char * const alike[] = {
		"fault_4k", "faults_64m", "faults_4g", "mmap",
	};
	static const size_t sizes[] = { 64 * MIB, 4 * GIB };
	struct source bars[2] = {}, bufs[2] = {};
	struct vfio_region_info info;
	int arg, fd;
	size_t i;

	for (arg = 1; arg < argc; arg++) {
		fd = vfio_open(argv[arg]);
		if (fd < 0)
			return EXIT_FAILURE;
		if (vfio_region(fd, BAR, &info))
			continue;
		for (i = 0; i < 2; i++)
			if (info.size == sizes[i])
				bars[i] = (struct source) {
					"bar", fd, info.offset, info.size
				};
	}
	for (i = 0; i < 2; i++) {
		if (!bars[i].size) {
			fprintf(stderr, "vfio_bench: no BAR of %zu bytes\n",
				sizes[i]);
			return EXIT_FAILURE;
		}
		fd = vfio_export(bars[i].fd, BAR, 0, bars[i].size);
		bufs[i] = (struct source) { "dmabuf", fd, 0, bars[i].size };
	}

	/*
	 * Charged like any process. What reading the memory leaves in the
	 * kernel's caches, names of files, is there before.
	 */
	memory();
	mkdir(CGROUP, 0755);
	if (!tell(CGROUPS "/cgroup.subtree_control", "+memory") ||
	    !tell(CGROUP "/cgroup.procs", "0")) {
		fprintf(stderr, "vfio_bench: " CGROUP ": %s\n",
			strerror(errno));
		return EXIT_FAILURE;
	}
	bench(bars);
	bench_read(&bars[0]);
	if (map(bufs, PLACE, PAGE) != MAP_FAILED) {
		munmap(PLACE, PAGE);
		bench(bufs);
		for (i = 0; i < sizeof(alike) / sizeof(alike[0]); i++)
			printf("compared dmabuf_%s bar_%s\n", alike[i],
			       alike[i]);
	}

	if (vfio_revoke(bars[0].fd, -1) == -EBADF)
		bench_revoke(bars[0].fd);

	bench_many(&bars[0]);
	bench_user(&bars[0]);
	return EXIT_SUCCESS;
}
