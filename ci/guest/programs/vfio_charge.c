// SPDX-License-Identifier: GPL-2.0-only
/*
 * What many mappings of a BAR and many dma-bufs take of the kernel's memory, and
 * whether the memory cgroup of who makes them is charged for it.
 *
 * usage: vfio_charge BDF CGROUP    prints KTAP; BDF is bound to vfio-pci, CGROUP is
 *        the directory of a cgroup, into which the program moves
 * The kernel's memory is what /proc/meminfo has as Slab and PageTables: all that is
 * allocated is small, or counted there. Up to a part in twenty, and what the rest of
 * the machine does in the meantime, may be missing from the charge, and struct dma_buf,
 * which no exporter is charged for.
 * exit: 0 all pass, 1 not so
 */

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "clock.h"
#include "ktap.h"
#include "number.h"
#include "vfio.h"

#define BAR		0
#define MAPPINGS	4000
#define BUFFERS		5000
/* Buffers of many ranges, which are not adjacent, and what they may take each */
#define LISTS		256
#define RANGES		4096
#define PART		20
#define REST		(512 << 10)
/* struct dma_buf with its dma_resv, in a slab of 512 bytes */
#define DMA_BUF		640

static const char *cgroup;
static size_t page;

/* In bytes */
struct memory {
	long kernel;
	long charged;
};

static struct memory memory(void)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/memory.current", cgroup);
	return (struct memory){
		.kernel = (number("/proc/meminfo", "Slab:") +
			   number("/proc/meminfo", "PageTables:")) * 1024,
		.charged = number(path, ""),
	};
}

static void expect_charged(const char *name, struct memory before,
			   struct memory after, int count, int wanted,
			   long uncharged)
{
	long kernel = after.kernel - before.kernel;
	long charged = after.charged - before.charged;
	long most = kernel / PART + REST + count * uncharged;

	printf("# %s: %d of %d, %ld bytes each, %ld of them charged\n", name,
	       count, wanted, kernel / wanted, charged / wanted);
	result(count == wanted && charged > 0 && charged >= kernel - most, name,
	       "%d of %d made, %ld of %ld bytes charged", count, wanted,
	       charged, kernel);
}

/* What is freed by way of RCU takes a while */
static void expect_returned(const char *name, struct memory before, int wanted)
{
	long left = 0;

	for (int i = 0; i < 100; i++) {
		left = memory().charged - before.charged;
		/* a page of each of several slabs, and what CPUs keep at hand */
		if (left < 2 << 20)
			break;
		sleep_ms(100);
	}
	result(left < 2 << 20, name, "%ld bytes still charged, for %d", left,
	       wanted);
}

static void test_mappings(int device)
{
	static void *vaddrs[MAPPINGS];
	struct vfio_region_info info;
	struct memory before;
	int count;

	vfio_region(device, BAR, &info);
	before = memory();
	for (count = 0; count < MAPPINGS; count++) {
		/* always the same page: such mappings do not merge */
		vaddrs[count] = mmap(NULL, page, PROT_READ, MAP_SHARED, device,
				     info.offset);
		if (vaddrs[count] == MAP_FAILED)
			break;
	}
	expect_charged("bar_mmap", before, memory(), count, MAPPINGS, 0);
	while (count--)
		munmap(vaddrs[count], page);
	expect_returned("bar_mmap_returned", before, MAPPINGS);
}

static void test_buffers(int device)
{
	struct rlimit limit = { BUFFERS + 64, BUFFERS + 64 };
	static int bufs[BUFFERS];
	struct memory before;
	int count;

	setrlimit(RLIMIT_NOFILE, &limit);
	/* the table of descriptors grows before it is measured */
	dup2(0, BUFFERS + 63);
	close(BUFFERS + 63);

	before = memory();
	for (count = 0; count < BUFFERS; count++) {
		bufs[count] = vfio_export(device, BAR, 0, page);
		if (bufs[count] < 0)
			break;
	}
	expect_charged("export", before, memory(), count, BUFFERS, DMA_BUF);
	while (count--)
		close(bufs[count]);
	expect_returned("export_returned", before, BUFFERS);
}

/* A dma-buf of RANGES ranges of a page each: a file descriptor or -errno */
static int export_ranges(int device)
{
	static struct {
		struct vfio_device_feature feature;
		struct vfio_device_feature_dma_buf buf;
		struct vfio_region_dma_range ranges[RANGES];
	} arg;
	int i, buf;

	arg.feature.argsz = sizeof(arg);
	arg.feature.flags = VFIO_DEVICE_FEATURE_GET |
			    VFIO_DEVICE_FEATURE_DMA_BUF;
	arg.buf.region_index = BAR;
	arg.buf.open_flags = O_RDWR | O_CLOEXEC;
	arg.buf.nr_ranges = RANGES;
	for (i = 0; i < RANGES; i++) {
		arg.ranges[i].offset = i % 2 * 2 * page;
		arg.ranges[i].length = page;
	}
	buf = ioctl(device, VFIO_DEVICE_FEATURE, &arg);
	return buf < 0 ? -errno : buf;
}

/* The list of ranges is as long as the user likes, and stays with the buffer */
static void test_ranges(int device)
{
	static int bufs[LISTS];
	struct memory before = memory();
	int count;

	for (count = 0; count < LISTS; count++) {
		bufs[count] = export_ranges(device);
		if (bufs[count] < 0)
			break;
	}
	expect_charged("export_ranges", before, memory(), count, LISTS,
		       DMA_BUF);
	while (count--)
		close(bufs[count]);
	expect_returned("export_ranges_returned", before, LISTS);
}

int main(int argc, char **argv)
{
	char path[256];
	FILE *file;
	int device;

	if (argc != 3) {
		fprintf(stderr, "usage: vfio_charge BDF CGROUP\n");
		return 1;
	}
	cgroup = argv[2];
	page = getpagesize();

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	file = fopen(path, "we");
	if (!file || fprintf(file, "%d", getpid()) < 0 || fclose(file)) {
		fprintf(stderr, "vfio_charge: %s: %s\n", path, strerror(errno));
		return 1;
	}
	device = vfio_open(argv[1]);
	if (device < 0)
		return 1;

	plan(6);
	test_mappings(device);
	test_buffers(device);
	test_ranges(device);
	return ktap_failed != 0;
}
