// SPDX-License-Identifier: GPL-2.0-only
/*
 * The heaps of coherent pools, as user space and importers see them, on the machine
 * of ci/lanes/arm64-pools.dtsi.
 *
 * usage: heap_coherent buffers [bounce]    prints KTAP: buffers of every pool
 *        heap_coherent capacity            how much of a pool its buffers take
 *        heap_coherent nocpu               a pool that the CPU must not access
 *        heap_coherent stress              many processes, one pool
 *        heap_coherent owners              drivers of the same pools, and their heaps
 *        heap_coherent large               a pool of 5 GiB: ci/lanes/arm64-large-pool.dtsi
 *        heap_coherent untrusted           ... arm64-untrusted.dtsi, for the importer pci
 * bounce: the machine was booted with swiotlb=force, so that every device without
 * an IOMMU has to bounce, which these buffers cannot be.
 * Needs the module dmabuf_importer and CONFIG_DMA_API_DEBUG; owners needs the module
 * coherent_owner.
 * exit: 0 all pass, 1 not so
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail_nth.h"
#include "heap.h"
#include "ktap.h"

#define PAGE		4096ul
#define WORDS		(PAGE / sizeof(uint64_t))
#define MIB		(1024 * 1024ul)
#define SIZE		(37 * PAGE)	/* neither a power of two nor one segment of 64 KiB */
#define SEGMENT		0x8000u		/* of importer-segments and -smmu-segments */
#define UNREACHABLE	EREMOTEIO	/* the error of an import that the device cannot reach */
#define NORMAL_NC	0x44u		/* memory type in PAR_EL1: Normal, non-cacheable */

/* The pools that have a heap; a heap's buffers are in base .. base + size. */
static const struct pool {
	const char *label, *heap;
	uint64_t base, size;
	bool coherent;
} pools[] = {
	{ "nomap", "nomap-pool@50000000", 0x50000000, 0x3000000, true },
	/* below the window of importer-window, and inside the ranges of importer-ranges */
	{ "low", "low-pool@4f000000", 0x4f000000, 0x100000, true },
	{ "odd", "odd-pool@5a000000", 0x5a000000, 0x103000, true },
	/* where the kernel may place it */
	{ "dynamic", "dynamic-pool", 0x60000000, 0x20000000, true },
	{ "offram", "offram-pool@90000000", 0x90000000, 0x800000, true },
	{ "high", "high-pool@100000000", 0x100000000, 0x800000, true },
	/* for comparison: what the importers do with memory of the kernel's */
	{ "cma", "cma-pool@54000000", 0x54000000, 0x4000000, false },
};

