/* SPDX-License-Identifier: GPL-2.0-only */
/* The VFIO group of a PCI device, which containers need. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A file descriptor of the group of a device, or -1 */
static inline int group_open(const char *bdf)
{
	char path[128], target[256];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	length = readlink(path, target, sizeof(target) - 1);
	if (length <= 0)
		return -1;
	target[length] = 0;
	snprintf(path, sizeof(path), "/dev/vfio/%s", strrchr(target, '/') + 1);
	return open(path, O_RDWR | O_CLOEXEC);
}
