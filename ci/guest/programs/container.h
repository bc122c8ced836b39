/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO containers: type 1 as /dev/vfio/vfio, or what iommufd provides as /dev/iommu. The
 * ioctls for both are those of <linux/vfio.h>.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "group.h"

#define CONTAINER_TYPE1		"/dev/vfio/vfio"
#define CONTAINER_IOMMUFD	"/dev/iommu"

/* File descriptors, -1 for none */
struct container {
	int fd;
	int group;
	int device;
};

static inline void container_close(struct container *container)
{
	if (container->device >= 0)
		close(container->device);
	if (container->group >= 0)
		close(container->group);
	if (container->fd >= 0)
		close(container->fd);
	*container = (struct container){ -1, -1, -1 };
}

/*
 * Open the device at a PCI address, which a driver of vfio is bound to and which is alone
 * in its group, in a new container of a type such as VFIO_TYPE1v2_IOMMU. 0, or -errno
 * with nothing left open.
 */
static inline int container_open(struct container *container, const char *path,
				 unsigned long type, const char *bdf)
{
	int ret = 0;

	container->device = -1;
	container->fd = open(path, O_RDWR | O_CLOEXEC);
	container->group = group_open(bdf);
	if (container->fd < 0 || container->group < 0 ||
	    ioctl(container->group, VFIO_GROUP_SET_CONTAINER, &container->fd) ||
	    ioctl(container->fd, VFIO_SET_IOMMU, type))
		ret = -errno;
	if (!ret) {
		container->device = ioctl(container->group,
					  VFIO_GROUP_GET_DEVICE_FD, bdf);
		if (container->device < 0)
			ret = -errno;
	}
	if (ret)
		container_close(container);
	return ret;
}

/* Map what is mapped at an address, to be read and written. 0 or -errno. */
static inline int container_map(const struct container *container,
				const void *vaddr, uint64_t iova, size_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)vaddr,
		.iova = iova,
		.size = size,
	};

	return ioctl(container->fd, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

/* Unmap all of a range. 0, -errno, or -ENODATA where less was mapped. */
static inline int container_unmap(const struct container *container,
				  uint64_t iova, size_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};

	if (ioctl(container->fd, VFIO_IOMMU_UNMAP_DMA, &unmap))
		return -errno;
	return unmap.size == size ? 0 : -ENODATA;
}