static const struct importer {
	const char *name;
	enum { DIRECT, ONLY_32BIT, RANGES, WINDOW, BOUNCES, SMMU } kind;
} importers[] = {
	{ "direct", DIRECT },
	{ "coherent", DIRECT },
	{ "segments", DIRECT },
	{ "32bit", ONLY_32BIT },
	{ "ranges", RANGES },
	{ "window", WINDOW },
	{ "restricted", BOUNCES },
	{ "smmu", SMMU },
	{ "smmu-coherent", SMMU },
	{ "smmu-segments", SMMU },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Whether the device can do DMA to a pool; bounce: no device may do it directly. */
static bool reaches(const struct importer *importer, const struct pool *pool, bool bounce)
{
	uint64_t end = pool->base + pool->size;

	if (!pool->coherent || importer->kind == SMMU)
		return true;
	if (bounce || importer->kind == BOUNCES)
		return false;
	if (importer->kind == ONLY_32BIT)
		return end <= 1ull << 32;
	if (importer->kind == RANGES)
		return pool->base >= 0x40000000 && end <= 0x60000000;
	if (importer->kind == WINDOW)
		return pool->base >= 0x50000000 && end <= 0x60000000;
	return true;
}

static uint64_t *map(int buf, size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static bool all_zero(const uint64_t *mem, size_t size)
{
	uint64_t bits = 0;
	size_t i;

	for (i = 0; i < size / sizeof(*mem); i++)
		bits |= mem[i];
	return !bits;
}

/* Every word of page n gets seed + n. */
static void fill(uint64_t *mem, size_t size, uint64_t seed)
{
	size_t i;

	for (i = 0; i < size / sizeof(*mem); i++)
		mem[i] = seed + i / WORDS;
}

/* Whether every word is as fill() left it, but the first of each page. */
static bool filled(const uint64_t *mem, size_t size, uint64_t seed)
{
	size_t i;

	for (i = 0; i < size / sizeof(*mem); i++)
		if (i % WORDS && mem[i] != seed + i / WORDS)
			return false;
	return true;
}

/* What the CPU makes of an address of ours, as PAR_EL1 has it; 0 for nothing. */
static uint64_t translation(const void *mem)
{
	uint64_t par = 0;
	FILE *file = fopen(IMPORTERS "par_el1", "w");
	bool found = file && fprintf(file, "0x%" PRIxPTR, (uintptr_t)mem) > 0;

	found = file && !fclose(file) && found;
	file = found ? fopen(IMPORTERS "par_el1", "r") : NULL;
	if (file) {
		if (fscanf(file, "%" SCNx64, &par) != 1)
			par = 0;
		fclose(file);
	}
	return par;
}

static uint64_t physical(const void *mem)
{
	return translation(mem) & 0xfffffffff000;
}

static unsigned int memory_type(const void *mem)
{
	return translation(mem) >> 56;
}

/*
 * Whether size bytes are one piece of a pool's memory: every page of a small buffer is
 * looked at, some of a large one.
 */
static bool in_pool(const uint64_t *mem, size_t size, const struct pool *pool)
{
	uint64_t first = physical(mem);
	size_t step = 1 + size / PAGE / 64, i;

	if (first < pool->base || first + size > pool->base + pool->size)
		return false;
	for (i = 0; i < size / PAGE; i += step)
		if (physical(mem + i * WORDS) != first + i * PAGE)
			return false;
	return true;
}

static const char *name(const char *pool, const char *what)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s.%s", pool, what);
	return text;
}

/* --- buffers */

static void import_case(const struct pool *pool, const struct importer *importer, int buf,
			uint64_t *mem, size_t size, bool bounce)
{
	static uint64_t seed = 0x5eed000000000000;
	char words[32], file[64], what[64];
	struct import got;
	size_t i, missing = 0;

	snprintf(what, sizeof(what), "%s_%s", size == SIZE ? "import" : "import_large",
		 importer->name);
	if (!mem) {
		result(false, name(pool->label, what), "no buffer");
		return;
	}

	seed += 0x100000;
	snprintf(file, sizeof(file), "importer-%s", importer->name);
	snprintf(words, sizeof(words), "%" PRIx64, seed);
	sync_buffer(buf, DMA_BUF_SYNC_START);
	fill(mem, size, seed);
	sync_buffer(buf, DMA_BUF_SYNC_END);
	got = import(file, buf, words);

	if (!reaches(importer, pool, bounce)) {
		result(got.error == UNREACHABLE && !got.reports && filled(mem, size, seed),
		       name(pool->label, what),
		       "error %d, not %d; %u entries, %zu bytes, %lu pages wrong, %ld reports of dma-debug",
		       got.error, UNREACHABLE, got.nents, got.bytes, got.wrong, got.reports);
		return;
	}

	/* what the device wrote to the first word of each page */
	for (i = 0; i < size / PAGE; i++)
		missing += mem[i * WORDS] != ~(seed + i);
	result(!got.error && got.bytes == size && !got.wrong && !got.left && !missing &&
	       !got.reports && filled(mem, size, seed) &&
	       (!strstr(importer->name, "segments") || got.longest <= SEGMENT),
	       name(pool->label, what),
	       "error %d; %u entries, %zu bytes, the longest %u; %lu pages wrong, %zu not written, %d left mapped, %ld reports of dma-debug",
	       got.error, got.nents, got.bytes, got.longest, got.wrong, missing, got.left,
	       got.reports);
}

static bool private_refused(int buf)
{
	void *mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, buf, 0);

	return mem == MAP_FAILED && errno == EINVAL;
}

static bool beyond_refused(int buf)
{
	bool refused = mmap(NULL, SIZE + PAGE, PROT_READ, MAP_SHARED, buf, 0) == MAP_FAILED &&
		       errno == EINVAL;

	return refused && mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, buf, SIZE - PAGE) ==
	       MAP_FAILED && errno == EINVAL;
}

/* The second half of a buffer, mapped alone, is that and nothing else. */
static bool offset_mapped(int buf, uint64_t *mem)
{
	uint64_t *half = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, buf, SIZE - PAGE);
	bool same;

	if (half == MAP_FAILED)
		return false;
	same = physical(half) == physical(mem) + SIZE - PAGE && physical(mem);
	munmap(half, PAGE);
	return same;
}

/* Freed with data in it, the memory comes back without. */
static bool zeroed_again(const struct pool *pool)
{
	bool zero = true;
	uint64_t *mem;
	int i, buf;

	for (i = 0; zero && i < 3; i++) {
		buf = allocate(pool->heap, SIZE);
		mem = buf < 0 ? NULL : map(buf, SIZE);
		zero = mem && all_zero(mem, SIZE);
		if (mem) {
			memset(mem, 0xa5, SIZE);
			munmap(mem, SIZE);
		}
		close(buf);
	}
	return zero;
}

