/* SPDX-License-Identifier: GPL-2.0-only */
/* A display by the ioctls of DRM, and framebuffers of it. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <drm/drm.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_mode.h>

#include "card.h"
#include "heap.h"

#define CARD0		"/dev/dri/card0"
#define FLIP_SECONDS	5

struct display {
	int fd;
	uint32_t crtc, connector;
	struct drm_mode_modeinfo mode;
};

/* A buffer of a heap, or a dumb one; what it does not have is -1 or 0. */
struct buffer {
	int fd;
	size_t size;
	void *mem;
	uint32_t handle, fb;
	unsigned int depth;
};

#define NO_BUFFER ((struct buffer) { .fd = -1, .mem = MAP_FAILED })

/* The mode that the connector prefers, or else its first; -1 with errno. */
static inline int display_mode(struct display *display)
{
	struct drm_mode_modeinfo modes[64];
	struct drm_mode_get_connector found = { .connector_id = display->connector };
	unsigned int i;

	if (ioctl(display->fd, DRM_IOCTL_MODE_GETCONNECTOR, &found))
		return -1;
	if (!found.count_modes || found.count_modes > 64) {
		errno = ENODEV;
		return -1;
	}
	found.modes_ptr = (uintptr_t)modes;
	found.count_props = found.count_encoders = 0;
	if (ioctl(display->fd, DRM_IOCTL_MODE_GETCONNECTOR, &found))
		return -1;
	display->mode = modes[0];
	for (i = 0; i < found.count_modes; i++) {
		if (modes[i].type & DRM_MODE_TYPE_PREFERRED) {
			display->mode = modes[i];
			break;
		}
	}
	return 0;
}

/* The first CRTC and connector of the first card; -1 with errno. */
static inline int display_open(struct display *display)
{
	uint32_t crtcs[4], connectors[4];
	struct drm_mode_card_res all = {
		.crtc_id_ptr = (uintptr_t)crtcs, .count_crtcs = 4,
		.connector_id_ptr = (uintptr_t)connectors, .count_connectors = 4,
	};

	memset(display, 0, sizeof(*display));
	display->fd = open(CARD0, O_RDWR | O_CLOEXEC);
	if (display->fd < 0 || ioctl(display->fd, DRM_IOCTL_MODE_GETRESOURCES, &all))
		return -1;
	if (!all.count_crtcs || !all.count_connectors) {
		errno = ENODEV;
		return -1;
	}
	display->crtc = crtcs[0];
	display->connector = connectors[0];
	return display_mode(display);
}

static inline size_t display_pitch(const struct display *display, unsigned int depth)
{
	return display->mode.hdisplay * depth / 8;
}

static inline size_t display_size(const struct display *display, unsigned int depth)
{
	return display->mode.vdisplay * display_pitch(display, depth);
}

/* Allocate from a heap, and map; -1 with errno. */
static inline int buffer_allocate(struct buffer *buffer, const char *heap, size_t size,
				  unsigned int depth)
{
	*buffer = NO_BUFFER;
	buffer->size = size;
	buffer->depth = depth;
	buffer->fd = allocate(heap, size);
	if (buffer->fd < 0)
		return -1;
	buffer->mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->fd, 0);
	return buffer->mem == MAP_FAILED ? -1 : 0;
}

/* At which offset the file of the device maps a dumb buffer; -1 with errno. */
static inline off_t buffer_offset(const struct display *display, const struct buffer *buffer)
{
	struct drm_mode_map_dumb where = { .handle = buffer->handle };

	if (ioctl(display->fd, DRM_IOCTL_MODE_MAP_DUMB, &where))
		return -1;
	return where.offset;
}

/* Allocate a dumb buffer of the driver's, and map; -1 with errno. */
static inline int buffer_dumb(const struct display *display, struct buffer *buffer,
			      unsigned int depth)
{
	struct drm_mode_create_dumb made = {
		.width = display->mode.hdisplay, .height = display->mode.vdisplay, .bpp = depth,
	};
	off_t offset;

	*buffer = NO_BUFFER;
	if (ioctl(display->fd, DRM_IOCTL_MODE_CREATE_DUMB, &made))
		return -1;
	buffer->size = made.size;
	buffer->depth = depth;
	buffer->handle = made.handle;
	offset = buffer_offset(display, buffer);
	if (offset == -1)
		return -1;
	buffer->mem = mmap(NULL, made.size, PROT_READ | PROT_WRITE, MAP_SHARED, display->fd,
			   offset);
	return buffer->mem == MAP_FAILED ? -1 : 0;
}

