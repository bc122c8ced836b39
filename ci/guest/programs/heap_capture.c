// SPDX-License-Identifier: GPL-2.0-only
/*
 * Capture video into buffers of dma-buf heaps, with the kernel's own vivid driver as
 * the importer (vb2-dma-contig, a device without an IOMMU and with a 32-bit mask).
 * The frame must be that which the driver leaves in a buffer of its own.
 *
 * usage: heap_capture [bounce]    prints KTAP
 * bounce: see heap_coherent
 * Needs /dev/video0 of vivid loaded with allocators=1, and the machine of
 * ci/lanes/arm64-pools.dtsi.
 * exit: 0 all pass, 1 not so
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/videodev2.h>

#include "heap.h"
#include "ktap.h"

#define VIDEO		"/dev/video0"
#define WIDTH		320
#define HEIGHT		180
#define FRAME		(WIDTH * HEIGHT)	/* in grey, so that it is one segment of 64 KiB */
#define SIZE		((FRAME + 4095) & ~4095u)
#define TYPE		V4L2_BUF_TYPE_VIDEO_CAPTURE
#define SECONDS		20

static int video_open(void)
{
	struct v4l2_format format = {
		.type = TYPE,
		.fmt.pix = { .width = WIDTH, .height = HEIGHT, .pixelformat = V4L2_PIX_FMT_GREY },
	};
	struct v4l2_queryctrl query = { .id = V4L2_CTRL_FLAG_NEXT_CTRL };
	int fd = open(VIDEO, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	/* without the clock in the picture every frame is the same */
	while (!ioctl(fd, VIDIOC_QUERYCTRL, &query)) {
		if (!strcmp((char *)query.name, "OSD Text Mode")) {
			struct v4l2_control off = { .id = query.id, .value = query.maximum };

			if (ioctl(fd, VIDIOC_S_CTRL, &off))
				break;
		}
		query.id |= V4L2_CTRL_FLAG_NEXT_CTRL;
	}
	if (ioctl(fd, VIDIOC_S_FMT, &format) || format.fmt.pix.sizeimage != FRAME) {
		errno = errno ?: EPROTO;
		close(fd);
		return -1;
	}
	return fd;
}

/*
 * Capture a frame into a dma-buf, or into a buffer of the driver's own that is copied
 * to *own. 0 or a negative errno.
 */
static int capture(int dmabuf, void *own)
{
	struct v4l2_buffer buffer = {
		.type = TYPE,
		.memory = own ? V4L2_MEMORY_MMAP : V4L2_MEMORY_DMABUF,
	};
	struct v4l2_requestbuffers request = {
		.count = 1, .type = TYPE, .memory = buffer.memory,
	};
	void *mem = MAP_FAILED;
	struct pollfd ready;
	int fd, type = TYPE, ret;

	fd = video_open();
	if (fd < 0)
		return -errno;
	if (ioctl(fd, VIDIOC_REQBUFS, &request) || ioctl(fd, VIDIOC_QUERYBUF, &buffer))
		goto error;
	if (own) {
		mem = mmap(NULL, FRAME, PROT_READ, MAP_SHARED, fd, buffer.m.offset);
		if (mem == MAP_FAILED)
			goto error;
	} else {
		buffer.m.fd = dmabuf;
		buffer.length = SIZE;
	}
	if (ioctl(fd, VIDIOC_QBUF, &buffer) || ioctl(fd, VIDIOC_STREAMON, &type))
		goto error;

	ready = (struct pollfd) { .fd = fd, .events = POLLIN };
	ret = poll(&ready, 1, SECONDS * 1000);
	if (ret != 1)
		ret = -ETIMEDOUT;
	else if (ioctl(fd, VIDIOC_DQBUF, &buffer))
		ret = -errno;
	else
		ret = buffer.flags & V4L2_BUF_FLAG_ERROR ? -EIO : 0;
	if (!ret && own)
		memcpy(own, mem, FRAME);
	ioctl(fd, VIDIOC_STREAMOFF, &type);
	goto out;
error:
	ret = -errno;
out:
	if (mem != MAP_FAILED)
		munmap(mem, FRAME);
	close(fd);
	return ret;
}

/* A picture: more than a few shades in it. */
static bool picture(const uint8_t *frame)
{
	bool seen[256] = {};
	unsigned int shades = 0, i;

	for (i = 0; i < FRAME; i++) {
		shades += !seen[frame[i]];
		seen[frame[i]] = true;
	}
	return shades >= 6;
}

static void captured(const char *name, const char *heap, const uint8_t *expected)
{
	int buf = allocate(heap, SIZE), ret = -errno;
	bool same = false;
	void *mem;

	if (buf >= 0) {
		ret = capture(buf, NULL);
		mem = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, buf, 0);
		if (mem != MAP_FAILED) {
			sync_buffer(buf, DMA_BUF_SYNC_START);
			same = !memcmp(mem, expected, FRAME);
			sync_buffer(buf, DMA_BUF_SYNC_END);
			munmap(mem, SIZE);
		}
		close(buf);
	}
	result(!ret && same && picture(expected), name, "%s", ret ? strerror(-ret) :
	       "not the picture");
}

static void refused(const char *name, const char *heap)
{
	int buf = allocate(heap, SIZE), ret = buf < 0 ? -errno : capture(buf, NULL);

	result(buf >= 0 && ret == -EINVAL, name, "%s", ret ? strerror(-ret) : "it went through");
	close(buf);
}

int main(int argc, char **argv)
{
	bool bounce = argc == 2 && !strcmp(argv[1], "bounce");
	static uint8_t own[FRAME];
	int ret;

	plan(bounce ? 4 : 5);
	ret = capture(-1, own);
	result(!ret && picture(own), "own_buffer", "%s", ret ? strerror(-ret) : "no picture");
	/* where a buffer is bounced, what the CPU drew in the device's stead is lost */
	if (!bounce)
		captured("cma", "cma-pool@54000000", own);
	if (bounce) {
		refused("nomap_refused", "nomap-pool@50000000");
		refused("offram_refused", "offram-pool@90000000");
	} else {
		captured("nomap", "nomap-pool@50000000", own);
		captured("offram", "offram-pool@90000000", own);
	}
	refused("high_refused", "high-pool@100000000");
	return ktap_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