/*
 * A device that has the buffer mapped does not disturb another one that maps it: dma-debug
 * has nothing to say, and the data arrives.
 */
static void two_devices(const struct pool *pool, int buf, uint64_t *mem)
{
	const uint64_t seed = 0x2de50000000000;
	struct import got = {};
	char words[32];
	int error;

	if (mem)
		fill(mem, SIZE, seed);
	snprintf(words, sizeof(words), "%" PRIx64, seed);
	error = tell_importer("importer-smmu", "hold %d", buf);
	if (!error)
		got = import("importer-smmu-coherent", buf, words);
	tell_importer("importer-smmu", "release", 0);
	result(mem && !error && !got.error && !got.wrong && !got.reports &&
	       filled(mem, SIZE, seed), name(pool->label, "two_devices_at_once"),
	       "errors %d and %d, %lu pages wrong, %ld reports of dma-debug", error, got.error,
	       got.wrong, got.reports);
}

/* DMA_BUF_IOCTL_SYNC in all directions, while a device has the buffer mapped and while not. */
static bool synced(int buf)
{
	static const unsigned long directions[] = {
		DMA_BUF_SYNC_READ, DMA_BUF_SYNC_WRITE, DMA_BUF_SYNC_RW,
	};
	bool ok = true;
	size_t i;
	int held;

	for (held = 0; held <= 1; held++) {
		if (held)
			ok &= !tell_importer("importer-smmu", "hold %d", buf);
		for (i = 0; i < COUNT(directions); i++) {
			struct dma_buf_sync begin = { DMA_BUF_SYNC_START | directions[i] };
			struct dma_buf_sync end = { DMA_BUF_SYNC_END | directions[i] };

			ok &= !ioctl(buf, DMA_BUF_IOCTL_SYNC, &begin);
			ok &= !ioctl(buf, DMA_BUF_IOCTL_SYNC, &end);
		}
		if (held)
			tell_importer("importer-smmu", "release", 0);
	}
	return ok;
}

/*
 * Accesses that fault in memory of a device, but not in memory that is merely uncached:
 * of every alignment, and the instruction that zeroes a block.
 */
static bool any_access(uint64_t *mem)
{
	unsigned char *bytes = (unsigned char *)mem, copy[64];
	unsigned int shift, i;
	bool ok = true;

	for (i = 0; i < 256; i++)
		bytes[i] = i;
	for (shift = 0; shift < 16; shift++) {
		memcpy(copy, bytes + shift, sizeof(copy));
		for (i = 0; i < sizeof(copy); i++)
			ok &= copy[i] == (unsigned char)(shift + i);
		memcpy(bytes + 512 + shift, copy, sizeof(copy));
		ok &= !memcmp(bytes + 512 + shift, copy, sizeof(copy));
	}
#ifdef __aarch64__
	memset(bytes, 0xa5, PAGE);
	for (i = 0; i < PAGE; i += 64)
		asm volatile("dc zva, %0" : : "r" (bytes + i) : "memory");
	ok &= all_zero(mem, PAGE);
#endif
	return ok;
}

static bool is_importer_of(const struct pool *pool, const struct importer *importer,
			   bool bounce)
{
	/* the CMA heap does not look at the importer's segments, and dma-debug says so */
	if (!pool->coherent && strstr(importer->name, "segments"))
		return false;
	/* nor need the bounce buffers be in what a device behind a window sees */
	return pool->coherent || !bounce || importer->kind != WINDOW;
}

