// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device whose driver is built on vfio-pci-core and exports no dma-bufs. What a
 * container of iommufd needs of one, to map a BAR by its address, there is all the same.
 *
 * usage: vfio_plain BDF    prints KTAP; /modules/plain_vfio_pci.ko is bound to the
 *	device, /modules/mapping_probe.ko looks at the page table of the IOMMU
 * exit: 0 all pass, 1 not so, 2 wrong use
 */

#include <stdlib.h>
#include <sys/mman.h>

#include "container.h"
#include "ktap.h"
#include "probe.h"
#include "touch.h"
#include "vfio.h"

#define BAR	0
#define IOVA	0x10000000ULL

static const char *bdf;
static size_t page;

/* Whether there is a feature: 0 or -errno */
static int supported(int device, uint32_t number)
{
	struct vfio_device_feature arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DEVICE_FEATURE_PROBE | number,
	};

	return ioctl(device, VFIO_DEVICE_FEATURE, &arg) ? -errno : 0;
}

static void test_export(int device)
{
	int there = supported(device, VFIO_DEVICE_FEATURE_DMA_BUF);
	int export = vfio_export(device, BAR, 0, page);
	int revoke = vfio_revoke(device, -1);
	int memattr = vfio_memattr(device, -1, VFIO_DMA_BUF_MEMATTR_NC);

	result(there == -EOPNOTSUPP && export == -EOPNOTSUPP &&
	       revoke == -EOPNOTSUPP && memattr == -EOPNOTSUPP, "no_export",
	       "probe %d, export %d, revoke %d, memattr %d", there, export,
	       revoke, memattr);
}

/* With the memory off, neither the CPU nor a device gets to the BAR. */
static void test_container(const struct container *container)
{
	int mapped, before, signal = 0, off = -1, back = -1, unmapped;
	struct vfio_region_info info;
	void *vaddr;
	int again;

	vfio_region(container->device, BAR, &info);
	vaddr = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED,
		     container->device, info.offset);
	mapped = vaddr == MAP_FAILED ? -errno :
				       container_map(container, vaddr, IOVA, page);
	before = probe_dma(bdf, IOVA);
	if (!mapped) {
		vfio_memory(container->device, false);
		off = probe_dma(bdf, IOVA);
		signal = touch(vaddr);
		vfio_memory(container->device, true);
		back = probe_dma(bdf, IOVA);
	}
	unmapped = container_unmap(container, IOVA, page);
	result(!mapped && before == 1 && !off && signal == SIGBUS && !back &&
	       !unmapped, "container_maps_bar",
	       "map %d, translated %d; with the memory off %d, signal %d; then %d, unmap %d",
	       mapped, before, off, signal, back, unmapped);

	again = mapped ?: touch(vaddr) ?:
		container_map(container, vaddr, IOVA, page);
	before = probe_dma(bdf, IOVA);
	unmapped = container_unmap(container, IOVA, page);
	off = probe_dma(bdf, IOVA);
	result(!again && before == 1 && !unmapped && !off,
	       "container_maps_bar_again",
	       "map %d, translated %d, unmap %d, then translated %d", again,
	       before, unmapped, off);
	if (vaddr != MAP_FAILED)
		munmap(vaddr, page);
}

int main(int argc, char **argv)
{
	struct container container;
	int ret;

	if (argc != 2) {
		fprintf(stderr, "usage: vfio_plain BDF\n");
		return 2;
	}
	bdf = argv[1];
	page = getpagesize();
	touch_begin();
	ret = container_open(&container, CONTAINER_IOMMUFD, VFIO_TYPE1v2_IOMMU,
			     bdf);
	if (ret) {
		fprintf(stderr, "vfio_plain: no container of %s: %s\n", bdf,
			strerror(-ret));
		return 1;
	}

	plan(3);
	test_export(container.device);
	test_container(&container);
	container_close(&container);
	return ktap_failed != 0;
}
