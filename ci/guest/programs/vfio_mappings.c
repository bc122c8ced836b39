// SPDX-License-Identifier: GPL-2.0-only
/*
 * How BARs are mapped, and what becomes of the mappings of two devices that are reset
 * together: by /modules/mapping_probe.ko, which looks at the page tables.
 *
 * usage: vfio_mappings BDF SECOND OTHER    prints KTAP; all are bound to vfio-pci. BDF
 *	and SECOND are alone on one bus and in one group, OTHER is in another.
 * exit: 0 all pass, 1 not so
 */

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "group.h"
#include "ktap.h"
#include "probe.h"
#include "vfio.h"

#define BAR		0

static const char *bdfs[2], *other;
static size_t page;

static unsigned int touch(const volatile void *address)
{
	return *(const volatile unsigned int *)address;
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

static void *map_bar(int device)
{
	struct vfio_region_info info;

	if (vfio_region(device, BAR, &info))
		return MAP_FAILED;
	return mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, device,
		    info.offset);
}

/* --- attributes */

static void test_attributes(void *vaddr, const char *what)
{
	int cache = -1, encrypted = -1, any = -1;
	char name[64];

	if (vaddr != MAP_FAILED) {
		touch(vaddr);
		sscanf(probe("cpu %lx", (unsigned long)vaddr),
		       "cpu cache %d encrypted %d any_uncached %d", &cache,
		       &encrypted, &any);
		munmap(vaddr, page);
	}
	snprintf(name, sizeof(name), "%s_is_not_cached", what);
	result(!cache, name, "mapped %d, cache %d", vaddr != MAP_FAILED, cache);
	snprintf(name, sizeof(name), "%s_is_not_encrypted", what);
	result(!encrypted, name, "mapped %d, encrypted %d",
	       vaddr != MAP_FAILED, encrypted);
	snprintf(name, sizeof(name), "%s_may_be_write_combined_by_guests", what);
	result(any == 1, name, "mapped %d, VM_ALLOW_ANY_UNCACHED %d",
	       vaddr != MAP_FAILED, any);
}

/* --- two devices */

struct user {
	int device;
	int buf;
	void *bar;
	uint64_t iova;
};

static int user_open(struct user *user, const char *bdf, int iommufd,
		     uint32_t *pt, uint64_t iova)
{
	user->device = vfio_open_in(bdf, iommufd, pt);
	if (user->device < 0)
		return -1;
	user->iova = iova;
	user->bar = map_bar(user->device);
	user->buf = vfio_export(user->device, BAR, 0, page);
	if (user->bar == MAP_FAILED || user->buf < 0 ||
	    vfio_import(iommufd, *pt, user->buf, iova, page))
		return -1;
	touch(user->bar);
	return 0;
}

static void user_close(struct user *user)
{
	munmap(user->bar, page);
	close(user->buf);
	close(user->device);
}

static int hot_reset(int device, int group)
{
	struct {
		struct vfio_pci_hot_reset reset;
		int32_t group;
	} arg = {
		.reset = { .argsz = sizeof(arg), .count = group >= 0 },
		.group = group,
	};

	return ioctl(device, VFIO_DEVICE_PCI_HOT_RESET, &arg) ? -errno : 0;
}