static void pool_buffers(const struct pool *pool, bool bounce)
{
	const char *p = pool->label;
	uint64_t *mem = NULL;
	size_t i;
	int buf;

	buf = allocate(pool->heap, SIZE);
	if (result(buf >= 0, name(p, "allocate"), "%s", strerror(errno)))
		mem = map(buf, SIZE);
	result(mem, name(p, "map"), "%s", strerror(errno));
	result(mem && all_zero(mem, SIZE), name(p, "zeroed"), "it has data in it");
	result(mem && in_pool(mem, SIZE, pool), name(p, "in_pool"), "it begins at %" PRIx64,
	       mem ? physical(mem) : 0);
	if (pool->coherent) {
		unsigned int type = mem ? memory_type(mem) : 0;

		result(type == NORMAL_NC, name(p, "mapped_uncached"), "memory type %x, not %x",
		       type, NORMAL_NC);
		result(mem && private_refused(buf), name(p, "map_private_refused"), "%s",
		       mem ? strerror(errno) : "no buffer");
		result(mem && beyond_refused(buf), name(p, "map_beyond_end_refused"), "%s",
		       mem ? strerror(errno) : "no buffer");
		result(mem && offset_mapped(buf, mem), name(p, "map_offset"), "another page");
		result(mem && synced(buf), name(p, "sync"), "%s", strerror(errno));
		result(mem && any_access(mem), name(p, "any_access"), "other data");
		two_devices(pool, buf, mem);
	}
	for (i = 0; i < COUNT(importers); i++)
		if (is_importer_of(pool, &importers[i], bounce))
			import_case(pool, &importers[i], buf, mem, SIZE, bounce);
	if (mem)
		munmap(mem, SIZE);
	close(buf);
	result(zeroed_again(pool), name(p, "zeroed_when_reused"), "no memory, or data in it");
}

/* A buffer larger than any segment, with every page looked at. */
static void large_buffer(bool bounce)
{
	const size_t size = 33 * MIB;
	uint64_t *mem = NULL;
	size_t i;
	int buf;

	buf = allocate(pools[0].heap, size);
	if (buf >= 0)
		mem = map(buf, size);
	for (i = 0; i < COUNT(importers); i++)
		import_case(&pools[0], &importers[i], buf, mem, size, bounce);
	if (mem)
		munmap(mem, size);
	close(buf);
}

/*
 * Imports that fail leave nothing behind: this importer can be given addresses for one
 * such buffer at a time, as its IOVA space is 32 MiB and address 0 is none of them.
 */
static void import_after_failures(void)
{
	static const char window[] = "importer-smmu-window";
	const char *what = name(pools[0].label, "import_after_failures");
	int buf = allocate(pools[0].heap, 16 * MIB);
	struct import before = import(window, buf, NULL), after;
	struct fail_nth state;
	int failed = 0, error;
	char text[16];
	bool more;

	snprintf(text, sizeof(text), "%d", buf);
	more = fail_nth_begin(&state, IMPORTERS "importer-smmu-window");
	while (more) {
		more = fail_nth_write(&state, text, &error);
		failed += error != 0;
	}
	fail_nth_end(&state);
	after = import(window, buf, NULL);
	/* of the attachment, the mapping, the table: some can be done without */
	result(buf >= 0 && !before.error && failed >= 3 && !after.error &&
	       after.bytes == 16 * MIB && !after.left,
	       what, "buffer %d, error %d before, %d failures, error %d after them, %zu bytes",
	       buf, before.error, failed, after.error, after.bytes);
	close(buf);
}

static void buffers(bool bounce)
{
	int cases = COUNT(importers) + 1;	/* the large buffer, and after failures */
	size_t i, k;

	for (i = 0; i < COUNT(pools); i++) {
		cases += pools[i].coherent ? 12 : 5;
		for (k = 0; k < COUNT(importers); k++)
			cases += is_importer_of(&pools[i], &importers[k], bounce);
	}
	plan(cases);
	for (i = 0; i < COUNT(pools); i++)
		pool_buffers(&pools[i], bounce);
	large_buffer(bounce);
	import_after_failures();
}

/* --- capacity */

/* Buffers of a size until there is no more; 0 when another error ends that. */
static int how_many(const char *heap, size_t size, int most)
{
	int *buf = calloc(most, sizeof(*buf));
	int fd = open_heap(heap);
	int count = 0, i;

	while (buf && count < most) {
		buf[count] = allocate_from(fd, size);
		if (buf[count] < 0)
			break;
		count++;
	}
	if (count == most || errno != ENOMEM)
		fprintf(stderr, "%s: %d buffers, then: %s\n", heap, count, strerror(errno));
	i = count == most || errno != ENOMEM ? 0 : count;
	while (count)
		close(buf[--count]);
	close(fd);
	free(buf);
	return i;
}

