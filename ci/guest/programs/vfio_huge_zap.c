// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge page table entries of a BAR that are copied by fork(), or moved by mremap(), while
 * the file's mappings are zapped: /modules/entry_zap.ko has the zap come at the worst
 * moment. What has been zapped must not be mapped then, be it in the child or at the new
 * address.
 *
 * usage: vfio_huge_zap BDF    prints KTAP; BDF is bound to vfio-pci and has a BAR of memory
 *	of 1 GiB or more
 * exit: 0 all pass, 1 not so
 */

#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "ktap.h"
#include "vfio.h"

#define ZAP		"/sys/kernel/debug/entry_zap"

/* More than fork() reads an entry without a lock */
#define MOST_READS	20

static int device;
static uint64_t bar_offset;

/* What a process of its own has seen: its page tables are not used any more. */
struct seen {
	int error;		/* of the module, or 0 */
	unsigned long size;
	unsigned int accesses;
	int zapped;
	int child;		/* errors of "mapped": ENOENT for what is not */
	int mapped;
};

/* Tell the module; 0 or an errno. */
__attribute__((format(printf, 1, 2)))
static int tell(const char *format, ...)
{
	int error = 0, fd = open(ZAP, O_WRONLY | O_CLOEXEC);
	char line[64];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		error = errno;
	if (fd >= 0)
		close(fd);
	return error;
}

/* End what the module does, and note what it has seen */
static void finish(struct seen *seen)
{
	FILE *file;

	seen->error = tell("end");
	file = fopen(ZAP, "re");
	if (!file || fscanf(file, "size %lu accesses %u zapped %d", &seen->size,
			    &seen->accesses, &seen->zapped) != 3)
		seen->error = EPROTO;
	if (file)
		fclose(file);
}

static int mapped(const void *address)
{
	return tell("mapped %lx", (unsigned long)address);
}

/* Room for a mapping of that size, which it is aligned to; or NULL. */
static char *room(size_t size)
{
	char *room = mmap(NULL, 2 * size, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (room == MAP_FAILED)
		return NULL;
	return (char *)(((uintptr_t)room + size - 1) / size * size);
}

/* The BAR, mapped by one entry of that size; or NULL. */
static char *map(size_t size)
{
	char *bar = room(size);

	if (!bar || mmap(bar, size, PROT_READ, MAP_SHARED | MAP_FIXED, device,
			 bar_offset) == MAP_FAILED)
		return NULL;
	(void)*(volatile char *)bar;
	return bar;
}

/* fork() while the entry is zapped after the nth time that it has been read */
static void see_fork(struct seen *seen, size_t size, unsigned int nth)
{
	char *bar = map(size);
	pid_t child;

	seen->error = bar ? tell("read %u %lx", nth, (unsigned long)bar) : ENOMEM;
	if (seen->error)
		return;
	child = fork();
	if (!child) {
		seen->child = mapped(bar);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	finish(seen);
	seen->mapped = mapped(bar);
}

/* mremap(); the zap comes when the entry is neither here nor there */
static void see_mremap(struct seen *seen, size_t size, unsigned int nth)
{
	char *bar = map(size), *to = room(size);
	cpu_set_t cpus;

	(void)nth;
	/* the module's thread is to be on another one */
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);

	seen->error = bar && to ? tell("away %lx", (unsigned long)bar) : ENOMEM;
	if (seen->error)
		return;
	if (mremap(bar, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		seen->child = errno;
	finish(seen);
	seen->mapped = mapped(to);
}

/* Have a process of its own see; its end takes all that it has mapped */
static struct seen see(void (*what)(struct seen *, size_t, unsigned int),
		       size_t size, unsigned int nth)
{
	struct seen *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct seen seen = { .error = ENOMEM };
	int status;
	pid_t pid;

	if (shared == MAP_FAILED)
		return seen;
	*shared = seen;
	pid = fork();
	if (!pid) {
		what(shared, size, nth);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
		shared->error = EPROTO;
	seen = *shared;
	munmap(shared, sizeof(*shared));
	tell("end");
	return seen;
}

static void test_fork(const char *name, size_t size)
{
	struct seen seen = {};
	unsigned int nth = 0;

	do {
		seen = see(see_fork, size, ++nth);
	} while (!seen.error && seen.size == size && seen.zapped &&
		 seen.child == ENOENT && seen.mapped == ENOENT &&
		 nth < MOST_READS);

	/* the last time there was nothing to zap, and the child has got its copy */
	result(nth > 1 && nth < MOST_READS && !seen.error && !seen.zapped &&
	       !seen.child && !seen.mapped, name,
	       "read %u of %u: error %d, the entry maps %lu bytes, zapped %d; the child has it: %s, the parent: %s",
	       nth, seen.accesses, seen.error, seen.size, seen.zapped,
	       strerror(seen.child), strerror(seen.mapped));
}

static void test_mremap(const char *name, size_t size)
{
	struct seen seen = see(see_mremap, size, 0);

	result(!seen.error && seen.size == size && seen.zapped && !seen.child &&
	       seen.mapped == ENOENT, name,
	       "error %d, the entry maps %lu bytes, zapped %d; moved: %s; at the new address: %s",
	       seen.error, seen.size, seen.zapped, strerror(seen.child),
	       strerror(seen.mapped));
}

int main(int argc, char **argv)
{
	static const struct { const char *name; size_t size; } sizes[] = {
		{ "2m", 2ul << 20 }, { "1g", 1ul << 30 },
	};
	struct vfio_region_info info;
	unsigned int bar, i;
	char name[32];

	if (argc != 2) {
		fprintf(stderr, "usage: vfio_huge_zap BDF\n");
		return EXIT_FAILURE;
	}
	device = vfio_open(argv[1]);
	if (device < 0)
		return EXIT_FAILURE;
	for (bar = 0; bar < 6; bar++)
		if (!vfio_region(device, bar, &info) &&
		    info.size >= sizes[1].size &&
		    (info.flags & VFIO_REGION_INFO_FLAG_MMAP))
			break;
	if (bar == 6) {
		fprintf(stderr, "%s has no such BAR\n", argv[1]);
		return EXIT_FAILURE;
	}
	bar_offset = info.offset;

	plan(4);
	for (i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "fork.%s", sizes[i].name);
		test_fork(name, sizes[i].size);
		snprintf(name, sizeof(name), "mremap.%s", sizes[i].name);
		test_mremap(name, sizes[i].size);
	}
	close(device);
	return ktap_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