static void test_hot_reset(int iommufd)
{
	struct user users[2];
	uint32_t pt = 0;
	bool open = true;
	int ret = -1, i;

	for (i = 0; i < 2; i++)
		open = open && !user_open(&users[i], bdfs[i], iommufd, &pt,
					  0x10000000ULL + i * 0x100000);
	if (open)
		ret = hot_reset(users[0].device, -1);
	result(!ret, "hot_reset", "open %d, reset %d", open, ret);
	for (i = 0; i < 2; i++) {
		int before = -1, after = -1;
		long taken = -1;
		char name[64];

		if (open) {
			taken = faults(users[i].bar);
			before = probe_dma(bdfs[i], users[i].iova);
			vfio_unimport(iommufd, pt, users[i].iova, page);
			after = vfio_import(iommufd, pt, users[i].buf,
					    users[i].iova, page);
		}
		snprintf(name, sizeof(name), "hot_reset_stops_cpu.%d", i);
		result(!ret && taken > 0, name, "reset %d, %ld faults after it",
		       ret, taken);
		snprintf(name, sizeof(name), "hot_reset_stops_import.%d", i);
		result(!ret && !before, name,
		       "reset %d, the IOVA is translated %d", ret, before);
		snprintf(name, sizeof(name), "hot_reset_gives_back.%d", i);
		result(!ret && !after && probe_dma(bdfs[i], users[i].iova) == 1,
		       name, "reset %d, a new import %d", ret, after);
	}

	/* the first is closed; the second, in the same address space, is not */
	i = -1;
	if (open) {
		munmap(users[0].bar, page);
		close(users[0].device);
		i = probe_dma(bdfs[1], users[0].iova);
	}
	result(!i && probe_dma(bdfs[1], users[1].iova) == 1,
	       "close_stops_import", "open %d, the IOVA is translated %d", open,
	       i);
	if (open) {
		close(users[0].buf);
		user_close(&users[1]);
	}
}

/* --- who may not reset */

static int group_device(int container, int group, const char *bdf)
{
	static bool set;
	int fd;

	if (!set && (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
		     ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)))
		return -1;
	set = true;
	fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	return fd;
}

static void test_refused(void)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	int group = group_open(bdfs[0]), foreign = group_open(other);
	int devices[2], refused = -1, allowed = -1, i;
	void *bars[2] = { MAP_FAILED, MAP_FAILED };
	long taken[2] = { -1, -1 };
	bool open = true;

	for (i = 0; i < 2; i++) {
		devices[i] = group_device(container, group, bdfs[i]);
		if (devices[i] >= 0)
			bars[i] = map_bar(devices[i]);
		if (bars[i] == MAP_FAILED)
			open = false;
		else
			touch(bars[i]);
	}
	if (open && foreign >= 0) {
		refused = hot_reset(devices[0], foreign);
		for (i = 0; i < 2; i++)
			taken[i] = faults(bars[i]);
	}
	result(refused == -EINVAL && !taken[0] && !taken[1],
	       "hot_reset_of_others_refused",
	       "open %d, other group %d, reset %d, then %ld and %ld faults",
	       open, foreign >= 0, refused, taken[0], taken[1]);

	if (open)
		allowed = hot_reset(devices[0], group);
	for (i = 0; open && i < 2; i++)
		taken[i] = faults(bars[i]);
	result(!allowed && taken[0] > 0 && taken[1] > 0,
	       "hot_reset_of_the_group",
	       "open %d, reset %d, then %ld and %ld faults", open, allowed,
	       taken[0], taken[1]);

	for (i = 0; i < 2; i++) {
		if (bars[i] != MAP_FAILED)
			munmap(bars[i], page);
		if (devices[i] >= 0)
			close(devices[i]);
	}
	close(foreign);
	close(group);
	close(container);
}

int main(int argc, char **argv)
{
	int iommufd, device, buf;
	uint32_t pt = 0;

	if (argc != 4) {
		fprintf(stderr, "usage: vfio_mappings BDF SECOND OTHER\n");
		return 1;
	}
	bdfs[0] = argv[1];
	bdfs[1] = argv[2];
	other = argv[3];
	page = getpagesize();

	plan(6 + 8 + 2);
	iommufd = vfio_open_iommufd();
	device = iommufd < 0 ? -1 : vfio_open_in(bdfs[0], iommufd, &pt);
	if (device < 0)
		return 1;
	test_attributes(map_bar(device), "bar");
	buf = vfio_export(device, BAR, 0, page);
	test_attributes(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED,
			     buf, 0), "buffer");
	close(buf);
	close(device);

	test_hot_reset(iommufd);
	close(iommufd);
	test_refused();

	return ktap_failed != 0;
}