static void capacity(void)
{
	const char *heap = "nomap-pool@50000000";
	int a, b, c, count;

	plan(9);
	count = how_many("odd-pool@5a000000", PAGE, 4000);
	result(count == 259, "every_page_of_odd", "%d buffers", count);
	count = how_many("odd-pool@5a000000", PAGE, 4000);
	result(count == 259, "every_page_of_odd_again", "%d buffers", count);
	count = how_many("odd-pool@5a000000", 15 * PAGE, 4000);
	result(count == 17, "seventeen_times_15_pages", "%d buffers", count);
	/* each begins at a multiple of 64 KiB */
	count = how_many("odd-pool@5a000000", 37 * PAGE, 4000);
	result(count == 5, "five_times_37_pages", "%d buffers", count);
	count = how_many("offram-pool@90000000", PAGE, 4000);
	result(count == 2048, "every_page_of_offram", "%d buffers", count);

	a = allocate(heap, 33 * MIB);
	result(a >= 0, "33_of_48_mib", "%s", strerror(errno));
	b = allocate(heap, 15 * MIB);
	result(a >= 0 && b >= 0, "15_mib_are_left", "%s", strerror(errno));
	c = allocate(heap, PAGE);
	result(a >= 0 && b >= 0 && c < 0 && errno == ENOMEM, "and_not_a_page_more", "%s",
	       c < 0 ? strerror(errno) : "there was one");
	close(a);
	close(b);
	close(c);
	a = allocate(heap, 48 * MIB);
	b = allocate(heap, 48 * MIB + PAGE);
	result(a >= 0 && b < 0 && errno == ENOMEM, "whole_pool", "%s",
	       a < 0 ? "not after all was freed" : strerror(errno));
	close(a);
	close(b);
}

/* --- nocpu */

/* Whether the kernel has mapped the memory at a physical address. */
static bool kernel_maps(uint64_t base)
{
	char line[256], phys[32];
	bool found = false;
	FILE *file = fopen("/proc/vmallocinfo", "r");

	snprintf(phys, sizeof(phys), "phys=0x%016" PRIx64, base);
	while (file && !found && fgets(line, sizeof(line), file))
		found = strstr(line, phys);
	if (file)
		fclose(file);
	return found;
}

/* A buffer that only devices can use; head: what they find in it, or 0 for anything. */
static void nocpu_buffer(const struct pool *pool, unsigned long long head)
{
	struct import got;
	void *mem;
	size_t i;
	int buf;

	buf = allocate(pool->heap, SIZE);
	result(buf >= 0, name(pool->label, "allocate"), "%s", strerror(errno));
	mem = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, buf, 0);
	result(buf >= 0 && mem == MAP_FAILED && errno == EINVAL, name(pool->label, "map_refused"),
	       "%s", mem == MAP_FAILED ? strerror(errno) : "mapped");
	for (i = 0; i < COUNT(importers); i++) {
		char file[64], what[64];

		snprintf(file, sizeof(file), "importer-%s", importers[i].name);
		snprintf(what, sizeof(what), "import_%s", importers[i].name);
		got = import(file, buf, NULL);
		if (reaches(&importers[i], pool, false))
			result(!got.error && got.bytes == SIZE && (!head || got.head == head) &&
			       !got.left && !got.reports, name(pool->label, what),
			       "error %d, %zu bytes, found %llx at %llx", got.error, got.bytes,
			       got.head, got.first);
		else
			result(got.error == UNREACHABLE, name(pool->label, what), "error %d",
			       got.error);
	}
	close(buf);
	/* that of another pool shows that it would be seen */
	result(!kernel_maps(pool->base) && kernel_maps(pools[0].base),
	       name(pool->label, "not_mapped_by_the_kernel"), "it is");
}

static void nocpu(void)
{
	static const struct pool pool = {
		"firewalled", "firewalled-pool@59800000", 0x59800000, 0x200000, true,
	};

	plan(3 + COUNT(importers));
	nocpu_buffer(&pool, 0);
}

/* --- large */

#define GIB		(1024 * MIB)

/* More than a scatterlist entry can describe, and than 32 bits can count. */
static void large(void)
{
	static const char *const by[] = { "direct", "smmu" };
	const char *heap = "large-pool@180000000";
	const size_t size = 4 * GIB + PAGE;
	struct import got;
	int buf, rest;
	size_t i;

	plan(4 + COUNT(by));
	buf = allocate(heap, size);
	result(buf >= 0, "allocate", "%s", strerror(errno));
	for (i = 0; i < COUNT(by); i++) {
		char file[64];

		snprintf(file, sizeof(file), "importer-%s", by[i]);
		got = import(file, buf, NULL);
		result(!got.error && got.bytes == size && got.nents == 2 &&
		       got.longest == (0xffffffff & ~(PAGE - 1)) && !got.left && !got.reports,
		       by[i], "error %d; %u entries, %zu bytes, the longest %u, %d left mapped",
		       got.error, got.nents, got.bytes, got.longest, got.left);
	}
	result(!sync_buffer(buf, DMA_BUF_SYNC_START) && !sync_buffer(buf, DMA_BUF_SYNC_END),
	       "sync", "%s", strerror(errno));
	/* what follows begins at the next multiple of 1 MiB */
	rest = allocate(heap, GIB - MIB + PAGE);
	result(rest < 0 && errno == ENOMEM, "no_more_than_the_rest", "%s",
	       rest < 0 ? strerror(errno) : "there was more");
	close(rest);
	rest = allocate(heap, GIB - MIB);
	result(rest >= 0, "the_rest", "%s", strerror(errno));
	close(rest);
	close(buf);
}