static inline int buffer_import(const struct display *display, struct buffer *buffer)
{
	struct drm_prime_handle prime = { .fd = buffer->fd };

	if (ioctl(display->fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime))
		return -1;
	buffer->handle = prime.handle;
	return 0;
}

/* A framebuffer of this size and pitch; -1 with errno. */
static inline int buffer_frame(const struct display *display, struct buffer *buffer,
			       unsigned int width, unsigned int height, size_t pitch)
{
	struct drm_mode_fb_cmd2 frame = {
		.width = width, .height = height,
		.pixel_format = buffer->depth == 16 ? DRM_FORMAT_RGB565 : DRM_FORMAT_XRGB8888,
		.handles = { buffer->handle }, .pitches = { pitch },
	};

	if (ioctl(display->fd, DRM_IOCTL_MODE_ADDFB2, &frame))
		return -1;
	buffer->fb = frame.fb_id;
	return 0;
}

/* One of the size of the mode */
static inline int buffer_whole_frame(const struct display *display, struct buffer *buffer)
{
	return buffer_frame(display, buffer, display->mode.hdisplay, display->mode.vdisplay,
			    display_pitch(display, buffer->depth));
}

static inline void buffer_draw(const struct display *display, struct buffer *buffer,
			       unsigned int card)
{
	if (buffer->mem == MAP_FAILED)
		return;
	if (buffer->fd >= 0)
		sync_buffer(buffer->fd, DMA_BUF_SYNC_START);
	card_draw(buffer->mem, card, display->mode.hdisplay, display->mode.vdisplay, buffer->depth,
		  display_pitch(display, buffer->depth));
	if (buffer->fd >= 0)
		sync_buffer(buffer->fd, DMA_BUF_SYNC_END);
}

/* Give back what a buffer is for us; what shows it may keep it. */
static inline void buffer_close(const struct display *display, struct buffer *buffer)
{
	struct drm_gem_close gone = { .handle = buffer->handle };

	if (buffer->mem != MAP_FAILED)
		munmap(buffer->mem, buffer->size);
	if (buffer->handle)
		ioctl(display->fd, DRM_IOCTL_GEM_CLOSE, &gone);
	if (buffer->fd >= 0)
		close(buffer->fd);
	buffer->mem = MAP_FAILED;
	buffer->handle = 0;
	buffer->fd = -1;
}

/* Give back the framebuffer, too; the display is then off if it shows it. */
static inline void buffer_free(const struct display *display, struct buffer *buffer)
{
	if (buffer->fb)
		ioctl(display->fd, DRM_IOCTL_MODE_RMFB, &buffer->fb);
	buffer->fb = 0;
	buffer_close(display, buffer);
}

/* Set the mode with this framebuffer; -1 with errno. */
static inline int display_set(const struct display *display, const struct buffer *buffer)
{
	struct drm_mode_crtc set = {
		.set_connectors_ptr = (uintptr_t)&display->connector, .count_connectors = 1,
		.crtc_id = display->crtc, .fb_id = buffer->fb, .mode_valid = 1,
		.mode = display->mode,
	};

	return ioctl(display->fd, DRM_IOCTL_MODE_SETCRTC, &set);
}

/* Flip to this framebuffer and wait until it is shown; -1 with errno. */
static inline int display_flip(const struct display *display, const struct buffer *buffer)
{
	struct drm_mode_crtc_page_flip flip = {
		.crtc_id = display->crtc, .fb_id = buffer->fb, .flags = DRM_MODE_PAGE_FLIP_EVENT,
	};
	struct pollfd ready = { .fd = display->fd, .events = POLLIN };
	struct drm_event_vblank event;

	if (ioctl(display->fd, DRM_IOCTL_MODE_PAGE_FLIP, &flip))
		return -1;
	if (poll(&ready, 1, FLIP_SECONDS * 1000) != 1) {
		errno = ETIMEDOUT;
		return -1;
	}
	if (read(display->fd, &event, sizeof(event)) != sizeof(event) ||
	    event.base.type != DRM_EVENT_FLIP_COMPLETE) {
		errno = EPROTO;
		return -1;
	}
	return 0;
}
