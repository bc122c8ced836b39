/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices of vfio-pci, opened by way of iommufd, their regions and the dma-bufs
 * of their BARs. The <linux/vfio.h> of Debian 12 is older than most of it.
 */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/types.h>
#include <linux/vfio.h>

#ifndef VFIO_DEVICE_FEATURE_DMA_BUF
#define VFIO_DEVICE_FEATURE_DMA_BUF 11

struct vfio_region_dma_range {
	__u64 offset;
	__u64 length;
};

struct vfio_device_feature_dma_buf {
	__u32 region_index;
	__u32 open_flags;
	__u32 flags;
	__u32 nr_ranges;
	struct vfio_region_dma_range dma_ranges[];
};
#endif

#ifndef VFIO_DEVICE_BIND_IOMMUFD
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)

struct vfio_device_bind_iommufd {
	__u32 argsz;
	__u32 flags;
	__s32 iommufd;
	__u32 out_devid;
};
#endif

#ifndef VFIO_DEVICE_ATTACH_IOMMUFD_PT
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)

struct vfio_device_attach_iommufd_pt {
	__u32 argsz;
	__u32 flags;
	__u32 pt_id;
};
#endif

#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#else
#define IOMMU_IOAS_MAP_FIXED_IOVA (1 << 0)
#define IOMMU_IOAS_MAP_WRITEABLE (1 << 1)
#define IOMMU_IOAS_MAP_READABLE (1 << 2)
#define IOMMU_IOAS_UNMAP _IO(';', 0x86)

struct iommu_ioas_unmap {
	__u32 size;
	__u32 ioas_id;
	__aligned_u64 iova;
	__aligned_u64 length;
};

#define IOMMU_IOAS_ALLOC _IO(';', 0x81)

struct iommu_ioas_alloc {
	__u32 size;
	__u32 flags;
	__u32 out_ioas_id;
};
#endif

#ifndef IOMMU_HWPT_ALLOC
#define IOMMU_HWPT_ALLOC _IO(';', 0x89)

struct iommu_hwpt_alloc {
	__u32 size;
	__u32 flags;
	__u32 dev_id;
	__u32 pt_id;
	__u32 out_hwpt_id;
	__u32 __reserved;
	__u32 data_type;
	__u32 data_len;
	__aligned_u64 data_uptr;
	__u32 fault_id;
	__u32 __reserved2;
};
#endif

#ifndef IOMMU_IOAS_MAP_FILE
#define IOMMU_IOAS_MAP_FILE _IO(';', 0x8f)

struct iommu_ioas_map_file {
	__u32 size;
	__u32 flags;
	__u32 ioas_id;
	__s32 fd;
	__aligned_u64 start;
	__aligned_u64 length;
	__aligned_u64 iova;
};
#endif

#ifndef VFIO_DEVICE_FEATURE_DMA_BUF_REVOKE
#define VFIO_DEVICE_FEATURE_DMA_BUF_REVOKE 14

struct vfio_device_feature_dma_buf_revoke {
	__s32 dmabuf_fd;
};
#endif

#ifndef VFIO_DEVICE_FEATURE_DMA_BUF_MEMATTR
#define VFIO_DEVICE_FEATURE_DMA_BUF_MEMATTR 15

struct vfio_device_feature_dma_buf_memattr {
	__s32 dmabuf_fd;
	__u32 memattr;
#define VFIO_DMA_BUF_MEMATTR_NC 0
#define VFIO_DMA_BUF_MEMATTR_WC 1
};
#endif

#ifndef VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
#define VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY 3
#define VFIO_DEVICE_FEATURE_LOW_POWER_EXIT 5
#endif

/*
 * Bind a device to an iommufd and attach it to an address space: that of *@pt, or a
 * new one, whose number *@pt becomes, where it is 0. With @apart the device gets an IOMMU
 * domain of its own.
 */
static inline int vfio_attach(int fd, int iommufd, uint32_t *pt, bool apart)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = iommufd,
	};
	struct iommu_ioas_alloc ioas = { .size = sizeof(ioas) };
	struct iommu_hwpt_alloc hwpt = { .size = sizeof(hwpt) };
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
	};

	if (ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return -1;
	if (!*pt) {
		if (ioctl(iommufd, IOMMU_IOAS_ALLOC, &ioas))
			return -1;
		*pt = ioas.out_ioas_id;
	}
	attach.pt_id = *pt;
	if (apart) {
		hwpt.dev_id = bind.out_devid;
		hwpt.pt_id = *pt;
		if (ioctl(iommufd, IOMMU_HWPT_ALLOC, &hwpt))
			return -1;
		attach.pt_id = hwpt.out_hwpt_id;
	}
	return ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
}

/*
 * The device at a PCI address, which vfio-pci is bound to, ready to be used in an
 * address space of an iommufd, as vfio_attach() has it: a file descriptor, or -1 after
 * a line on standard error.
 */
static inline int vfio_open_as(const char *bdf, int iommufd, uint32_t *pt,
			       bool apart)
{
	const char *what = "no vfio-dev";
	char path[128];
	glob_t found;
	int fd = -1;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev/vfio*",
		 bdf);
	if (glob(path, 0, NULL, &found)) {
		errno = ENOENT;
		goto fail;
	}
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s",
		 strrchr(found.gl_pathv[0], '/') + 1);
	globfree(&found);

	what = "open the device";
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		goto fail;
	what = "bind and attach";
	if (vfio_attach(fd, iommufd, pt, apart))
		goto fail;
	return fd;