/* --- untrusted */

static long swiotlb_used(void)
{
	FILE *file = fopen("/sys/kernel/debug/swiotlb/io_tlb_used", "r");
	long used = -1;

	if (file) {
		if (fscanf(file, "%ld", &used) != 1)
			used = -1;
		fclose(file);
	}
	return used;
}

/* What a device that is not trusted imports is not bounced, page by page as it is. */
static void untrusted(void)
{
	static const char *const heaps[] = { "nomap-pool@50000000", "offram-pool@90000000" };
	size_t i;

	plan(COUNT(heaps));
	for (i = 0; i < COUNT(heaps); i++) {
		const uint64_t seed = 0x7e57000000000000 + i;
		long before = swiotlb_used();
		struct import got = { .error = EBADF };
		uint64_t *mem = NULL;
		char words[32];
		int buf = allocate(heaps[i], SIZE);

		if (buf >= 0)
			mem = map(buf, SIZE);
		if (mem) {
			fill(mem, SIZE, seed);
			snprintf(words, sizeof(words), "%" PRIx64, seed);
			got = import("pci", buf, words);
		}
		result(mem && !got.error && got.bytes == SIZE && !got.wrong && !got.left &&
		       !got.reports && filled(mem, SIZE, seed) && swiotlb_used() == before,
		       heaps[i], "error %d, %zu bytes, %lu pages wrong, %ld slots of the swiotlb, not %ld",
		       got.error, got.bytes, got.wrong, swiotlb_used(), before);
		if (mem)
			munmap(mem, SIZE);
		close(buf);
	}
}

/* --- stress */

#define PROCESSES	8
#define ROUNDS		1250
#define MOST_PAGES	4u

/* Allocate, look, fill, look again, free: 0, or what went wrong. */
static int rounds(const char *name, unsigned int id)
{
	unsigned int state = id * 2654435761u + 1, i;
	int heap = open_heap(name);

	for (i = 0; i < ROUNDS; i++) {
		uint64_t seed = ((uint64_t)id << 56) + ((uint64_t)i << 16), *mem;
		size_t size;
		int buf;

		state = state * 1664525 + 1013904223;
		size = (1 + (state >> 16) % MOST_PAGES) * PAGE;
		buf = allocate_from(heap, size);
		if (buf < 0)
			return 1;
		mem = map(buf, size);
		if (!mem)
			return 2;
		if (!all_zero(mem, size))
			return 3;
		fill(mem, size, seed);
		if (state & 0x100)
			sched_yield();	/* let others in */
		if (mem[0] != seed || !filled(mem, size, seed))
			return 4;
		munmap(mem, size);
		close(buf);
	}
	return 0;
}

static void stress(void)
{
	static const char *const what[] = {
		"allocated", "mapped", "zeroed", "nobody_elses",
	};
	int wrong[COUNT(what)] = {}, died = 0, status, count;
	const char *heap = "odd-pool@5a000000";
	unsigned int i;

	plan(COUNT(what) + 2);
	for (i = 1; i <= PROCESSES; i++)
		if (!fork())
			_exit(rounds(heap, i));
	while (wait(&status) > 0) {
		if (!WIFEXITED(status) || WEXITSTATUS(status) > (int)COUNT(what))
			died++;
		else if (WEXITSTATUS(status))
			wrong[WEXITSTATUS(status) - 1]++;
	}
	/* a process stops at its first fault: what comes after was not seen then */
	for (i = 0; i < COUNT(what); i++)
		result(!wrong[i] && (!i || !wrong[0]), what[i], "not so in %d of %d processes",
		       wrong[i] ?: wrong[0], PROCESSES);
	result(!died && !wrong[0], "every_process_ends", "%d did not", died);
	count = how_many(heap, PAGE, 4000);
	result(count == 259, "every_page_is_free", "%d are", count);
}

/* --- owners */

#define OWNERS	"/sys/kernel/debug/coherent_owner/owner-"
#define PATTERN	0x0b5e55ed0b5e55ed	/* what the owner leaves in its memory */

/* Have the driver of a device do something: 0 or a negative errno. */
__attribute__((format(printf, 2, 3)))
static int tell(const char *owner, const char *format, ...)
{
	char path[128];
	va_list args;
	int fd, ret;

	snprintf(path, sizeof(path), OWNERS "%s", owner);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	va_start(args, format);
	ret = vdprintf(fd, format, args) < 0 ? -errno : 0;
	va_end(args);
	close(fd);
	return ret;
}

struct owned {
	int assigned;
	size_t kept;
	uint64_t phys, dma;
	unsigned long wrong;
};

static struct owned ask(const char *owner)
{
	struct owned got = { .assigned = -ENOENT };
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), OWNERS "%s", owner);
	file = fopen(path, "r");
	if (file) {
		if (fscanf(file, "assigned %d kept %zu phys %" SCNx64 " dma %" SCNx64 " wrong %lu",
			   &got.assigned, &got.kept, &got.phys, &got.dma, &got.wrong) != 5)
			got.assigned = -EPROTO;
		fclose(file);
	}
	return got;
}

static bool is_heap(const char *heap)
{
	char path[128];

	snprintf(path, sizeof(path), HEAPS "%s", heap);
	return !access(path, F_OK);
}

static void answers(const char *name, int ret, int error)
{
	result(ret == error, name, "%s, not %s", strerror(-ret), strerror(-error));
}

/* The pool that both a heap and drivers take from. */
static void shared_pool(void)
{
	const struct pool *pool = &pools[0];
	struct owned first, second;
	uint64_t *mem = NULL;
	int buf, page, more;

	page = allocate(pool->heap, PAGE);
	first = ask("nomap");
	result(page >= 0 && !first.assigned && !tell("nomap", "alloc %lu", 3 * PAGE),
	       "driver_allocates", "assigned: %s", strerror(-first.assigned));
	first = ask("nomap");
	result(page >= 0 && first.kept && first.phys == first.dma && !(first.phys % (4 * PAGE)) &&
	       first.phys >= pool->base && first.phys < pool->base + pool->size,
	       "drivers_memory_is_aligned", "at %" PRIx64 ", handle %" PRIx64, first.phys, first.dma);

	tell("nomap-coherent", "alloc %lu", 4 * MIB);
	second = ask("nomap-coherent");
	result(page >= 0 && second.kept == 4 * MIB && second.phys >= pool->base &&
	       second.phys + 4 * MIB <= pool->base + pool->size &&
	       (second.phys >= first.phys + 4 * PAGE || second.phys + 4 * MIB <= first.phys),
	       "second_device_has_other_memory", "at %" PRIx64, second.phys);

	buf = allocate(pool->heap, 36 * MIB);
	if (buf >= 0)
		mem = map(buf, 36 * MIB);
	if (mem)
		memset(mem, 0x5a, 36 * MIB);
	first = ask("nomap");
	second = ask("nomap-coherent");
	result(mem && in_pool(mem, 36 * MIB, pool) && first.kept && !first.wrong && second.kept &&
	       !second.wrong, "buffers_are_in_nobodys_memory", "%lu and %lu words overwritten",
	       first.wrong, second.wrong);

	/* whoever takes what is left, the other has to do without */
	more = tell("nomap", "alloc %lu", 16 * MIB);
	result(mem && more == -ENOMEM, "driver_gets_nothing_from_elsewhere", "%s", strerror(-more));
	if (mem)
		munmap(mem, 36 * MIB);
	close(buf);
	result(mem && !tell("nomap", "alloc %lu", 16 * MIB), "freed_buffer_is_the_drivers",
	       "no memory");
	buf = allocate(pool->heap, 33 * MIB);
	result(buf < 0 && errno == ENOMEM, "drivers_memory_is_no_heaps", "%s",
	       buf < 0 ? strerror(errno) : "there was some");
	close(buf);
	close(page);
	tell("nomap", "free");
	tell("nomap-coherent", "free");
	buf = allocate(pool->heap, 48 * MIB);
	result(first.kept && buf >= 0, "drivers_free_for_the_heap", "%s", strerror(errno));
	mem = buf >= 0 ? map(buf, 48 * MIB) : NULL;
	result(mem && all_zero(mem, 48 * MIB), "drivers_leave_nothing_in_it", "not all of it is zero");
	if (mem)
		munmap(mem, 48 * MIB);
	close(buf);
}