fail:
	fprintf(stderr, "vfio %s: %s: %s\n", bdf, what, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The same without a domain of its own */
static inline int vfio_open_in(const char *bdf, int iommufd, uint32_t *pt)
{
	return vfio_open_as(bdf, iommufd, pt, false);
}

static inline int vfio_open_iommufd(void)
{
	int iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);

	if (iommufd < 0)
		perror("/dev/iommu");
	return iommufd;
}

/* The same with an iommufd of its own, which lives as long. */
static inline int vfio_open(const char *bdf)
{
	int iommufd = vfio_open_iommufd(), fd;
	uint32_t pt = 0;

	if (iommufd < 0)
		return -1;
	fd = vfio_open_in(bdf, iommufd, &pt);
	/* the device has a reference of its own */
	close(iommufd);
	return fd;
}

/* Map the start of a dma-buf at an IOVA of an address space. 0 or -errno. */
static inline int vfio_import(int iommufd, uint32_t pt, int buf, uint64_t iova,
			      uint64_t length)
{
	struct iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = pt,
		.fd = buf,
		.length = length,
		.iova = iova,
	};

	return ioctl(iommufd, IOMMU_IOAS_MAP_FILE, &map) ? -errno : 0;
}

static inline int vfio_unimport(int iommufd, uint32_t pt, uint64_t iova,
				uint64_t length)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = pt,
		.iova = iova,
		.length = length,
	};

	return ioctl(iommufd, IOMMU_IOAS_UNMAP, &unmap) ? -errno : 0;
}

/* What a region is: where it is in the device's file, its size. 0 or -errno. */
static inline int vfio_region(int fd, unsigned int index,
			      struct vfio_region_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	info->index = index;
	return ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, info) ? -errno : 0;
}

#define VFIO_EXPORT_RANGES	4	/* at most */

/* A dma-buf of parts of a BAR: a file descriptor, of that access mode, or -errno. */
static inline int vfio_export_ranges(int fd, unsigned int bar,
				     const struct vfio_region_dma_range *ranges,
				     uint32_t count, uint32_t mode)
{
	struct {
		struct vfio_device_feature feature;
		struct vfio_device_feature_dma_buf buf;
		struct vfio_region_dma_range ranges[VFIO_EXPORT_RANGES];
	} arg = {
		.feature = {
			.argsz = sizeof(arg),
			.flags = VFIO_DEVICE_FEATURE_GET |
				 VFIO_DEVICE_FEATURE_DMA_BUF,
		},
		.buf = {
			.region_index = bar,
			.open_flags = mode | O_CLOEXEC,
			.nr_ranges = count,
		},
	};
	int buf;

	if (count > VFIO_EXPORT_RANGES)
		return -E2BIG;
	memcpy(arg.ranges, ranges, count * sizeof(*ranges));
	buf = ioctl(fd, VFIO_DEVICE_FEATURE, &arg);
	return buf < 0 ? -errno : buf;
}

/* The same of one part */
static inline int vfio_export_mode(int fd, unsigned int bar, uint64_t offset,
				   uint64_t length, uint32_t mode)
{
	struct vfio_region_dma_range range = {
		.offset = offset, .length = length,
	};

	return vfio_export_ranges(fd, bar, &range, 1, mode);
}

static inline int vfio_export(int fd, unsigned int bar, uint64_t offset,
			      uint64_t length)
{
	return vfio_export_mode(fd, bar, offset, length, O_RDWR);
}

/* Set or clear the bit of the command register that BARs need. 0 or -errno. */
static inline int vfio_memory(int fd, bool on)
{
	struct vfio_region_info config;
	uint16_t command;
	off_t offset;
	int error = vfio_region(fd, VFIO_PCI_CONFIG_REGION_INDEX, &config);

	if (error)
		return error;
	offset = config.offset + PCI_COMMAND;
	errno = EIO;
	if (pread(fd, &command, sizeof(command), offset) != sizeof(command))
		return -errno;
	if (on)
		command |= PCI_COMMAND_MEMORY;
	else
		command &= ~PCI_COMMAND_MEMORY;
	if (pwrite(fd, &command, sizeof(command), offset) != sizeof(command))
		return -errno;
	return 0;
}

/* Set a feature of a device, with an argument. 0 or -errno. */
static inline int vfio_feature(int fd, uint32_t number, const void *data,
			       size_t size)
{
	struct {
		struct vfio_device_feature feature;
		uint8_t data[16];
	} arg = {
		.feature = {
			.argsz = sizeof(arg.feature) + size,
			.flags = VFIO_DEVICE_FEATURE_SET | number,
		},
	};

	if (size)
		memcpy(arg.data, data, size);
	return ioctl(fd, VFIO_DEVICE_FEATURE, &arg) ? -errno : 0;
}

/* Revoke a dma-buf for good. 0 or -errno. */
static inline int vfio_revoke(int fd, int buf)
{
	struct vfio_device_feature_dma_buf_revoke arg = { .dmabuf_fd = buf };

	return vfio_feature(fd, VFIO_DEVICE_FEATURE_DMA_BUF_REVOKE, &arg,
			    sizeof(arg));
}

/* Choose how the CPU is to map a dma-buf. 0 or -errno. */
static inline int vfio_memattr(int fd, int buf, uint32_t memattr)
{
	struct vfio_device_feature_dma_buf_memattr arg = {
		.dmabuf_fd = buf,
		.memattr = memattr,
	};

	return vfio_feature(fd, VFIO_DEVICE_FEATURE_DMA_BUF_MEMATTR, &arg,
			    sizeof(arg));
}