/* A heap that a driver makes of its pool. */
static void drivers_heap(void)
{
	static const struct pool pool = { "spare", "spare-pool@59000000", 0x59000000, 0x400000, true };
	uint64_t *mem = NULL;
	bool before = is_heap(pool.heap);
	int ret, buf, bus;
	size_t i;

	answers("unknown_flags", tell("spare", "heap 2"), -EINVAL);
	answers("no_memory", tell("none", "heap 1"), -ENODEV);
	answers("reusable_memory", tell("cma", "heap 1"), -ENODEV);
	answers("memory_without_no_map", tell("map", "heap 1"), -EINVAL);
	answers("heap_of_the_administrator", tell("nomap", "heap 1"), 0);
	answers("no_access_to_the_administrators", tell("nomap", "heap 0"), -EBUSY);
	answers("no_access_once_a_device_is_assigned", tell("spare", "heap 0"), -EBUSY);
	ret = tell("spare", "heap 1");
	result(!before && !ret && is_heap(pool.heap), "made", "%s", strerror(-ret));
	answers("made_again", tell("spare", "heap 1"), 0);
	answers("made_again_without_access", tell("spare", "heap 0"), -EBUSY);

	buf = allocate(pool.heap, SIZE);
	if (buf >= 0)
		mem = map(buf, SIZE);
	result(mem && all_zero(mem, SIZE) && in_pool(mem, SIZE, &pool), "buffer_in_pool", "%s",
	       strerror(errno));
	for (i = 0; i < COUNT(importers); i++)
		import_case(&pool, &importers[i], buf, mem, SIZE, false);

	/* the heap outlives the driver */
	bus = open("/sys/bus/platform/drivers/coherent_owner/unbind", O_WRONLY | O_CLOEXEC);
	ret = bus >= 0 && dprintf(bus, "testbus:owner-spare") > 0;
	close(bus);
	if (mem) {
		fill(mem, SIZE, 1);
		munmap(mem, SIZE);
	}
	close(buf);
	buf = allocate(pool.heap, pool.size);
	result(ret && buf >= 0, "outlives_the_driver", "%s", strerror(errno));
	close(buf);
}

/* A heap of memory that the CPU must not touch, which its driver makes. */
static void cpuless_heap(void)
{
	static const struct pool pool = { "cpuless", "cpuless-pool@59400000", 0x59400000, 0x400000, true };
	struct import got;
	int ret, buf;

	/* something in every page that a heap must leave alone */
	ret = tell("cpuless", "fill");
	result(!ret && !tell("cpuless", "heap 0") && is_heap(pool.heap), "cpuless_made", "%s",
	       strerror(-ret));
	answers("cpuless_made_again_with_access", tell("cpuless", "heap 1"), -EBUSY);
	answers("cpuless_made_again", tell("cpuless", "heap 0"), 0);
	answers("cpuless_has_no_device", tell("cpuless", "assign"), -EACCES);
	nocpu_buffer(&pool, PATTERN);
	buf = allocate(pool.heap, SIZE);
	got = import("importer-direct", buf, NULL);
	result(!got.error && got.head == PATTERN, "cpuless_not_touched", "error %d, found %llx",
	       got.error, got.head);
	close(buf);
}

/* sysfs leads from a heap to the memory and to its owner. */
static void sysfs(void)
{
	char path[PATH_MAX], *end;

	end = realpath("/sys/class/dma_heap/spare-pool@59000000/of_node", path);
	result(end && strstr(end, "/reserved-memory/spare-pool@59000000"), "node_of_the_region", "%s",
	       end ?: strerror(errno));
	end = realpath("/sys/class/dma_heap/spare-pool@59000000/device", path);
	result(end && strstr(end, "owner-spare"), "device_of_the_owner", "%s", end ?: strerror(errno));
}

static void owners(void)
{
	plan(9 + 12 + 2 + 5 + 3 + 2 * COUNT(importers));
	shared_pool();
	drivers_heap();
	sysfs();
	cpuless_heap();
}

int main(int argc, char **argv)
{
	struct rlimit files = { 4096, 4096 };

	setrlimit(RLIMIT_NOFILE, &files);
	if (argc >= 2 && !strcmp(argv[1], "buffers")) {
		buffers(argc == 3 && !strcmp(argv[2], "bounce"));
	} else if (argc == 2 && !strcmp(argv[1], "capacity")) {
		capacity();
	} else if (argc == 2 && !strcmp(argv[1], "nocpu")) {
		nocpu();
	} else if (argc == 2 && !strcmp(argv[1], "large")) {
		large();
	} else if (argc == 2 && !strcmp(argv[1], "untrusted")) {
		untrusted();
	} else if (argc == 2 && !strcmp(argv[1], "stress")) {
		stress();
	} else if (argc == 2 && !strcmp(argv[1], "owners")) {
		owners();
	} else {
		fprintf(stderr, "usage: %s buffers [bounce] | capacity | nocpu | stress | owners | large | untrusted\n",
			argv[0]);
		return EXIT_FAILURE;
	}
	return ktap_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
